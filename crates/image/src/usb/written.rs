//! What is on a device, and not what the kernel remembers having written there.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use media::storage::{CHUNK, Storage};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, PosixFadviseAdvice, fcntl, posix_fadvise};

/// The largest logical block of any disk; open(2) wants offsets, lengths and memory in multiples of it.
const ALIGNMENT: usize = 4096;

/// The first bytes of a device or a file, read past the page cache (O_DIRECT) where that can be done.
pub struct Written<'t> {
    file: &'t File,
    size: u64,
    state: RefCell<State<'t>>,
}

struct State<'t> {
    buffer: Vec<u8>,
    tell: Option<&'t mut dyn FnMut(u64)>,
}

impl<'t> Written<'t> {
    /// Of a file that was written through this very descriptor, which reads past the cache from now on.
    pub fn new(file: &'t File, size: u64) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
        match fcntl(file, FcntlArg::F_SETFL(flags | OFlag::O_DIRECT)) {
            // Files in memory know no other way than the cache.
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
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

#[cfg(test)]
mod tests {
    use media::storage::first_difference;

    use super::*;

    #[test]
    fn a_file_is_read_the_same_past_the_cache() {
        let directory = tempfile::TempDir::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = directory.path().join("written");
        let content: Vec<u8> = (0..CHUNK + 700).map(|n| (n / 3) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let size = content.len() as u64;
        let file = File::open(&path).unwrap();
        let written = Written::new(&file, size).unwrap();
        assert_eq!(first_difference(&content.as_slice(), &written).unwrap(), None);
        let mut some = vec![0; 5000];
        written.read_exact_at(&mut some, 4099).unwrap();
        assert_eq!(some, content[4099..9099]);
        assert!(written.read_exact_at(&mut some, size - 10).is_err());
        let longer = Written::new(&file, size + 1).unwrap();
        assert!(longer.read_exact_at(&mut [0; 2], size - 1).is_err());
    }
}
