//! `sesame vault backup`: an encrypted backup in a new file, written whole and read back.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ipc::secrets::{SecretsReply, SecretsRequest};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, PosixFadviseAdvice, RenameFlags, posix_fadvise, renameat2};
use serde_json::json;
use site_config::durable::sync_directory;

use crate::connect::{Context, SecretsClient};
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress::Progress;

pub fn run(
    context: &Context,
    output: &Output,
    path: &Path,
    profile: Option<&str>,
) -> Result<(), Failure> {
    let target = Target::create(path)?;
    let (bytes, hash) = target.fill(|file| copy(&mut context.secrets()?, profile, path, file))?;
    let which = profile.map_or("the default profile".to_owned(), |name| format!("profile {name}"));
    let text = format!(
        "Backed up {which} to {}: {bytes} bytes, encrypted, written and read back.\nBLAKE3 {hash}\n\
         It opens with the factors of today, by `sesame vault restore`.\n",
        path.display()
    );
    let json = json!({
        "profile": profile,
        "file": path.display().to_string(),
        "bytes": bytes,
        "blake3": hash.to_string(),
    });
    output.result(&text, json)
}

/// Takes the pieces from the daemon as they come.
fn copy(
    client: &mut SecretsClient,
    profile: Option<&str>,
    path: &Path,
    file: &mut File,
) -> Result<(u64, blake3::Hash), Failure> {
    let mut hasher = blake3::Hasher::new();
    let mut progress = Progress::new("backing up", 0);
    let mut offset = 0;
    loop {
        let request = SecretsRequest::VaultBackup { profile, offset };
        let (total, written) = client.call(&request, |reply| match reply {
            SecretsReply::Piece { total, bytes } => {
                hasher.update(bytes);
                Some((total, file.write_all(bytes).map(|()| bytes.len() as u64)))
            }
            _ => None,
        })?;
        let written = written.map_err(storage(path))?;
        offset += written;
        progress.of(offset, total);
        if written == 0 {
            if offset == total {
                return Ok((offset, hasher.finalize()));
            }
            let text =
                format!("the backup ended after {offset} of {total} bytes; nothing was kept");
            return Err(Failure::new(Code::STORAGE, text));
        }
    }
}

/// A file that does not exist yet, and has another name until it is whole.
struct Target<'a> {
    path: &'a Path,
    partial: PathBuf,
    file: File,
}

impl<'a> Target<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        if path.file_name().is_none() {
            let text = format!("{} names no file; nothing was written", path.display());
            return Err(Failure::new(Code::INVALID, text));
        }
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let mut partial = OsString::from(path);
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let text = format!(
                    "{} is there, of a backup that goes on or was interrupted; nothing was written. \
                     Remove it, if none goes on",
                    partial.display()
                );
                Failure::new(Code::EXISTS, text)
            }
            _ => storage(&partial)(error),
        })?;
        Ok(Self { path, partial, file })
    }

    /// Lets `copy` write the content, gives the file its name, and reads it back. Nothing is left when
    /// that fails.
    fn fill(
        mut self,
        copy: impl FnOnce(&mut File) -> Result<(u64, blake3::Hash), Failure>,
    ) -> Result<(u64, blake3::Hash), Failure> {
        let filled = copy(&mut self.file).and_then(|filled| self.keep(filled.1).map(|()| filled));
        if filled.is_err() {
            let _ = fs::remove_file(&self.partial);
        }
        filled
    }

    fn keep(&self, hash: blake3::Hash) -> Result<(), Failure> {
        self.file.sync_all().map_err(storage(self.path))?;
        let (back, is_whole) = read_back(&self.partial).map_err(storage(self.path))?;
        if !is_whole {
            let text =
                "the daemon gave pieces of two backups; nothing was kept. Try again, one at a time";
            return Err(Failure::new(Code::BUSY, text));
        }
        if back != hash {
            let text = format!(
                "what was read back from {} is not what was written; nothing was kept. Use another \
                 medium",
                self.path.display()
            );
            return Err(Failure::new(Code::STORAGE, text));
        }
        match renameat2(AT_FDCWD, &self.partial, AT_FDCWD, self.path, RenameFlags::RENAME_NOREPLACE)
        {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Err(exists(self.path)),
            // The file system doesn't know the flag. link(2) refuses an existing target as well.
            Err(Errno::EINVAL) => {
                fs::hard_link(&self.partial, self.path)
                    .and_then(|()| fs::remove_file(&self.partial))
                    .map_err(storage(self.path))?;
            }
            Err(errno) => return Err(storage(self.path)(errno.into())),
        }
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        sync_directory(directory).map_err(storage(directory))
    }
}

