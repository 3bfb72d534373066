//! Files of a trail: the names of segments and checkpoints, and lines in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use crate::line::MAX_LINE;

/// A segment or checkpoint before it is durable; a crash may leave it, and it is nobody's loss.
pub(crate) const SCRATCH: &str = "new.tmp";

/// The most bytes that a power cut may have left after the last whole line.
///
/// A batch is written at once, and a file system may put zeros where data did not arrive, so this
/// is more than a line; it is bounded because a sparse file can claim any length.
pub(crate) const MAX_TORN: u64 = 16 << 20;

/// The name of the segment that begins with entry `first`.
pub(crate) fn name(first: u64) -> String {
    format!("segment-{first:020}.jsonl")
}

/// The name of the checkpoint over the first `size` entries.
pub(crate) fn checkpoint_name(size: u64) -> String {
    format!("checkpoint-{size:020}.note")
}

/// The first entry of the segment of this name; none when no segment has such a name.
pub(crate) fn first_of(file_name: &str) -> Option<u64> {
    let first = file_name.strip_prefix("segment-")?.strip_suffix(".jsonl")?.parse().ok()?;
    // A sign, or fewer digits, parse too.
    (name(first) == file_name).then_some(first)
}

/// The size of the checkpoint of this name; none when no checkpoint has such a name, and none over
/// nothing.
pub(crate) fn size_of(file_name: &str) -> Option<u64> {
    let size = file_name.strip_prefix("checkpoint-")?.strip_suffix(".note")?.parse().ok()?;
    (checkpoint_name(size) == file_name && size > 0).then_some(size)
}

/// Why there is no next line.
#[derive(Debug)]
pub(crate) enum LineFault {
    /// The file ends with this many bytes that no newline follows.
    Torn(u64),
    /// No newline within the length of a line, and more than a power cut leaves.
    TooLong,
    /// The file can't be read.
    Io(io::Error),
}

/// The lines of a file, one at a time.
pub(crate) struct Lines {
    reader: BufReader<io::Take<File>>,
    line: Vec<u8>,
    offset: u64,
}

impl Lines {
    /// The lines between two places in the file, in bytes; the first must be the start of a line.
    pub fn between(mut file: File, start: u64, end: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(start))?;
        let reader = BufReader::with_capacity(1 << 16, file.take(end.saturating_sub(start)));
        Ok(Self { reader, line: Vec::with_capacity(512), offset: start })
    }

    /// Where in the file the line after the last whole one begins.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line with its newline; none at the end.
    pub fn next(&mut self) -> Result<Option<&[u8]>, LineFault> {
        self.line.clear();
        let mut bounded = (&mut self.reader).take(MAX_LINE as u64);
        let read = bounded.read_until(b'\n', &mut self.line).map_err(LineFault::Io)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() != Some(&b'\n') {
            return Err(self.torn(read as u64));
        }
        self.offset += read as u64;
        Ok(Some(&self.line))
    }

    /// Tells the end of a file that a power cut tore from a line that is too long.
    fn torn(&mut self, mut bytes: u64) -> LineFault {
        while bytes <= MAX_TORN {
            let chunk = match self.reader.fill_buf() {
                Ok([]) => return LineFault::Torn(bytes),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return LineFault::Io(error),
            };
            if chunk.contains(&b'\n') {
                break;
            }
            let length = chunk.len();
            bytes += length as u64;
            self.reader.consume(length);
        }
        LineFault::TooLong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_that_a_writer_gives_are_segments() {
        assert_eq!(first_of(&name(0)), Some(0));
        assert_eq!(first_of(&name(u64::MAX)), Some(u64::MAX));
        for bad in [
            "segment-0.jsonl",
            "segment-+0000000000000000001.jsonl",
            "segment-99999999999999999999.jsonl",
            "segment-000000000000000000001.jsonl",
            "segment-00000000000000000001.jsonl~",
            "../segment-00000000000000000001.jsonl",
            "",
        ] {
            assert_eq!(first_of(bad), None, "{bad}");
            let checkpoint = bad.replace("segment", "checkpoint").replace("jsonl", "note");
            assert_eq!(size_of(&checkpoint), None, "{checkpoint}");
        }
        assert_eq!(size_of(&checkpoint_name(41)), Some(41));
        assert_eq!(size_of(&checkpoint_name(0)), None);
    }
}
