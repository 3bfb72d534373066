//! A frame: a little-endian `u32` and that many bytes. The reader takes bytes as they arrive.

/// Bytes of the length in front of each frame.
pub const HEADER_BYTES: usize = 4;
/// Largest content of a frame, in bytes: a secret of 64 KiB with its request around it, encrypted.
pub const MAX_FRAME_BYTES: usize = 96 * 1024;

/// The peer announced a frame larger than any that this protocol has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {announced} bytes was announced; the limit is {MAX_FRAME_BYTES}")]
pub struct Oversized {
    /// The announced length, in bytes.
    pub announced: usize,
}

/// Collects bytes and gives out whole frames. Holds ciphertext only.
#[derive(Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// Where the first byte that was not yet given out lies.
    start: usize,
}

impl FrameBuffer {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if all of it has arrived.
    ///
    /// # Errors
    /// [`Oversized`], as soon as the length is known; nothing is buffered for it.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, Oversized> {
        let Some((header, rest)) = self.bytes[self.start..].split_first_chunk::<HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes(*header) as usize;
        if announced > MAX_FRAME_BYTES {
            return Err(Oversized { announced });
        }
        if rest.len() < announced {
            return Ok(None);
        }
        let begin = self.start + HEADER_BYTES;
        self.start = begin + announced;
        Ok(Some(&self.bytes[begin..self.start]))
    }

    /// Whether [`FrameBuffer::next_frame`] has something to say: a whole frame, or a refusal.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.bytes[self.start..].split_first_chunk::<HEADER_BYTES>().is_some_and(
            |(header, rest)| {
                let announced = u32::from_le_bytes(*header) as usize;
                announced > MAX_FRAME_BYTES || rest.len() >= announced
            },
        )
    }

    /// Bytes that arrived and were not given out yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Takes exactly `N` bytes from the front, if so many have arrived (for the preamble).
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let chunk = *self.bytes[self.start..].first_chunk::<N>()?;
        self.start += N;
        Some(chunk)
    }
}

/// Appends the header for a content of `len` bytes; the caller appends the content.
pub fn push_header(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However the bytes are cut, the same frames come out.
        #[test]
        fn frames_survive_any_fragmentation(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
            cuts in proptest::collection::vec(1_usize..40, 1..80),
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                push_header(&mut stream, frame.len());
                stream.extend_from_slice(frame);
            }
            let mut buffer = FrameBuffer::default();
            let mut received = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                buffer.push(now);
                rest = later;
                loop {
                    let announced = buffer.has_frame();
                    let Some(frame) = buffer.next_frame().unwrap() else {
                        prop_assert!(!announced);
                        break;
                    };
                    prop_assert!(announced);
                    received.push(frame.to_vec());
                }
            }
            prop_assert_eq!(received, frames);
            prop_assert_eq!(buffer.pending(), 0);
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_by_its_header_alone() {
        let mut buffer = FrameBuffer::default();
        buffer.push(&u32::MAX.to_le_bytes());
        assert!(buffer.has_frame());
        assert_eq!(buffer.next_frame(), Err(Oversized { announced: u32::MAX as usize }));
    }
}
