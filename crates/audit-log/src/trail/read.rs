//! Reading a trail in pages while it is being written.

use std::io;
use std::path::PathBuf;

use super::Writer;
use crate::segment::{self, LineFault, Lines};
use crate::source::{Source, open_regular};
use crate::verify::MAX_CHECKPOINT;

/// Where the last page ended, so that the next one needs no search.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    seq: u64,
    segment: usize,
    offset: u64,
}

/// Why a page can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else changed the segment while we had it.
    #[error("{} is not as it was written: run `sesame audit verify`", .0.display())]
    Changed(PathBuf),
}

impl Writer {
    /// The lines from entry `from` on: as many as fit `max_bytes`, but one at least; none from the
    /// end of the trail on.
    ///
    /// Only durable entries are read. The lines are as they are on disk and nothing about them is
    /// checked here; whoever gets them does that. Pages in sequence cost no search.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let mut page = Vec::new();
        if from >= self.size() {
            return Ok(page);
        }
        let mut at = self.start(from);
        while let Some(first) = self.segments.get(at.segment) {
            let is_last = at.segment + 1 == self.segments.len();
            let end = if is_last { self.end } else { u64::MAX };
            let path = self.path.join(segment::name(*first));
            let io = |source| ReadError::Io { path: path.clone(), source };
            let file = open_regular(&path).map_err(io)?;
            let file = file.ok_or_else(|| ReadError::Changed(path.clone()))?;
            let mut lines = Lines::between(file, at.offset, end).map_err(io)?;
            loop {
                let line = match lines.next() {
                    Ok(Some(line)) => line,
                    Ok(None) => break,
                    Err(LineFault::Io(source)) => return Err(io(source)),
                    Err(_) => return Err(ReadError::Changed(path)),
                };
                if at.seq >= from {
                    if !page.is_empty() && page.len() + line.len() > max_bytes {
                        self.cursor.set(Some(at));
                        return Ok(page);
                    }
                    page.extend_from_slice(line);
                }
                at = Cursor { seq: at.seq + 1, segment: at.segment, offset: lines.offset() };
            }
            if is_last {
                break;
            }
            at = Cursor { seq: at.seq, segment: at.segment + 1, offset: 0 };
        }
        self.cursor.set(Some(at));
        Ok(page)
    }

    /// The first checkpoint that covers more than `size` entries, and how many; none after the last.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_checkpoint(&self, size: u64) -> Result<Option<(u64, Vec<u8>)>, ReadError> {
        let index = self.checkpoints.partition_point(|covered| *covered <= size);
        let Some(size) = self.checkpoints.get(index) else { return Ok(None) };
        let name = segment::checkpoint_name(*size);
        let path = self.path.join(&name);
        let read = Source::Directory(self.path.clone()).open(&name);
        let bytes = read.and_then(|part| part.map_or(Ok(None), |part| part.read(MAX_CHECKPOINT)));
        match bytes {
            Ok(Some(bytes)) => Ok(Some((*size, bytes))),
            Ok(None) => Err(ReadError::Changed(path)),
            Err(source) => Err(ReadError::Io { path, source }),
        }
    }

    /// Where to begin looking for entry `from`.
    fn start(&self, from: u64) -> Cursor {
        let segment = self.segments.partition_point(|first| *first <= from).saturating_sub(1);
        match self.cursor.get() {
            Some(cursor) if cursor.segment == segment && cursor.seq <= from => cursor,
            _ => Cursor { seq: self.segments[segment], segment, offset: 0 },
        }
    }
}
