//! A disk whose power can be cut: what was not synced is lost.
//!
//! A file system (ext4) lies in a file, by way of a loop device. That file has what the file system
//! has handed to its disk, and nothing of what waits in memory. It lies in a file system of its own,
//! which the kernel can freeze: that is the instant at which the power fails, in the middle of
//! whatever is being written. A copy of the file is the disk after the cut.
//!
//! A disk that forgets or reorders what it was handed, until it is told to flush, is not shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, umount2};

/// Room for a trail of some ten thousand entries, in megabytes.
const DISK_MEGABYTES: u64 = 48;
/// Room for that disk and what holds it.
const OUTER_MEGABYTES: u64 = 128;

/// The disk, mounted. Everything goes away when it is dropped.
pub struct Disk {
    place: PathBuf,
    cuts: u32,
}

/// What is left on the disk after a cut, mounted.
pub struct Remains {
    mount: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Makes one below a directory; or says why there is none.
    ///
    /// # Errors
    /// What a program said that is needed for it.
    pub fn below(place: &Path) -> Result<Self, String> {
        let disk = Self { place: place.to_owned(), cuts: 0 };
        for name in ["outer", "disk"] {
            fs::create_dir(place.join(name)).map_err(|error| error.to_string())?;
        }
        let holder = place.join("outer.img");
        make_ext4(&holder, OUTER_MEGABYTES)?;
        mount(&holder, &disk.outer())?;
        make_ext4(&disk.image(), DISK_MEGABYTES)?;
        mount(&disk.image(), &disk.mounted())?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mounted(&self) -> PathBuf {
        self.place.join("disk")
    }

    fn outer(&self) -> PathBuf {
        self.place.join("outer")
    }

    fn image(&self) -> PathBuf {
        self.outer().join("disk.img")
    }

    /// Cuts the power now; the disk goes on as if nothing had happened.
    ///
    /// # Panics
    /// When that can't be done.
    #[track_caller]
    pub fn cut(&mut self) -> Remains {
        self.cuts += 1;
        let image = self.place.join(format!("cut-{}.img", self.cuts));
        let mount_point = image.with_extension("");
        fs::create_dir(&mount_point).expect("mkdir");
        let frozen = Frozen::new(self.outer());
        run(Command::new("cp").arg("--sparse=always").arg(self.image()).arg(&image)).expect("cp");
        drop(frozen);
        let remains = Remains { mount: mount_point, image };
        // Replays the journal, as after any cut.
        mount(&remains.image, &remains.mount).expect("the file system survives");
        remains
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for path in [self.mounted(), self.outer()] {
            let _ = umount2(&path, MntFlags::MNT_DETACH);
        }
    }
}

impl Remains {
    /// Where it is mounted.
    #[must_use]
    pub fn mounted(&self) -> &Path {
        &self.mount
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        let _ = umount2(&self.mount, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&self.image);
    }
}

/// A file system that takes no more writes until this is dropped.
struct Frozen(PathBuf);

impl Frozen {
    fn new(path: PathBuf) -> Self {
        run(Command::new("fsfreeze").arg("-f").arg(&path)).expect("fsfreeze");
        Self(path)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = run(Command::new("fsfreeze").arg("-u").arg(&self.0));
    }
}

/// Makes a file system in a sparse file.
///
/// # Errors
/// What mkfs.ext4 said.
pub fn make_ext4(image: &Path, megabytes: u64) -> Result<(), String> {
    fs::File::create(image)
        .and_then(|file| file.set_len(megabytes << 20))
        .map_err(|error| error.to_string())?;
    run(Command::new("mkfs.ext4").args(["-q", "-J", "size=4"]).arg(image))
}

/// Mounts a file system that lies in a file; its loop device goes away with the mount.
///
/// # Errors
/// What mount(8) said.
pub fn mount(image: &Path, at: &Path) -> Result<(), String> {
    run(Command::new("mount").args(["-o", "loop,noatime,errors=remount-ro"]).arg(image).arg(at))
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))
}
