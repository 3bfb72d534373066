//! The hash of an entry, and the two functions that a trail may choose from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Keeps an entry's hash from being the hash of anything else that the project hashes.
const DOMAIN: &str = "pds v2 audit-entry v1";

/// 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry has for a predecessor.
    pub const ZERO: Self = Self([0; 32]);
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hexadecimal digits")]
pub struct ParseHashError;

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(ParseHashError),
        };
        if text.len() != 64 {
            return Err(ParseHashError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::entry::from_text(deserializer)
    }
}

/// The function that chains a trail, chosen once, in its genesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// BLAKE3 in its key derivation mode, under a context of our own.
    #[default]
    Blake3,
    /// SHA-256 (FIPS 180-4) over a prefix of our own, a zero byte and the entry.
    Sha256,
}

impl HashAlgorithm {
    /// Every algorithm, for a reader that must find out which one it has before it.
    pub const ALL: [Self; 2] = [Self::Blake3, Self::Sha256];

    /// The name in the genesis and in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }

    /// Hashes the covered bytes of an entry.
    #[must_use]
    pub fn hash(self, covered: &[u8]) -> Hash {
        match self {
            Self::Blake3 => Hash(blake3::derive_key(DOMAIN, covered)),
            Self::Sha256 => {
                let hasher = Sha256::new_with_prefix(DOMAIN).chain_update([0]);
                Hash(hasher.chain_update(covered).finalize().into())
            }
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of a hash function that trails don't use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown audit hash {0:?}: expected blake3 or sha256")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for HashAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        found.ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

impl Serialize for HashAlgorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for HashAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::entry::from_text(deserializer)
    }
}

/// A trail in 40 bytes: how many entries it has, and the hash of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of entries; the last one has the sequence number `size - 1`.
    pub size: u64,
    /// The hash of the last entry.
    pub hash: Hash,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second is `printf 'pds v2 audit-entry v1\0{"seq":0' | sha256sum`; a change of either
    /// breaks every trail there is.
    #[test]
    fn the_hashes_are_fixed() {
        insta::assert_snapshot!(HashAlgorithm::Blake3.hash(b"{\"seq\":0"));
        insta::assert_snapshot!(HashAlgorithm::Sha256.hash(b"{\"seq\":0"));
    }

    #[test]
    fn a_hash_reads_what_it_writes_and_nothing_else() {
        let hash = HashAlgorithm::Blake3.hash(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let text = hash.to_string();
        for bad in [&text[1..], &text.to_uppercase(), &format!("{text}0"), &"é".repeat(32), ""] {
            assert_eq!(bad.parse::<Hash>(), Err(ParseHashError), "{bad}");
        }
    }
}
