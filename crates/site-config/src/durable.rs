//! Files that a power cut leaves whole: the old content or the new, never a part.
//!
//! Write beside the target, sync, rename over it, sync the directory. What a crash leaves behind is
//! a file under a name that nothing reads; [`remove_leftovers`] sweeps it up.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::file::directory_of;

/// Begins the name of every temporary file; sixteen random hexadecimal digits follow.
const PREFIX: &str = ".sesame-new-";

/// Makes `path` hold `bytes` with exactly `mode`, whatever it held before.
///
/// A link at `path` is replaced, not followed. The new file belongs to the caller.
///
/// # Errors
/// What the operating system reported; `path` then holds what it held, or, when only the last sync
/// failed, the new content.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = Fresh::write(path, bytes, mode)?;
    fs::rename(&fresh.path, path)?;
    fresh.keep();
    sync_directory(directory_of(path))
}

/// As [`write_atomically`], for a file that must not exist yet.
///
/// # Errors
/// `AlreadyExists` when there is anything at `path`, which is untouched then.
pub fn create_new_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = Fresh::write(path, bytes, mode)?;
    match renameat2(AT_FDCWD, &fresh.path, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => fresh.keep(),
        // The file system doesn't know the flag. link(2) refuses an existing target as well, and
        // the temporary name goes when `fresh` does.
        Err(Errno::EINVAL) => fs::hard_link(&fresh.path, path)?,
        Err(errno) => return Err(errno.into()),
    }
    sync_directory(directory_of(path))
}

/// Makes the names in `directory` durable: creations, renames, removals.
///
/// # Errors
/// What the operating system reported.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes what a crash left of earlier writes in `directory`; returns how many files that were.
///
/// For the directory's owner at its start: a write that is under way elsewhere would fail.
///
/// # Errors
/// What the operating system reported.
pub fn remove_leftovers(directory: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let leftover = entry.file_name().to_str().is_some_and(is_temporary);
        if leftover && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    if removed > 0 {
        sync_directory(directory)?;
    }
    Ok(removed)
}

fn is_temporary(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|tail| {
        tail.len() == 16 && tail.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// A synced temporary file, removed when dropped.
struct Fresh {
    path: PathBuf,
}

impl Fresh {
    fn write(target: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        if target.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        }
        let random = getrandom::u64().map_err(io::Error::other)?;
        let path = directory_of(target).join(format!("{PREFIX}{random:016x}"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let fresh = Self { path };
        // The umask may have taken bits that the caller asked for.
        if file.metadata()?.permissions().mode() & 0o7777 != mode {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(fresh)
    }

    /// The file has its real name now.
    fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.path != Path::new("") {
            // A leftover is harmless; the error that led here is what matters.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_replace_and_leave_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (content, mode) in [("one", 0o600), ("two", 0o644), ("", 0o666)] {
            write_atomically(&path, content.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_new_atomically(&path, b"first", 0o600).unwrap();
        let error = create_new_atomically(&path, b"second", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["key"]);

        let link = dir.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let error = create_new_atomically(&link, b"x", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "a dangling link is there too");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory");
        fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, b"x", 0o600).is_err());
        assert_eq!(names(dir.path()), ["directory"]);
        assert!(write_atomically(Path::new("/"), b"x", 0o600).is_err());
        assert!(write_atomically(&dir.path().join("no/such/dir"), b"x", 0o600).is_err());
    }

    #[test]
    fn leftovers_go_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::write(dir.path().join(name), "x").unwrap();
        // What a crash before the rename leaves.
        std::mem::forget(Fresh::write(&dir.path().join("file"), b"new", 0o600).unwrap());
        let kept = [".sesame-new-", ".sesame-new-notes", "file", ".sesame-new-0123456789abcdeF"];
        kept.into_iter().for_each(file);
        fs::create_dir(dir.path().join(".sesame-new-0123456789abcdef")).unwrap();
        assert_eq!(names(dir.path()).len(), 6);
        assert_eq!(remove_leftovers(dir.path()).unwrap(), 1);
        assert_eq!(names(dir.path()).len(), 5);
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"x");
        assert_eq!(remove_leftovers(dir.path()).unwrap(), 0);
    }
}