/// From the medium and not from the cache, where the kernel allows it.
fn read_back(path: &Path) -> io::Result<(blake3::Hash, bool)> {
    posix_fadvise(&File::open(path)?, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    digests(path)
}

/// BLAKE3 of a whole file, and whether its last 32 bytes are that of all before them, as they are in a
/// backup.
pub fn digests(path: &Path) -> io::Result<(blake3::Hash, bool)> {
    let mut file = File::open(path)?;
    let body = file.metadata()?.len().saturating_sub(blake3::OUT_LEN as u64);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader((&mut file).take(body))?;
    let before = hasher.finalize();
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    hasher.update(&end);
    Ok((hasher.finalize(), before.as_bytes()[..] == end[..]))
}

fn exists(path: &Path) -> Failure {
    let text = format!("{} exists and was not touched; nothing was backed up", path.display());
    Failure::new(Code::EXISTS, text)
}

fn storage(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| {
        let text = format!("{}: {error}; nothing was backed up", path.display());
        Failure::new(Code::STORAGE, text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    fn content() -> Vec<u8> {
        [&b"backup"[..], blake3::hash(b"backup").as_bytes()].concat()
    }

    fn write(file: &mut File) -> Result<(u64, blake3::Hash), Failure> {
        file.write_all(&content()).unwrap();
        Ok((38, blake3::hash(&content())))
    }

    #[test]
    fn a_backup_is_there_whole_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let filled = Target::create(&path).unwrap().fill(write).unwrap();
        assert_eq!(filled, (38, blake3::hash(&content())));
        assert_eq!(fs::read(&path).unwrap(), content());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_file_that_is_there_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        assert_eq!(Target::create(&path).err().unwrap().code, Code::EXISTS);
        fs::remove_file(&path).unwrap();
        let target = Target::create(&path).unwrap();
        assert_eq!(Target::create(&path).err().unwrap().code, Code::EXISTS, "two at once");
        fs::write(&path, "came between").unwrap();
        assert_eq!(target.fill(write).err().unwrap().code, Code::EXISTS);
        assert_eq!(fs::read(&path).unwrap(), b"came between");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_failed_backup_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let broken = |file: &mut File| {
            file.write_all(b"half").unwrap();
            Err(Failure::new(Code::UNREACHABLE, "gone"))
        };
        let target = Target::create(&path).unwrap();
        assert_eq!(target.fill(broken).err().unwrap().code, Code::UNREACHABLE);
        assert_eq!(names(dir.path()).len(), 0);
        let other = |file: &mut File| write(file).map(|(bytes, _)| (bytes, blake3::hash(b"x")));
        let failure = Target::create(&path).unwrap().fill(other).err().unwrap();
        assert_eq!(failure.code, Code::STORAGE);
        assert!(failure.message.contains("is not what was written"), "{}", failure.message);
        let mixed = |file: &mut File| {
            file.write_all(&[0; 100]).unwrap();
            Ok((100, blake3::hash(&[0; 100])))
        };
        let failure = Target::create(&path).unwrap().fill(mixed).err().unwrap();
        assert_eq!(failure.code, Code::BUSY);
        assert_eq!(names(dir.path()).len(), 0);
    }
}
