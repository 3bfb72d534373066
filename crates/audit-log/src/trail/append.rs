//! Appending: one write and one sync for a batch, all of it or nothing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use tlog::merkle::{TreeHash, leaf_hash};

use super::Writer;
use crate::entry::{Draft, Outcome};
use crate::hash::Hash;
use crate::line::{MAX_LINE, Place, encode};
use crate::operation::Operation;
use crate::segment;
use crate::timestamp::Timestamp;

/// An entry that is durable now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// When it was written.
    pub time: Timestamp,
}

/// Why a batch is not in the trail.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A draft makes too long a line; nothing was written.
    #[error(
        "the entry would take {bytes} bytes, and {MAX_LINE} are the most: shorten its subject or detail"
    )]
    TooLarge {
        /// The draft, from 0.
        index: usize,
        /// The length of its line.
        bytes: usize,
    },
    /// Such entries come from [`Writer::seal`] and its like alone; nothing was written.
    #[error("an entry {0} is the trail's own to make")]
    Reserved(Operation),
    /// The batch didn't get through and what did was taken back; the writer is as it was before.
    #[error("the audit entry could not be written: {source}; make room on the disk of the trail")]
    NotWritten {
        /// What the file system said.
        source: io::Error,
    },
    /// The batch may be on the disk or not, and the writer will take no more.
    ///
    /// After a failed sync the kernel may have dropped what it could not write, and says so once.
    #[error(
        "the audit entry could not be made durable: {source}; check the disk, then restart the daemon"
    )]
    Durability {
        /// What the file system said.
        source: io::Error,
    },
    /// An earlier batch ended in [`AppendError::Durability`].
    #[error(
        "the trail takes no more entries since one could not be made durable; check the disk, then restart the daemon"
    )]
    Poisoned,
}

/// Encoded entries, and what the writer will be once they are durable.
pub(super) struct Batch {
    pub lines: Vec<Vec<u8>>,
    pub appended: Vec<Appended>,
    pub leaves: Vec<TreeHash>,
    pub last: Hash,
    pub time: Timestamp,
}

/// What of a batch goes into one segment, as one write.
struct Chunk {
    first: u64,
    bytes: Vec<u8>,
}

/// How writing a batch went wrong.
enum Failure {
    Write(io::Error),
    Sync(io::Error),
}

impl Writer {
    /// Appends a batch; on return it is durable.
    ///
    /// The result has an element for each draft. If the wall clock has gone back since the last
    /// entry, a `clock.step` entry comes before them, which the result doesn't show.
    ///
    /// # Errors
    /// [`AppendError`]; none of the drafts is in the trail then (after
    /// [`AppendError::Durability`], it is unknown).
    pub fn append(&mut self, drafts: &[Draft]) -> Result<Vec<Appended>, AppendError> {
        match drafts.iter().find(|draft| draft.operation.is_the_writers_own()) {
            Some(draft) => Err(AppendError::Reserved(draft.operation)),
            None => self.append_any(drafts),
        }
    }

    /// As before, whatever the entries are.
    pub(super) fn append_any(&mut self, drafts: &[Draft]) -> Result<Vec<Appended>, AppendError> {
        if self.is_poisoned {
            return Err(AppendError::Poisoned);
        }
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let batch = self.encode(drafts)?;
        let chunks = self.chunks(&batch.lines);
        let mut made = Vec::new();
        match self.write(&chunks, &mut made) {
            Ok(()) => {
                for (first, file) in made {
                    self.segments.push(first);
                    (self.current, self.end) = (file, 0);
                }
                self.end += chunks.last().map_or(0, |chunk| chunk.bytes.len() as u64);
                self.grow(&batch);
                Ok(batch.appended)
            }
            Err(Failure::Write(source)) => match self.take_back(&made) {
                Ok(()) => Err(AppendError::NotWritten { source }),
                Err(source) => Err(self.poison(source)),
            },
            Err(Failure::Sync(source)) => Err(self.poison(source)),
        }
    }

