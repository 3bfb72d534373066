//! The directory through which the two ends exchange public files.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Nothing that belongs here is larger, in bytes.
const MAX_FILE_BYTES: u64 = 65536;

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A file could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// An earlier exchange went through this directory.
    #[error("{} is there already; every exchange takes an empty directory", .0.display())]
    Used(PathBuf),
    /// The peer did not write its part in time.
    #[error("{} did not come in {} seconds; see what the peer says", .path.display(), .waited.as_secs())]
    Missing {
        /// What should have come.
        path: PathBuf,
        /// For how long it was waited for.
        waited: Duration,
    },
    /// The file system said no.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// The directory, and how long to wait for a file of the peer.
pub struct Mailbox<'a> {
    pub directory: &'a Path,
    pub patience: Duration,
}

impl Mailbox<'_> {
    /// Writes a file that the peer sees whole or not at all.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<(), MailboxError> {
        let path = self.directory.join(name);
        let draft = self.directory.join(format!("{name}.draft"));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
            file.write_all(content)?;
            // Unlike rename(2), link(2) does not replace what is there.
            fs::hard_link(&draft, &path)?;
            fs::remove_file(&draft)
        };
        write().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => MailboxError::Used(path),
            _ => MailboxError::Io { path, source },
        })
    }

    /// Waits for a file of the peer.
    pub fn wait_for(&self, name: &str) -> Result<Vec<u8>, MailboxError> {
        let path = self.directory.join(name);
        let start = Instant::now();
        loop {
            match fs::File::open(&path) {
                Ok(file) => {
                    let mut content = Vec::new();
                    let read = file.take(MAX_FILE_BYTES).read_to_end(&mut content);
                    return match read {
                        Ok(_) => Ok(content),
                        Err(source) => Err(MailboxError::Io { path, source }),
                    };
                }
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(MailboxError::Io { path, source });
                }
                Err(_) if start.elapsed() >= self.patience => {
                    return Err(MailboxError::Missing { path, waited: self.patience });
                }
                Err(_) => std::thread::sleep(POLL_INTERVAL),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_arrives_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = Mailbox { directory: dir.path(), patience: Duration::ZERO };
        mailbox.put("offer", b"first").unwrap();
        let again = mailbox.put("offer", b"second");
        assert!(matches!(again, Err(MailboxError::Used(path)) if path.ends_with("offer")));
        assert_eq!(mailbox.wait_for("offer").unwrap(), b"first");
        let missing = mailbox.wait_for("answer");
        assert!(matches!(missing, Err(MailboxError::Missing { .. })));
    }
}
