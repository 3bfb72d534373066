//! The two types that hold secrets: [`Secret`] of fixed size and the growing [`SecretBytes`].

use std::fmt;
use std::io::{self, Read};
use std::ptr::NonNull;

use crate::arena::arena;

/// The arena has no room for a buffer of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of secret memory")]
pub struct OutOfSecretMemory;

/// A block of the arena, wiped when dropped.
struct Block {
    ptr: NonNull<u8>,
    capacity: usize,
}

// SAFETY: a block is plain memory with one owner; sharing goes through `&`/`&mut` of the owner.
unsafe impl Send for Block {}
// SAFETY: as above: `&Block` only reads.
unsafe impl Sync for Block {}

impl Block {
    fn new(bytes: usize, reserve: bool) -> Result<Self, OutOfSecretMemory> {
        let ptr = arena().allocate(bytes, reserve).ok_or(OutOfSecretMemory)?;
        Ok(Self { ptr, capacity: arena().block_size(ptr) })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the block came from the arena in `new` and dies with its only owner.
        unsafe { arena().free(self.ptr) };
    }
}

/// A secret of exactly `N` bytes, such as a key.
pub struct Secret<const N: usize>(Block);

impl<const N: usize> Secret<N> {
    /// All zeros, to be filled in place.
    ///
    /// # Panics
    /// When the arena is full to the last reserved byte.
    #[must_use]
    pub fn zeroed() -> Self {
        Self(Block::new(N, true).expect("the arena keeps a reserve for keys"))
    }

    /// Lets `fill` write the secret in place, so that it never exists elsewhere.
    #[must_use]
    pub fn from_fn(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self::zeroed();
        fill(secret.expose_mut());
        secret
    }

    /// As [`Secret::from_fn`], for a source that can fail.
    ///
    /// # Errors
    /// What `fill` returned; what it had written is wiped.
    pub fn try_from_fn<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self::zeroed();
        fill(secret.expose_mut())?;
        Ok(secret)
    }

    /// Copies `bytes` in; the caller still owns, and wipes, the source.
    #[must_use]
    pub fn copy_of(bytes: &[u8; N]) -> Self {
        Self::from_fn(|secret| secret.copy_from_slice(bytes))
    }

    /// The secret, to read.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        // SAFETY: the block holds at least N initialised (zeroed at first) bytes and lives as long
        // as `self`; `[u8; N]` has no alignment need.
        unsafe { self.0.ptr.cast().as_ref() }
    }

    /// The secret, to write.
    pub fn expose_mut(&mut self) -> &mut [u8; N] {
        // SAFETY: as in `expose`, and `&mut self` makes the access exclusive.
        unsafe { self.0.ptr.cast().as_mut() }
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({N} bytes)")
    }
}

/// A secret of variable size: a password, a value, a decrypted frame.
pub struct SecretBytes {
    block: Option<Block>,
    len: usize,
}

impl SecretBytes {
    /// Empty; takes no memory until something is written.
    #[must_use]
    pub const fn new() -> Self {
        Self { block: None, len: 0 }
    }

    /// Empty, with room for `bytes`.
    ///
    /// # Errors
    /// [`OutOfSecretMemory`].
    pub fn with_capacity(bytes: usize) -> Result<Self, OutOfSecretMemory> {
        Ok(Self { block: Some(Block::new(bytes, false)?), len: 0 })
    }

    /// `len` zeros, to be filled in place.
    ///
    /// # Errors
    /// [`OutOfSecretMemory`].
    pub fn zeroed(len: usize) -> Result<Self, OutOfSecretMemory> {
        let mut bytes = Self::with_capacity(len)?;
        bytes.len = len;
        Ok(bytes)
    }

    /// Copies `source` in; the caller still owns, and wipes, the source.
    ///
    /// # Errors
    /// [`OutOfSecretMemory`].
    pub fn copy_of(source: &[u8]) -> Result<Self, OutOfSecretMemory> {
        let mut bytes = Self::with_capacity(source.len())?;
        bytes.extend_from_slice(source)?;
        Ok(bytes)
    }

