//! Files that somebody else prepared: on a volume, or where the ceremony user leaves a request.
//!
//! What is judged is what was opened: one name at a time, no link followed, no other file system entered. That
//! is what openat2(2) has flags for, but units with `RestrictSUIDSGID=` don't have openat2. Whoever wrote the
//! names chose them freely, so that errors show what is left of them for a terminal.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat};

use crate::printable::Printable;

/// Root's files on a volume are fewer, and less deep, by far.
const MOST_ENTRIES: usize = 256;
const DEEPEST: usize = 4;

/// What is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// A symbolic link, or another file system.
    #[error("{name} is a link or a mount point")]
    Elsewhere {
        /// What was opened.
        name: Printable,
    },
    /// A pipe, a device, a directory in the place of a file.
    #[error("{name} is not a {expected}")]
    Kind {
        /// What was opened.
        name: Printable,
        /// What belongs there.
        expected: &'static str,
    },
    /// Of somebody else.
    #[error("{name} belongs to uid {found}, not to {expected}")]
    Owner {
        /// What was opened.
        name: Printable,
        /// Whose it is.
        found: u32,
        /// Whose it should be.
        expected: u32,
    },
    /// To be changed by somebody else.
    #[error("{name} can be written by its group or by others (mode {mode:03o})")]
    Writable {
        /// What was opened.
        name: Printable,
        /// Its permissions.
        mode: u32,
    },
    /// Longer than anything of ours.
    #[error("{name} has more than {limit} bytes")]
    TooLarge {
        /// What was opened.
        name: Printable,
        /// What it may have.
        limit: u64,
    },
    /// More, or deeper, than anything of ours.
    #[error("{name} has more in it than this image ever writes")]
    TooMany {
        /// What was opened.
        name: Printable,
    },
    /// The operating system refused.
    #[error("{name} cannot be read ({source})")]
    Io {
        /// What was opened.
        name: Printable,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Untrusted {
    /// Whether there is nothing by that name.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// An open directory, and what it is called in errors.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    name: String,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Opens a directory whose path is ours; only what it leads to is not.
    ///
    /// # Errors
    /// [`Untrusted`]: it can't be opened, or belongs to somebody other than `owner`.
    pub fn at(path: &Path, owner: u32) -> Result<Self, Untrusted> {
        let name = path.display().to_string();
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, path, flags, Mode::empty()).map_err(|errno| Untrusted::Io {
            name: Printable::line(&name),
            source: errno.into(),
        })?;
        Self { fd, name }.owned_by(&[owner])
    }

    /// The directory `name` in it, which belongs to one of `owners` and is written by nobody else.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn directory(&self, name: &str, owners: &[u32]) -> Result<Self, Untrusted> {
        let fd = self.open(name, OFlag::O_DIRECTORY)?;
        let name = format!("{}/{name}", self.name);
        Self { fd, name }.owned_by(owners)
    }

    /// The directory `name` in it, which belongs to `owner`, who may let others write to it.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn directory_of(&self, name: &str, owner: u32) -> Result<Self, Untrusted> {
        let file = File::from(self.open(name, OFlag::O_DIRECTORY)?);
        match judge(&self.shown(name), &file, "directory", &[owner]) {
            Ok(()) | Err(Untrusted::Writable { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { fd: file.into(), name: format!("{}/{name}", self.name) })
    }

    /// Sets its permissions.
    ///
    /// # Errors
    /// What the operating system reported.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(fchmod(&self.fd, Mode::from_bits_truncate(mode))?)
    }

    /// The regular file `name` in it, which belongs to `owner` and is written by nobody else.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn file(&self, name: &str, owner: u32) -> Result<File, Untrusted> {
        // A pipe without a writer would be waited for.
        let file = File::from(self.open(name, OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        judge(&self.shown(name), &file, "regular file", &[owner])?;
        Ok(file)
    }

    /// The content of [`Directory::file`], of `limit` bytes at most.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn read(&self, name: &str, owner: u32, limit: u64) -> Result<Vec<u8>, Untrusted> {
        self.read_file(name, &self.file(name, owner)?, limit)
    }

    /// As [`Directory::read`], of a file that [`Directory::file`] opened.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn read_file(&self, name: &str, file: &File, limit: u64) -> Result<Vec<u8>, Untrusted> {
        read(file, limit).map_err(|source| match source.kind() {
            io::ErrorKind::FileTooLarge => Untrusted::TooLarge { name: self.shown(name), limit },
            _ => Untrusted::Io { name: self.shown(name), source },
        })
    }

    /// Whether all that is in it, at any depth, are regular files and directories of `owner` that nobody
    /// else writes.
    ///
    /// # Errors
    /// [`Untrusted`], about the first that is something else.
    pub fn is_all_of(&self, owner: u32) -> Result<(), Untrusted> {
        let mut todo = vec![(self.try_clone()?, 0)];
        let mut seen = 0;
        while let Some((directory, depth)) = todo.pop() {
            for name in directory.names()? {
                seen += 1;
                if seen > MOST_ENTRIES || depth == DEEPEST {
                    return Err(Untrusted::TooMany { name: Printable::line(&self.name) });
                }
                match (directory.file(&name, owner), directory.directory(&name, &[owner])) {
                    (Ok(_), _) => {}
                    (Err(_), Ok(within)) => todo.push((within, depth + 1)),
                    (Err(Untrusted::Kind { .. }), Err(error))
                        if !matches!(error, Untrusted::Kind { .. }) =>
                    {
                        return Err(error);
                    }
                    (Err(error), Err(_)) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn open(&self, name: &str, flags: OFlag) -> Result<OwnedFd, Untrusted> {
        let failed = |errno: Errno| Untrusted::Io { name: self.shown(name), source: errno.into() };
        if name.contains('/') || matches!(name, "." | "..") {
            return Err(Untrusted::Elsewhere { name: self.shown(name) });
        }
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) if self.is_on_another_file_system(&fd).map_err(failed)? => {
                Err(Untrusted::Elsewhere { name: self.shown(name) })
            }
            Ok(fd) => Ok(fd),
            // Both for a link, depending on the flags.
            Err(Errno::ELOOP | Errno::ENOTDIR) if self.is_link(name) => {
                Err(Untrusted::Elsewhere { name: self.shown(name) })
            }
            Err(Errno::ENOTDIR) => {
                Err(Untrusted::Kind { name: self.shown(name), expected: "directory" })
            }
            Err(errno) => Err(failed(errno)),
        }
    }

    fn is_on_another_file_system(&self, fd: &OwnedFd) -> Result<bool, Errno> {
        Ok(fstat(fd)?.st_dev != fstat(&self.fd)?.st_dev)
    }

    fn is_link(&self, name: &str) -> bool {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|found| {
            SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFLNK
        })
    }

    fn owned_by(self, owners: &[u32]) -> Result<Self, Untrusted> {
        let file = File::from(self.fd);
        judge(&Printable::line(&self.name), &file, "directory", owners)?;
        Ok(Self { fd: file.into(), name: self.name })
    }

    /// What is in it, but for what it would take too long to look at.
    fn names(&self) -> Result<Vec<String>, Untrusted> {
        let failed = |source| Untrusted::Io { name: Printable::line(&self.name), source };
        let copy = self.fd.try_clone().map_err(failed)?;
        let mut listing = Dir::from_fd(copy).map_err(|errno| failed(errno.into()))?;
        let mut names = Vec::new();
        for entry in listing.iter().take(MOST_ENTRIES + 3) {
            let entry = entry.map_err(|errno| failed(errno.into()))?;
            match entry.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => return Err(failed(io::ErrorKind::InvalidFilename.into())),
            }
        }
        Ok(names)
    }

    fn try_clone(&self) -> Result<Self, Untrusted> {
        let failed = |source| Untrusted::Io { name: Printable::line(&self.name), source };
        Ok(Self { fd: self.fd.try_clone().map_err(failed)?, name: self.name.clone() })
    }

    fn shown(&self, name: &str) -> Printable {
        Printable::line(&format!("{}/{name}", self.name))
    }
}

fn judge(
    name: &Printable,
    file: &File,
    expected: &'static str,
    owners: &[u32],
) -> Result<(), Untrusted> {
    let metadata =
        file.metadata().map_err(|source| Untrusted::Io { name: name.clone(), source })?;
    let fits = if expected == "directory" { metadata.is_dir() } else { metadata.is_file() };
    if !fits {
        return Err(Untrusted::Kind { name: name.clone(), expected });
    }
    if !owners.contains(&metadata.uid()) {
        let expected = owners.last().copied().unwrap_or_default();
        return Err(Untrusted::Owner { name: name.clone(), found: metadata.uid(), expected });
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(Untrusted::Writable { name: name.clone(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

/// All of a file, which has `limit` bytes at most.
fn read(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    let fits = bytes.len() as u64 <= limit;
    fits.then_some(bytes).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

#[cfg(test)]
mod tests;
