//! Small disks and read-only directories, as root makes them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// A tmpfs of a few kilobytes; it goes away when it is dropped.
pub struct SmallDisk {
    place: TempDir,
}

impl SmallDisk {
    /// Mounts one of `kilobytes`.
    ///
    /// # Panics
    /// When the caller is not root.
    #[must_use]
    pub fn new(kilobytes: usize) -> Self {
        let place = tempfile::Builder::new().prefix("disk-").tempdir_in("/tmp");
        let place = place.expect("a scratch directory");
        let options = format!("size={kilobytes}k,mode=755");
        mount(Some("none"), place.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("mount(2)");
        Self { place }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
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

    /// Gives it back.
    pub fn make_room(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
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
