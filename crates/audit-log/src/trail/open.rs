//! Opening a trail, and repairing what a power cut left.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::{LockedDir, System, Writer};
use crate::entry::{Draft, Outcome};
use crate::hash::Hash;
use crate::operation::Operation;
use crate::segment;
use crate::source::Source;
use crate::verdict::{Report, Verdict};
use crate::verify::{Expectation, VerifyError, scan};

/// What was cut off the end of a trail when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The entry that says so.
    pub seq: u64,
    /// The name of the segment.
    pub segment: String,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// The BLAKE3 hash of those bytes, whatever the trail itself hashes with.
    pub digest: Hash,
}

/// Why a trail can't be opened; nothing in it was changed, except by a failed repair.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no segment, or no such directory.
    #[error("there is no trail in {}: restore it, or make a new one if there has never been one", .0.display())]
    Absent(PathBuf),
    /// Another process has it open.
    #[error("another process is writing the trail in {}: stop the other daemon-audit first", .0.display())]
    Locked(PathBuf),
    /// The trail is not what a writer left.
    #[error("{report} Nothing was changed. To see it again: sesame audit verify --path {}", path.display())]
    Damaged {
        /// The directory of the trail.
        path: PathBuf,
        /// The verdict, with file and line.
        report: Box<Report>,
    },
    /// A torn line couldn't be replaced by the entry that says so; it is still torn.
    #[error("cannot repair the torn end of the trail in {}: {source}; make room and start again", path.display())]
    Repair {
        /// The directory of the trail.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system refused.
    #[error("cannot open the trail in {}: {source}", path.display())]
    Io {
        /// The directory of the trail, or what in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<VerifyError> for OpenError {
    fn from(error: VerifyError) -> Self {
        Self::Io { path: error.path, source: error.source }
    }
}

impl Writer {
    /// Opens the trail in `dir`, after verifying all of it.
    ///
    /// A last line without newline, which a power cut leaves, was never acknowledged to anybody; it
    /// gives way to a `repair` entry. That entry stays in the segment that it repairs, which may
    /// exceed `segment_bytes` by it. A last checkpoint that an entry announces and that was not
    /// written any more is owed: [`Writer::settle`] makes it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(dir: &Path, segment_bytes: u64) -> Result<(Self, Option<Repair>), OpenError> {
        Self::open_with(dir, segment_bytes, System::default())
    }

    pub(super) fn open_with(
        path: &Path,
        segment_bytes: u64,
        system: System,
    ) -> Result<(Self, Option<Repair>), OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let dir = match LockedDir::open(path) {
            Ok(Some(dir)) => dir,
            Ok(None) => return Err(OpenError::Locked(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Absent(path.to_owned()));
            }
            Err(error) => return Err(io(error)),
        };
        let source = Source::Directory(path.to_owned());
        // With this thread alone: a daemon closes its sandbox next, around a single one, and those
        // that have ended count a moment longer.
        let mut scan = scan(source, &Expectation::default(), 1, &mut |_, _| ())?;
        let (end, torn) = (scan.end, scan.torn);
        let segments = std::mem::take(&mut scan.segments);
        let checkpoints = std::mem::take(&mut scan.checkpoints);
        let (chain, owed) = match scan.sound() {
            Ok(sound) => sound,
            Err(report) if report.verdict == Verdict::Absent && segments.is_empty() => {
                return Err(OpenError::Absent(path.to_owned()));
            }
            Err(report) => {
                return Err(OpenError::Damaged { path: path.to_owned(), report });
            }
        };
        let (Some(genesis), Some(keys), Some(first)) = (chain.genesis, chain.keys, segments.last())
        else {
            return Err(OpenError::Absent(path.to_owned()));
        };
        let segment = segment::name(*first);
        let current = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path.join(&segment))
            .map_err(io)?;
        let mut writer = Self {
            path: path.to_owned(),
            dir,
            genesis,
            segment_bytes,
            segments,
            current,
            end,
            tree: chain.tree,
            last: chain.last,
            time: chain.time,
            keys,
            next_keys: chain.next_keys,
            checkpoints,
            owed,
            is_poisoned: false,
            cursor: None.into(),
            system,
        };
        let repair = match torn {
            None => None,
            Some(bytes) => Some(
                writer
                    .repair(segment, bytes)
                    .map_err(|source| OpenError::Repair { path: path.to_owned(), source })?,
            ),
        };
        Ok((writer, repair))
    }

    /// Puts an entry where the torn line is.
    ///
    /// The entry is written over the torn bytes and what remains of them is cut off then, in this
    /// order: whenever the power fails, the trail either has the entry or is torn as before.
    fn repair(&mut self, segment: String, bytes: u64) -> io::Result<Repair> {
        let digest = digest_from(&mut self.current, self.end)?;
        let draft = Draft::new(Operation::Repair, Outcome::Done)
            .detail("segment", &segment)
            .detail("bytes", bytes.to_string())
            .detail("blake3", digest.to_string());
        let batch = self.encode(&[draft]).map_err(io::Error::other)?;
        let mut lines = Vec::new();
        for line in &batch.lines {
            lines.extend_from_slice(line);
        }
        let end = self.end + lines.len() as u64;
        self.current.write_all_at(&lines, self.end)?;
        self.current.set_len(end)?;
        self.current.sync_all()?;
        self.end = end;
        self.grow(&batch);
        Ok(Repair { seq: self.size() - 1, segment, bytes, digest })
    }
}

fn digest_from(file: &mut File, start: u64) -> io::Result<Hash> {
    file.seek(SeekFrom::Start(start))?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = [0; 8192];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(Hash(hasher.finalize().into())),
            Ok(read) => hasher.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
    }
}
