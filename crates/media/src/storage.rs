//! Bytes that are read at an offset: a file, a device, a part of either.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// As many bytes are read at once where much is read in a row.
pub const CHUNK: usize = 1 << 20;

/// Bytes of a known number, read at any offset.
pub trait Storage {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    /// Those of the device; `UnexpectedEof` when there are fewer bytes.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Hands over the bytes from `offset` in pieces of at most [`CHUNK`] bytes.
    ///
    /// # Errors
    /// As [`Storage::read_exact_at`]; and those of `each`, which end it.
    fn stream(
        &self,
        offset: u64,
        length: u64,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
        let mut at = offset;
        while at < end {
            let size = buffer.len().min(usize::try_from(end - at).unwrap_or(CHUNK));
            self.read_exact_at(&mut buffer[..size], at)?;
            each(&buffer[..size])?;
            at += size as u64;
        }
        Ok(())
    }
}

impl Storage for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = start.checked_add(buffer.len()).and_then(|end| self.get(start..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A file or a block device, opened for reading.
#[derive(Debug)]
pub struct Disk {
    file: File,
    size: u64,
}

impl Disk {
    /// Opens a file or a block device.
    ///
    /// # Errors
    /// Those of open(2) and lseek(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // A device has no length but this one.
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size })
    }
}

impl Storage for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// A part of other storage, such as a partition.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    whole: &'a dyn Storage,
    start: u64,
    size: u64,
}

impl<'a> Region<'a> {
    /// The `size` bytes from `start`; `None` where the whole has fewer.
    #[must_use]
    pub fn new(whole: &'a dyn Storage, start: u64, size: u64) -> Option<Self> {
        let end = start.checked_add(size)?;
        (end <= whole.size()).then_some(Self { whole, start, size })
    }
}

impl Storage for Region<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.whole.read_exact_at(buffer, self.start + offset)
    }
}

/// Numbers in little-endian order, as all formats on a disk have them. `None` beyond the end.
pub(crate) trait LittleEndian {
    fn u16_at(&self, at: usize) -> Option<u16>;
    fn u32_at(&self, at: usize) -> Option<u32>;
    fn u64_at(&self, at: usize) -> Option<u64>;
}

impl LittleEndian for [u8] {
    fn u16_at(&self, at: usize) -> Option<u16> {
        self.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        self.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn u64_at(&self, at: usize) -> Option<u64> {
        self.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
    }
}

/// The offset of the first byte in which two of the same size differ, if there is one.
///
/// # Errors
/// Those of the devices; `UnexpectedEof` when the second has fewer bytes.
pub fn first_difference(one: &dyn Storage, two: &dyn Storage) -> io::Result<Option<u64>> {
    let mut other = vec![0; CHUNK];
    first(one, 0, one.size(), |at, bytes| {
        let other = &mut other[..bytes.len()];
        two.read_exact_at(other, at)?;
        Ok(bytes.iter().zip(&*other).position(|(one, two)| one != two))
    })
}

/// The offset of the first byte that is not zero, if there is one.
pub(crate) fn first_nonzero(storage: &dyn Storage, from: u64, to: u64) -> io::Result<Option<u64>> {
    first(storage, from, to, |_, bytes| Ok(bytes.iter().position(|byte| *byte != 0)))
}

/// The first offset that `find` finds; it gets pieces in a row, each with its own offset, until then.
fn first(
    storage: &dyn Storage,
    from: u64,
    to: u64,
    mut find: impl FnMut(u64, &[u8]) -> io::Result<Option<usize>>,
) -> io::Result<Option<u64>> {
    let (mut at, mut found) = (from, None);
    storage.stream(from, to.saturating_sub(from), &mut |bytes| {
        if found.is_none() {
            found = find(at, bytes)?.map(|first| at + first as u64);
        }
        at += bytes.len() as u64;
        Ok(())
    })?;
    Ok(found)
}

/// A size for people, in the units that are printed on disks: powers of ten, one digit after the point,
/// rounded down.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10)),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end_of_a_part() {
        let whole: &[u8] = &[1, 2, 3, 4, 5, 6];
        let part = Region::new(&whole, 2, 3).unwrap();
        let mut buffer = [0; 3];
        part.read_exact_at(&mut buffer, 0).unwrap();
        assert_eq!(buffer, [3, 4, 5]);
        assert!(part.read_exact_at(&mut buffer, 1).is_err());
        assert!(part.read_exact_at(&mut buffer, u64::MAX).is_err());
        assert!(Region::new(&whole, 4, 3).is_none());
        assert!(Region::new(&whole, u64::MAX, 2).is_none());
        assert!(part.stream(1, 3, &mut |_| Ok(())).is_err());
    }

    #[test]
    fn the_first_byte_that_is_not_zero_is_found_across_pieces() {
        let find = |bytes: &Vec<u8>, from| {
            first_nonzero(&bytes.as_slice(), from, bytes.len() as u64).unwrap()
        };
        let mut bytes = vec![0; CHUNK + 10];
        assert_eq!(find(&bytes, 0), None);
        bytes[CHUNK + 3] = 1;
        bytes[CHUNK + 5] = 1;
        assert_eq!(find(&bytes, 7), Some(CHUNK as u64 + 3));
    }
    #[test]
    fn the_first_byte_that_differs_is_found_across_pieces() {
        let one = vec![7; CHUNK * 2 + 100];
        let mut two = one.clone();
        let differ =
            |one: &Vec<u8>, two: &Vec<u8>| first_difference(&one.as_slice(), &two.as_slice());
        assert_eq!(differ(&one, &two).unwrap(), None);
        two[CHUNK + 5] = 8;
        two[CHUNK * 2 + 1] = 8;
        assert_eq!(differ(&one, &two).unwrap(), Some(CHUNK as u64 + 5));
        two.truncate(CHUNK);
        assert!(differ(&one, &two).is_err());
    }

    #[test]
    fn sizes_are_those_on_the_label_of_a_disk() {
        let sizes = [0, 999, 1000, 999_999, 12_049_999, 3_299_000_000, 2_000_000_000_000, u64::MAX];
        let expected = [
            "0 bytes",
            "999 bytes",
            "1.0 kB",
            "999.9 kB",
            "12.0 MB",
            "3.2 GB",
            "2.0 TB",
            "18446744.0 TB",
        ];
        assert_eq!(sizes.map(human_size), expected);
    }
}
