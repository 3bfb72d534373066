//! What is on a device, and not what the kernel remembers having written there.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use media::storage::{CHUNK, Storage};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;

/// The largest logical block of any disk; open(2) wants offsets, lengths and memory in multiples of it.
const ALIGNMENT: usize = 4096;

/// The first bytes of a device or a file, read past the page cache (O_DIRECT) where that can be done.
pub struct Written<'t> {
    file: File,
    size: u64,
    state: RefCell<State<'t>>,
}

struct State<'t> {
    buffer: Vec<u8>,
    tell: Option<&'t mut dyn FnMut(u64)>,
}

impl<'t> Written<'t> {
    pub fn open(path: &Path, size: u64) -> io::Result<Self> {
        let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
        let file = match direct {
            // Files in memory know no other way than the cache.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => File::open(path)?,
            opened => opened?,
        };
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        let buffer = vec![0; CHUNK + 2 * ALIGNMENT];
        Ok(Self { file, size, state: RefCell::new(State { buffer, tell: None }) })
    }

    /// Tells somebody how many bytes have been read, from now on.
    pub fn tell(&self, tell: &'t mut dyn FnMut(u64)) {
        self.state.borrow_mut().tell = Some(tell);
    }
}

impl Storage for Written<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        let start = state.buffer.as_ptr().align_offset(ALIGNMENT);
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let before = usize::try_from(at % ALIGNMENT as u64).unwrap_or(0);
            let wanted = (buffer.len() - done).min(CHUNK - before);
            let length = (before + wanted).next_multiple_of(ALIGNMENT);
            let aligned = &mut state.buffer[start..start + length];
            let read = self.file.read_at(aligned, at - before as u64)?;
            // The last block of a file may be short, and then it has to be enough.
            let read = read.saturating_sub(before).min(wanted);
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer[done..done + read].copy_from_slice(&aligned[before..before + read]);
            done += read;
        }
        if let Some(tell) = &mut state.tell {
            tell(offset + done as u64);
        }
        Ok(())
    }
}

/// The offset of the first byte in which two of the same size differ.
pub fn first_difference(one: &dyn Storage, two: &dyn Storage) -> io::Result<Option<u64>> {
    let (mut at, mut found) = (0, None);
    let mut other = vec![0; CHUNK];
    one.stream(0, one.size(), &mut |bytes| {
        if found.is_none() {
            let other = &mut other[..bytes.len()];
            two.read_exact_at(other, at)?;
            let first = bytes.iter().zip(&*other).position(|(one, two)| one != two);
            found = first.map(|first| at + first as u64);
        }
        at += bytes.len() as u64;
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_is_named() {
        let image = vec![7; CHUNK * 2 + 100];
        let mut stick = image.clone();
        let differ = |one: &Vec<u8>, two: &Vec<u8>| {
            first_difference(&one.as_slice(), &two.as_slice()).unwrap()
        };
        assert_eq!(differ(&image, &stick), None);
        stick[CHUNK + 5] = 8;
        stick[CHUNK * 2 + 1] = 8;
        assert_eq!(differ(&image, &stick), Some(CHUNK as u64 + 5));
    }

    #[test]
    fn a_file_is_read_the_same_past_the_cache() {
        let directory = tempfile::TempDir::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = directory.path().join("written");
        let content: Vec<u8> = (0..CHUNK + 700).map(|n| (n / 3) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let size = content.len() as u64;
        let written = Written::open(&path, size).unwrap();
        assert_eq!(first_difference(&content.as_slice(), &written).unwrap(), None);
        let mut some = vec![0; 5000];
        written.read_exact_at(&mut some, 4099).unwrap();
        assert_eq!(some, content[4099..9099]);
        assert!(written.read_exact_at(&mut some, size - 10).is_err());
        assert!(
            Written::open(&path, size + 1).unwrap().read_exact_at(&mut [0; 2], size - 1).is_err()
        );
    }
}
