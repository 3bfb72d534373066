//! postcard, with secret memory on both sides: encoding appends to [`SecretBytes`], decoding borrows.

use postcard::ser_flavors::Flavor;
use secret_memory::SecretBytes;
use serde::{Deserialize, Serialize};

/// Most messages fit into this many bytes, and need not grow.
const USUAL_BYTES: usize = 512;

/// Bytes that are no message of this protocol, or a message that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes do not decode, or something is left over.
    #[error("not a message of this protocol")]
    Malformed,
    /// The message does not fit into secret memory.
    #[error("out of secret memory")]
    OutOfMemory,
}

/// Encodes `message` in secret memory.
///
/// # Errors
/// [`CodecError::OutOfMemory`].
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<SecretBytes, CodecError> {
    let room = SecretBytes::with_capacity(USUAL_BYTES).map_err(|_| CodecError::OutOfMemory)?;
    postcard::serialize_with_flavor(message, SecretFlavor(room))
        .map_err(|_| CodecError::OutOfMemory)
}

/// Decodes one message that takes all of `bytes`; strings and byte strings are borrowed from it.
///
/// # Errors
/// [`CodecError::Malformed`].
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(CodecError::Malformed),
    }
}

struct SecretFlavor(SecretBytes);

impl Flavor for SecretFlavor {
    type Output = SecretBytes;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes).map_err(|_| postcard::Error::SerializeBufferFull)
    }

    fn finalize(self) -> postcard::Result<SecretBytes> {
        Ok(self.0)
    }
}
