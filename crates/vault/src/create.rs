//! Creating a vault so that a power cut leaves either a whole one or none.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use secret_memory::Secret;

use crate::connection;
use crate::error::VaultError;

/// Writes an empty vault beside `path`, durably, and moves it into place.
pub(crate) fn create(path: &Path, key: &Secret<32>) -> Result<(), VaultError> {
    // Asked again, and decided, by the rename; this spares the work.
    if path.symlink_metadata().is_ok() {
        return Err(VaultError::Exists { path: path.to_owned() });
    }
    let draft = draft_path(path)?;
    let result = write(&draft, key).and_then(|()| publish(&draft, path));
    if result.is_err() {
        // What is left holds no secret; failing to remove it must not hide the first error.
        let _ = fs::remove_file(&draft);
    }
    let _ = fs::remove_file(journal_of(&draft));
    result
}

fn write(draft: &Path, key: &Secret<32>) -> Result<(), VaultError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(from_io)?;
    connection::initialise(draft, key)?;
    File::open(draft).and_then(|file| file.sync_all()).map_err(from_io)
}

fn publish(draft: &Path, path: &Path) -> Result<(), VaultError> {
    match renameat2(AT_FDCWD, draft, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => {}
        Err(Errno::EEXIST) => return Err(VaultError::Exists { path: path.to_owned() }),
        Err(errno) => return Err(from_io(errno.into())),
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(from_io)
}

/// A name of its own for every attempt, so that two at once cannot write into one file.
fn draft_path(path: &Path) -> Result<PathBuf, VaultError> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    let mut name = OsString::from(path);
    name.push(format!(".{random:016x}.new"));
    Ok(PathBuf::from(name))
}

/// Where SQLite keeps the rollback journal of a database.
fn journal_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("-journal");
    PathBuf::from(name)
}

fn from_io(error: io::Error) -> VaultError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => VaultError::Full,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => VaultError::ReadOnly,
        _ => VaultError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `create` checks first could have changed by the time it is done.
    #[test]
    fn a_file_that_appears_meanwhile_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let [draft, path] = ["draft", "vault.db"].map(|name| directory.path().join(name));
        fs::write(&draft, "new").unwrap();
        fs::write(&path, "old").unwrap();
        assert!(matches!(publish(&draft, &path), Err(VaultError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        fs::remove_file(&path).unwrap();
        publish(&draft, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
