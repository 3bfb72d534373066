//! Small, failing and read-only disks, as root makes them.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::{cut, snapshot};

/// A tmpfs of a few kilobytes in the place of a directory; it goes away when it is dropped.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `kilobytes` over a directory whose files move into it.
    ///
    /// # Panics
    /// When the caller is not root.
    #[must_use]
    pub fn over(path: &Path, kilobytes: usize) -> Self {
        let files = snapshot(path);
        let owner = path.metadata().expect("a directory");
        let (uid, gid) = (owner.uid(), owner.gid());
        let options = format!("size={kilobytes}k,mode=700,uid={uid},gid={gid}");
        mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("mount(2)");
        let disk = Self { path: path.to_owned() };
        put_back(files, uid, gid);
        disk
    }

    /// Takes all room that is left; [`SmallDisk::make_room`] gives it back.
    ///
    /// # Panics
    /// When the file can't be made.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.ballast());
        let file = file.as_mut().expect("a file");
        for chunk in [4096, 1] {
            while file.write_all(&vec![0; chunk]).is_ok() {}
        }
    }

    /// Takes all room but for so many pages.
    ///
    /// # Panics
    /// When the file can't be made.
    pub fn leave(&self, pages: u64) {
        self.fill();
        let file = File::options().write(true).open(self.ballast()).expect("a file");
        let length = file.metadata().expect("its length").len();
        file.set_len((length / 4096 - pages) * 4096).expect("a shorter one");
    }

    /// Gives it back.
    pub fn make_room(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

fn put_back(files: BTreeMap<PathBuf, Vec<u8>>, uid: u32, gid: u32) {
    for (file, content) in files {
        fs::write(&file, content).expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
        chown(&file, Some(uid), Some(gid)).expect("chown");
    }
}

/// A disk in the place of a directory that fails when it is told to: the kernel makes it read-only,
/// for those too who have files open on it.
pub struct FailingDisk {
    path: PathBuf,
    image: PathBuf,
}

impl FailingDisk {
    /// Mounts one over a directory whose files move into it; or says why that can't be done.
    ///
    /// # Errors
    /// What a program said that is needed for it.
    ///
    /// # Panics
    /// When the files can't be moved.
    pub fn over(path: &Path) -> Result<Self, String> {
        let files = snapshot(path);
        let owner = path.metadata().expect("a directory");
        let (uid, gid) = (owner.uid(), owner.gid());
        let image = path.with_extension("img");
        cut::make_ext4(&image, 16)?;
        cut::mount(&image, path)?;
        let disk = Self { path: path.to_owned(), image };
        fs::remove_dir(path.join("lost+found")).expect("an empty directory");
        fs::set_permissions(path, Permissions::from_mode(0o700)).expect("chmod");
        chown(path, Some(uid), Some(gid)).expect("chown");
        put_back(files, uid, gid);
        // What waits in memory would go with the disk.
        cut::run(Command::new("sync").arg("-f").arg(path))?;
        Ok(disk)
    }

    /// Fails.
    ///
    /// # Panics
    /// When the kernel has no way to do that.
    pub fn fail(&self) {
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", self.device());
        fs::write(&trigger, "a test").unwrap_or_else(|error| panic!("{trigger}: {error}"));
    }

    /// Works again, for whoever opens something from now on.
    ///
    /// # Panics
    /// When it can't be mounted.
    pub fn mend(&self) {
        umount2(&self.path, MntFlags::MNT_DETACH).expect("umount(2)");
        cut::mount(&self.image, &self.path).expect("the file system survives");
    }

    /// The name of its loop device, from the kernel's list of mounts.
    fn device(&self) -> String {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the list of mounts");
        let path = self.path.display().to_string();
        let fields = mounts.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>());
        let mut devices = fields.filter(|fields| fields[1] == path).map(|fields| fields[0]);
        let device = devices.next_back().expect("it is mounted");
        device.trim_start_matches("/dev/").to_owned()
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

/// A directory that is read-only, for whoever opens something in it from now on.
pub struct ReadOnly {
    path: PathBuf,
}

impl ReadOnly {
    /// Until this is dropped.
    ///
    /// # Panics
    /// When the caller is not root.
    #[must_use]
    pub fn over(path: &Path) -> Self {
        let none = None::<&str>;
        // Onto itself: the mount below has files open for writing and would be busy.
        mount(Some(path), path, none, MsFlags::MS_BIND, none).expect("mount(2)");
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(none, path, none, flags, none).expect("mount(2)");
        Self { path: path.to_owned() }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}