    /// Reads to the end of `source`, at most `limit` bytes, with no copy outside the arena.
    ///
    /// `source` must not buffer (a `File`, a pipe, a socket).
    ///
    /// # Errors
    /// What `read(2)` reported; `InvalidData` when there is more than `limit`; `OutOfMemory`.
    pub fn read_from(source: &mut impl Read, limit: usize) -> io::Result<Self> {
        let mut bytes = Self::with_capacity(4096.min(limit + 1)).map_err(io::Error::other)?;
        loop {
            let start = bytes.len;
            bytes.resize((start + 4096).min(limit + 1)).map_err(io::Error::other)?;
            let read = loop {
                match source.read(&mut bytes.expose_mut()[start..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            bytes.truncate(start + read);
            if bytes.len > limit {
                let text = format!("more than {limit} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            if read == 0 {
                return Ok(bytes);
            }
        }
    }

    /// Appends `source`, growing (and wiping the old block) where needed.
    ///
    /// # Errors
    /// [`OutOfSecretMemory`]; the content is unchanged then.
    pub fn extend_from_slice(&mut self, source: &[u8]) -> Result<(), OutOfSecretMemory> {
        let start = self.len;
        self.resize(start.checked_add(source.len()).ok_or(OutOfSecretMemory)?)?;
        self.expose_mut()[start..].copy_from_slice(source);
        Ok(())
    }

    /// Makes the content `len` bytes long; new bytes are zero, cut bytes are wiped.
    ///
    /// # Errors
    /// [`OutOfSecretMemory`]; the content is unchanged then.
    pub fn resize(&mut self, len: usize) -> Result<(), OutOfSecretMemory> {
        if len <= self.len {
            self.truncate(len);
            return Ok(());
        }
        if len > self.block.as_ref().map_or(0, |block| block.capacity) {
            let bigger = Block::new(len, false)?;
            // SAFETY: the new block is larger than the content, and two blocks never overlap.
            unsafe {
                let old = self.expose();
                std::ptr::copy_nonoverlapping(old.as_ptr(), bigger.ptr.as_ptr(), old.len());
            }
            self.block = Some(bigger);
        }
        self.len = len;
        Ok(())
    }

    /// Cuts the content to `len` bytes and wipes what was cut.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            let cut = &mut self.expose_mut()[len..];
            // SAFETY: an exclusive slice is writable.
            unsafe { crate::wipe(cut.as_mut_ptr(), cut.len()) };
            self.len = len;
        }
    }

    /// Empties and wipes, keeping the room.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The secret, to read.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        match &self.block {
            // SAFETY: `len` bytes of the block are initialised and live as long as `self`.
            Some(block) => unsafe { std::slice::from_raw_parts(block.ptr.as_ptr(), self.len) },
            None => &[],
        }
    }

    /// The secret, to write.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        match &mut self.block {
            // SAFETY: as in `expose`, and `&mut self` makes the access exclusive.
            Some(block) => unsafe { std::slice::from_raw_parts_mut(block.ptr.as_ptr(), self.len) },
            None => &mut [],
        }
    }
}

impl Default for SecretBytes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_blocks_are_zero_when_they_come_back() {
        let first = SecretBytes::copy_of(&[0xaa; 500]).unwrap();
        let address = first.expose().as_ptr();
        drop(first);
        let again = SecretBytes::zeroed(500).unwrap();
        assert_eq!(again.expose().as_ptr(), address, "the same block came back");
        assert!(again.expose().iter().all(|&byte| byte == 0));
    }

    #[test]
    fn cut_bytes_are_wiped() {
        let mut bytes = SecretBytes::copy_of(b"abcdef").unwrap();
        bytes.truncate(3);
        bytes.resize(6).unwrap();
        assert_eq!(bytes.expose(), b"abc\0\0\0");
    }

    #[test]
    fn read_from_stops_at_the_limit() {
        let read = |n: usize| SecretBytes::read_from(&mut io::repeat(7).take(n as u64), 5000);
        assert_eq!(read(5000).unwrap().len(), 5000);
        assert_eq!(read(5001).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn debug_shows_sizes_only() {
        let secret = Secret::copy_of(b"hunter2!");
        assert_eq!(format!("{secret:?}"), "Secret(8 bytes)");
    }
}
