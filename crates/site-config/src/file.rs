//! Reading a file that a person or a power cut may have spoiled, and one that must be trusted.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use toml::de::DeTable;

/// More than any site writes by hand; a file beyond it is not one of ours.
const MAX_FILE_BYTES: usize = 1 << 20;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A link to nothing is not the same as no file.
    #[error("{} is a link to a file that does not exist; repair or remove it", .path.display())]
    Dangling {
        /// The link.
        path: PathBuf,
    },
    /// A directory, a pipe or a device.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Not a file of ours.
    #[error("{} is larger than 1 MiB", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What a power cut leaves of a file that was never synced.
    #[error(
        "{}:{line}: the file holds NUL bytes, as after a power cut; restore it from a copy",
        .path.display()
    )]
    Nul {
        /// The file.
        path: PathBuf,
        /// Line of the first.
        line: usize,
    },
    /// Not text.
    #[error("{}:{line}: the file is not UTF-8 text", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first bad byte.
        line: usize,
    },
    /// Not TOML, or not the TOML that belongs here.
    #[error("{}:{line}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// Somebody other than its owner could have written it.
    #[error("{} {problem}", .path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Why it isn't believed.
        problem: Untrusted,
    },
}

/// Why a file that decides about security isn't believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Somebody else's file.
    #[error("belongs to uid {found}, not to {}; chown it", owners(.allowed))]
    Owner {
        /// The file's.
        found: u32,
        /// Whose it may be, beside root's.
        allowed: u32,
    },
    /// Others can change it.
    #[error("can be written by its group or by others (mode {mode:03o}); chmod go-w it")]
    Writable {
        /// The file's.
        mode: u32,
    },
}

fn owners(allowed: &u32) -> String {
    if *allowed == 0 { "root".to_owned() } else { format!("root or uid {allowed}") }
}

/// Whose a trusted file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Root's.
    Root,
    /// Root's, or that of the owner of the directory that names it. In `/etc/pds` that is root.
    OfDirectory,
}

/// The text of a file and the BLAKE3 digest of its bytes.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) digest: [u8; 32],
}

/// Reads `path`; `None` when there is no such file.
///
/// With `owner`, the file that was opened (a link's target) must be trusted.
pub(crate) fn read(path: &Path, owner: Option<Owner>) -> Result<Option<Text>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    // Without O_NONBLOCK, a pipe in the file's place would hang the caller.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return absent(path),
        other => other.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    if let Some(owner) = owner {
        let allowed = match owner {
            Owner::Root => 0,
            Owner::OfDirectory => fs::metadata(directory_of(path)).map_err(failed)?.uid(),
        };
        check_trust(metadata.uid(), metadata.mode(), allowed)
            .map_err(|problem| FileError::Untrusted { path: path.to_owned(), problem })?;
    }
    let bytes = read_limited(file, &metadata, path)?;
    let digest = *blake3::hash(&bytes).as_bytes();
    Ok(Some(Text { path: path.to_owned(), text: text(bytes, path)?, digest }))
}

/// The directory that names `path`.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Nothing at `path`, or a dangling link on the way, which must not pass for nothing: a policy
/// whose target went missing would no longer be a policy.
fn absent(path: &Path) -> Result<Option<Text>, FileError> {
    let found = path.ancestors().find(|part| fs::symlink_metadata(part).is_ok());
    match found {
        Some(part) if fs::metadata(part).is_err() => {
            Err(FileError::Dangling { path: part.to_owned() })
        }
        _ => Ok(None),
    }
}

fn check_trust(uid: u32, mode: u32, allowed: u32) -> Result<(), Untrusted> {
    if uid != 0 && uid != allowed {
        return Err(Untrusted::Owner { found: uid, allowed });
    }
    if mode & 0o022 != 0 {
        return Err(Untrusted::Writable { mode: mode & 0o7777 });
    }
    Ok(())
}

fn read_limited(file: File, metadata: &Metadata, path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::with_capacity(metadata.len().min(MAX_FILE_BYTES as u64) as usize);
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// `bytes` as text without NULs.
pub(crate) fn text(bytes: Vec<u8>, path: &Path) -> Result<String, FileError> {
    if let Some(position) = bytes.iter().position(|&byte| byte == 0) {
        return Err(FileError::Nul { path: path.to_owned(), line: line_at(&bytes, position) });
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
        FileError::NotUtf8 { path: path.to_owned(), line }
    })
}

/// The number of the line that holds byte `position`, from 1.
pub(crate) fn line_at(bytes: &[u8], position: usize) -> usize {
    1 + bytes.iter().take(position).filter(|&&byte| byte == b'\n').count()
}

/// `text` as a TOML table, whose parts know where they stand.
pub(crate) fn table<'i>(text: &'i str, path: &Path) -> Result<DeTable<'i>, FileError> {
    match DeTable::parse(text) {
        Ok(table) => Ok(table.into_inner()),
        Err(error) => Err(syntax(&error, text, path)),
    }
}

/// A parser's error, with its line and nothing unprintable.
pub(crate) fn syntax(error: &toml::de::Error, text: &str, path: &Path) -> FileError {
    // An error without a position is about the whole document.
    let position = error.span().map_or(0, |span| span.start);
    let mut message = String::new();
    for char in error.message().chars().take(300) {
        if char.is_control() {
            message.extend(char.escape_debug());
        } else {
            message.push(char);
        }
    }
    let line = line_at(text.as_bytes(), position);
    FileError::Syntax { path: path.to_owned(), line, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn trust_is_a_matter_of_owner_and_mode() {
        assert_eq!(check_trust(0, 0o100644, 0), Ok(()));
        assert_eq!(check_trust(0, 0o100444, 1000), Ok(()), "root's file in a user's directory");
        assert_eq!(check_trust(1000, 0o100600, 1000), Ok(()));
        let owner = |found, allowed| Err(Untrusted::Owner { found, allowed });
        assert_eq!(check_trust(1000, 0o100600, 0), owner(1000, 0));
        assert_eq!(check_trust(1001, 0o100600, 1000), owner(1001, 1000));
        assert_eq!(check_trust(0, 0o100664, 0), Err(Untrusted::Writable { mode: 0o664 }));
        assert_eq!(check_trust(0, 0o100602, 0), Err(Untrusted::Writable { mode: 0o602 }));
    }

    #[test]
    fn a_link_is_followed_and_its_target_checked() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "x").unwrap();
        symlink(&target, &link).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&link, Some(Owner::OfDirectory)).unwrap().unwrap().text, "x");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o666)).unwrap();
        let error = read(&link, Some(Owner::OfDirectory)).unwrap_err();
        assert!(matches!(error, FileError::Untrusted { .. }), "{error}");
    }

    #[test]
    fn a_dangling_link_is_not_an_absent_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none"), None).unwrap().is_none());
        assert!(read(&dir.path().join("no/such/file"), None).unwrap().is_none());
        let link = dir.path().join("link");
        symlink("/nonexistent/target", &link).unwrap();
        for path in [link.clone(), link.join("policy.toml")] {
            let error = read(&path, None).unwrap_err();
            assert!(matches!(error, FileError::Dangling { .. }), "{error}");
        }
    }

    #[test]
    fn a_pipe_does_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::sys::stat::mknod(
            &path,
            nix::sys::stat::SFlag::S_IFIFO,
            nix::sys::stat::Mode::S_IRUSR,
            0,
        )
        .unwrap();
        assert!(matches!(read(&path, None), Err(FileError::NotAFile { .. })));
    }
}
