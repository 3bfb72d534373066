//! The writer of a trail, of which there is one.
//!
//! What [`Writer::append`] returns is durable, and what it refuses has left no trace, so that its
//! caller can act on the one and give up on the other.

mod append;
mod create;
mod open;
mod read;
mod seal;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use append::{AppendError, Appended};
pub use create::CreateError;
pub use open::{OpenError, Repair};
pub use read::ReadError;
pub use seal::SealError;

use tlog::PublicKeys;
use tlog::merkle::Tree;

use crate::genesis::Genesis;
use crate::hash::{Hash, Head};
use crate::segment;
use crate::timestamp::Timestamp;
use read::Cursor;

/// The one process that appends to a trail.
///
/// It holds a lock on the directory (`flock(2)`), which the kernel takes back when the process dies.
pub struct Writer {
    path: PathBuf,
    dir: LockedDir,
    genesis: Genesis,
    segment_bytes: u64,
    /// The segments by their first entries; never empty.
    segments: Vec<u64>,
    /// The last segment, and how much of it is durable, in bytes.
    current: File,
    end: u64,
    tree: Tree,
    last: Hash,
    time: Timestamp,
    /// The keys that sign the next checkpoint.
    keys: PublicKeys,
    /// The keys after them, until that checkpoint is there.
    next_keys: Option<PublicKeys>,
    /// The checkpoints by their sizes.
    checkpoints: Vec<u64>,
    /// A checkpoint that an entry announces and that isn't there.
    owed: Option<Head>,
    is_poisoned: bool,
    cursor: Cell<Option<Cursor>>,
    system: System,
}

/// What the writer asks of the machine, for tests to answer otherwise.
struct System {
    now: Box<dyn Fn() -> Timestamp + Send>,
    /// Makes the content of a file durable.
    sync: fn(&File) -> io::Result<()>,
}

impl Default for System {
    fn default() -> Self {
        Self { now: Box::new(Timestamp::now), sync: File::sync_data }
    }
}

impl Writer {
    /// The number of entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The number of entries, and the root of the tree over them.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size(), root: Hash(self.tree.root()) }
    }

    /// What the first entry says.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The directory of the trail.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an fsync has failed: nothing can be appended any more, and the trail has to be opened
    /// again from what the disk really holds.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("head", &self.head()).finish()
    }
}

/// A directory that no other writer can have.
pub(crate) struct LockedDir(File);

impl LockedDir {
    /// None when another writer has it.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let dir = File::open(path)?;
        match dir.try_lock() {
            Ok(()) => Ok(Some(Self(dir))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Puts a file there, so that at any time the old one is whole, or the new one.
    ///
    /// `path` is that of the directory, which may have been moved.
    pub(crate) fn put(
        &self,
        path: &Path,
        name: &str,
        content: &[u8],
        mode: u32,
    ) -> io::Result<File> {
        let scratch = path.join(segment::SCRATCH);
        // Whatever a crash left; a link that somebody made would lead elsewhere.
        match fs::remove_file(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        let mut file = options.open(&scratch)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&scratch, path.join(name))?;
        self.sync()?;
        Ok(file)
    }

    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl Drop for LockedDir {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that was forked and has not called exec yet.
        let _ = self.0.unlock();
    }
}