    /// The batch is part of the trail.
    pub(super) fn grow(&mut self, batch: &Batch) {
        for leaf in &batch.leaves {
            self.tree.push(*leaf);
        }
        (self.last, self.time) = (batch.last, batch.time);
    }

    /// Gives the drafts their numbers, times and hashes.
    pub(super) fn encode(&self, drafts: &[Draft]) -> Result<Batch, AppendError> {
        let now = (self.system.now)();
        let mut batch = Batch {
            lines: Vec::with_capacity(drafts.len() + 1),
            appended: Vec::with_capacity(drafts.len()),
            leaves: Vec::with_capacity(drafts.len() + 1),
            last: self.last,
            time: now,
        };
        let mut push = |draft: &Draft, index| {
            let seq = self.size() + batch.leaves.len() as u64;
            let place = Place { seq, time: now, prev_hash: batch.last };
            let mut line = Vec::with_capacity(512);
            let hash = encode(&mut line, draft, place, self.genesis.hash)
                .map_err(|bytes| AppendError::TooLarge { index, bytes })?;
            batch.leaves.push(leaf_hash(&line[..line.len() - 1]));
            batch.lines.push(line);
            batch.last = hash;
            Ok(Appended { seq, hash, time: now })
        };
        if now < self.time {
            let step = Draft::new(Operation::ClockStep, Outcome::Done)
                .detail("from", self.time.to_string())
                .detail("to", now.to_string());
            push(&step, 0)?;
        }
        for (index, draft) in drafts.iter().enumerate() {
            let appended = push(draft, index)?;
            batch.appended.push(appended);
        }
        Ok(batch)
    }

    /// Spreads lines over segments; the first chunk is for the current one, or empty.
    fn chunks(&self, lines: &[Vec<u8>]) -> Vec<Chunk> {
        let mut chunk = Chunk { first: self.first(), bytes: Vec::new() };
        let mut length = self.end;
        let mut chunks = Vec::new();
        for (seq, line) in (self.size()..).zip(lines) {
            let added = length + line.len() as u64;
            if length > 0 && added > self.segment_bytes {
                chunks.push(std::mem::replace(&mut chunk, Chunk { first: seq, bytes: Vec::new() }));
                length = 0;
            }
            chunk.bytes.extend_from_slice(line);
            length += line.len() as u64;
        }
        chunks.push(chunk);
        chunks
    }

    /// Writes and syncs; notes the segments that it makes, by their first entries.
    fn write(&self, chunks: &[Chunk], made: &mut Vec<(u64, File)>) -> Result<(), Failure> {
        for chunk in chunks {
            let is_new = chunk.first != self.first();
            if is_new {
                self.make_segment(chunk.first, made)?;
            }
            if chunk.bytes.is_empty() {
                continue;
            }
            let file = made.last().map_or(&self.current, |(_, file)| file);
            let start = if is_new { 0 } else { self.end };
            file.write_all_at(&chunk.bytes, start).map_err(Failure::Write)?;
            (self.system.sync)(file).map_err(Failure::Sync)?;
        }
        Ok(())
    }

    fn make_segment(&self, first: u64, made: &mut Vec<(u64, File)>) -> Result<(), Failure> {
        let path = self.path.join(segment::name(first));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path).map_err(Failure::Write)?;
        let synced = file.sync_all();
        made.push((first, file));
        synced.and_then(|()| self.dir.sync()).map_err(Failure::Sync)
    }

    /// Undoes [`Writer::write`], durably: an entry that was reported as not written must not come
    /// back after a power cut.
    fn take_back(&self, made: &[(u64, File)]) -> io::Result<()> {
        for (first, _) in made.iter().rev() {
            fs::remove_file(self.path.join(segment::name(*first)))?;
        }
        if !made.is_empty() {
            self.dir.sync()?;
        }
        self.current.set_len(self.end)?;
        self.current.sync_all()
    }

    fn poison(&mut self, source: io::Error) -> AppendError {
        self.is_poisoned = true;
        AppendError::Durability { source }
    }

    /// The first entry of the current segment.
    fn first(&self) -> u64 {
        self.segments.last().copied().unwrap_or(0)
    }
}
