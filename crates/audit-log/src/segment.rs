//! Segments on disk: their names, opening them without trust, and their lines in bounded memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::line::MAX_LINE;

/// The genesis before it is durable; a crash may leave it, and it is nobody's loss.
pub(crate) const SCRATCH: &str = "genesis.tmp";

/// The most bytes that a power cut may have left after the last whole line.
///
/// A batch is written at once, and a file system may put zeros where data did not arrive, so this
/// is more than a line; it is bounded because a sparse file can claim any length.
const MAX_TORN: u64 = 16 << 20;

/// The name of the segment that begins with entry `first`.
pub(crate) fn name(first: u64) -> String {
    format!("segment-{first:020}.jsonl")
}

/// The first entry of the segment of this name; none when no segment has such a name.
pub(crate) fn first_of(file_name: &str) -> Option<u64> {
    let first = file_name.strip_prefix("segment-")?.strip_suffix(".jsonl")?.parse().ok()?;
    // A sign, or fewer digits, parse too.
    (name(first) == file_name).then_some(first)
}

/// Why a directory can't be listed as a trail.
#[derive(Debug)]
pub(crate) enum ListError {
    /// Not a directory.
    NotADirectory,
    /// It holds something of this name.
    Foreign(String),
    /// The directory can't be read.
    Io(io::Error),
}

/// The segments in `dir`, in order, by their first entries; none when there is no such directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<u64>, ListError> {
    let names = match fs::read_dir(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(ListError::NotADirectory);
        }
        Err(error) => return Err(ListError::Io(error)),
    };
    let mut segments = Vec::new();
    for entry in names {
        let name = entry.map_err(ListError::Io)?.file_name();
        match name.to_str().and_then(first_of) {
            Some(first) => segments.push(first),
            None if name == SCRATCH => {}
            None => return Err(ListError::Foreign(name.display().to_string())),
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Opens a regular file for reading; none when it is anything else.
///
/// A link could lead out of the trail, and a pipe or a device could keep us waiting for ever.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    // Opening a device can have effects of its own, so look first; what is opened is looked at
    // again, for the name may mean something else by then.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
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
        }
    }
}
