//! Who signs: the name of a key, and the short id beside it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::verifier_key::SignatureType;

/// The longest name, in bytes: what an ML-DSA-44 cosignature signs has one byte for its length (C2SP
/// tlog-cosignature).
pub const MAX_NAME: usize = 255;

/// The name of a key, and of a log: 1 to [`MAX_NAME`] bytes, without white space, `+` and control
/// characters (C2SP signed-note).
///
/// By recommendation a URL without a scheme, such as `example.com/log42`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// Why a text is not the name of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyNameError {
    /// No character at all.
    #[error("a key name is not empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("a key name has {MAX_NAME} bytes at most")]
    TooLong,
    /// A space of any kind, a `+` or a control character.
    #[error("a key name has no white space, no plus sign and no control character")]
    Character,
}

impl KeyName {
    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyName {
    type Error = KeyNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let forbidden = |c: char| c.is_whitespace() || c == '+' || c.is_control();
        match name {
            name if name.is_empty() => Err(KeyNameError::Empty),
            name if name.len() > MAX_NAME => Err(KeyNameError::TooLong),
            name if name.contains(forbidden) => Err(KeyNameError::Character),
            name => Ok(Self(name)),
        }
    }
}

impl TryFrom<&str> for KeyName {
    type Error = KeyNameError;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        name.to_owned().try_into()
    }
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.try_into()
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Four bytes that tell the keys of one name apart. No proof of anything: collisions are cheap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    /// The id that C2SP signed-note recommends, and tlog-cosignature requires.
    #[must_use]
    pub fn of(name: &KeyName, signature_type: SignatureType, public_key: &[u8]) -> Self {
        let hasher = Sha256::new_with_prefix(name.as_str())
            .chain_update([b'\n', signature_type as u8])
            .chain_update(public_key);
        let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
