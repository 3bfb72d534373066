//! Small disks and read-only directories, as root makes them.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::snapshot;

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
        for (file, content) in files {
            fs::write(&file, content).expect("a file");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
            chown(&file, Some(uid), Some(gid)).expect("chown");
        }
        Self { path: path.to_owned() }
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
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
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
