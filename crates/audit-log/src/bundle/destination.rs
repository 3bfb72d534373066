//! Where an export is written to: nothing there looks like a bundle before it is one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, PosixFadviseAdvice, RenameFlags, posix_fadvise, renameat2};

use super::{PARTIAL, TRAIL};
use crate::timestamp::Timestamp;

/// A new directory, or a new tar file.
pub(super) enum Destination {
    Directory { path: PathBuf, files: Vec<PathBuf> },
    Tar { path: PathBuf, partial: Partial, tar: Box<tar::Builder<BufWriter<File>>>, seconds: u64 },
}

/// A file that goes unless it got another name: what writes it ends it well even when it is dropped.
pub(super) struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What went wrong, and with which file.
pub(super) enum Trouble {
    Occupied,
    Io(PathBuf, io::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Trouble {
    move |error| Trouble::Io(path.to_owned(), error)
}

impl Destination {
    /// A path that ends in `.tar` becomes a file; any other must not exist or be an empty directory.
    pub fn create(path: &Path) -> Result<Self, Trouble> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar")) {
            return Self::create_tar(path);
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_empty = fs::read_dir(path).is_ok_and(|mut names| names.next().is_none());
                if !is_empty {
                    return Err(Trouble::Occupied);
                }
            }
            Err(error) => return Err(at(path)(error)),
        }
        let partial = path.join(PARTIAL);
        DirBuilder::new().mode(0o700).create(&partial).map_err(at(&partial))?;
        Ok(Self::Directory { path: path.to_owned(), files: Vec::new() })
    }

    fn create_tar(path: &Path) -> Result<Self, Trouble> {
        if path.symlink_metadata().is_ok() {
            return Err(Trouble::Occupied);
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        // What an earlier try left is nobody's.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&partial)(error));
            }
            _ => {}
        }
        let file = create_new(&partial).map_err(at(&partial))?;
        let partial = Partial(partial);
        let tar = Box::new(tar::Builder::new(BufWriter::with_capacity(1 << 16, file)));
        let seconds = Timestamp::now().as_micros() / 1_000_000;
        Ok(Self::Tar { path: path.to_owned(), partial, tar, seconds })
    }

    /// Writes a file of the trail.
    pub fn add_to_trail(&mut self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        match self {
            Self::Directory { .. } => self.add(&format!("{PARTIAL}/{name}"), bytes),
            Self::Tar { .. } => self.add(&format!("{TRAIL}/{name}"), bytes),
        }
    }

    /// Writes a file beside the trail.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        match self {
            Self::Directory { path, files } => {
                let path = path.join(name);
                let mut file = create_new(&path).map_err(at(&path))?;
                file.write_all(bytes).map_err(at(&path))?;
                file.sync_all().map_err(at(&path))?;
                files.push(path);
            }
            Self::Tar { partial: Partial(partial), tar, seconds, .. } => {
                let mut header = tar::Header::new_ustar();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o600);
                header.set_mtime(*seconds);
                tar.append_data(&mut header, name, bytes).map_err(at(partial))?;
            }
        }
        Ok(())
    }

    /// Makes all of it durable and gives it its name.
    ///
    /// What is read afterwards comes from the medium as far as the kernel lets us have it so.
    pub fn finish(self) -> Result<(), Trouble> {
        match self {
            Self::Directory { path, files } => {
                for file in files {
                    File::open(&file).and_then(|file| forget(&file)).map_err(at(&file))?;
                }
                let (partial, trail) = (path.join(PARTIAL), path.join(TRAIL));
                sync_dir(&partial)?;
                fs::rename(&partial, &trail).map_err(at(&trail))?;
                sync_dir(&path)?;
                sync_dir(parent(&path))
            }
            Self::Tar { path, partial, tar, .. } => {
                let written = &partial.0;
                let buffer = tar.into_inner().map_err(at(written))?;
                let file = buffer.into_inner().map_err(|error| at(written)(error.into_error()))?;
                file.sync_all().and_then(|()| forget(&file)).map_err(at(written))?;
                match renameat2(AT_FDCWD, written, AT_FDCWD, &path, RenameFlags::RENAME_NOREPLACE) {
                    Ok(()) => {}
                    Err(Errno::EEXIST) => return Err(Trouble::Occupied),
                    // The file system doesn't know the flag; that nothing is there was seen before.
                    Err(Errno::EINVAL) => fs::rename(written, &path).map_err(at(&path))?,
                    Err(errno) => return Err(at(&path)(errno.into())),
                }
                sync_dir(parent(&path))
            }
        }
    }
}

/// Takes the name of a bundle away from what turned out to be none.
pub(super) fn retract(path: &Path) {
    // The error that led here is what matters.
    if path.is_dir() {
        let _ = fs::rename(path.join(TRAIL), path.join(PARTIAL));
    } else {
        let _ = fs::remove_file(path);
    }
}

/// Drops the pages of a file from memory.
fn forget(file: &File) -> io::Result<()> {
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_dir(path: &Path) -> Result<(), Trouble> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(at(path))
}
