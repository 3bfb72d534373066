//! The hash of an entry, the two functions that a trail may choose from, and the head of a trail.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Keeps an entry's hash from being the hash of anything else that the project hashes.
const DOMAIN: &str = "pds v2 audit-entry v1";

/// What BLAKE3 makes of [`DOMAIN`], once instead of for every entry.
static BLAKE3_CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(DOMAIN));

/// 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry has for a predecessor.
    pub const ZERO: Self = Self([0; 32]);

    /// Reads 64 lower-case hexadecimal digits.
    pub(crate) fn from_hex(digits: &[u8; 64]) -> Option<Self> {
        let mut hash = [0; 32];
        // Both halves of a bad digit have high bits; gathered, they are looked at once.
        let mut bad = 0;
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (DIGIT[usize::from(pair[0])], DIGIT[usize::from(pair[1])]);
            bad |= high | low;
            *byte = high << 4 | low & 15;
        }
        (bad & 0xf0 == 0).then_some(Self(hash))
    }

    /// Writes them.
    pub(crate) fn to_hex(self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

/// The value of each lower-case hexadecimal digit; 0xff for every other byte.
static DIGIT: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.to_hex()).map_err(|_| fmt::Error)?)
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
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| ParseHashError)?;
        Self::from_hex(digits).ok_or(ParseHashError)
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
            Self::Blake3 => {
                let mut hasher = blake3::Hasher::new_from_context_key(&BLAKE3_CONTEXT);
                Hash(hasher.update(covered).finalize().into())
            }
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

/// A trail in 40 bytes: how many entries it has, and the root of the tree over them.
///
/// The tree is the one of RFC 6962, with SHA-256 whatever the trail chains with; its leaves are the
/// lines, without their newlines. So an entry anywhere decides the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of entries; the last one has the sequence number `size - 1`.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

impl fmt::Display for Head {
    /// `SIZE:ROOT`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.root)
    }
}

/// A head as somebody kept it: whole, or with the part of the root that fits on paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedHead {
    /// The number of entries.
    pub size: u64,
    root: [u8; 32],
    /// How many bytes of the root are known.
    known: usize,
}

impl ExpectedHead {
    /// From the first 20 bytes of the root, which are those that go into words.
    #[must_use]
    pub fn from_prefix(size: u64, prefix: [u8; 20]) -> Self {
        let mut root = [0; 32];
        root[..20].copy_from_slice(&prefix);
        Self { size, root, known: 20 }
    }

    /// Whether a tree of this size may have this root.
    #[must_use]
    pub fn allows(&self, root: &Hash) -> bool {
        self.root[..self.known] == root.0[..self.known]
    }
}

impl From<Head> for ExpectedHead {
    fn from(head: Head) -> Self {
        Self { size: head.size, root: head.root.0, known: 32 }
    }
}

/// The text is not `SIZE:ROOT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected SIZE:ROOT, a number and 64 hexadecimal digits")]
pub struct ParseHeadError;

impl FromStr for Head {
    type Err = ParseHeadError;

    /// Upper-case digits too, which is what a QR code has.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (size, root) = text.split_once(':').ok_or(ParseHeadError)?;
        let is_number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let size = size.parse().ok().filter(|_| is_number).ok_or(ParseHeadError)?;
        let root = root.to_ascii_lowercase().parse().map_err(|_| ParseHeadError)?;
        Ok(Self { size, root })
    }
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
        let head = Head { size: 42, root: hash };
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(head.to_string().to_uppercase().parse(), Ok(head));
        for bad in ["", "42", ":", "42:", &format!("+1:{hash}"), &format!(":{hash}")] {
            assert_eq!(bad.parse::<Head>(), Err(ParseHeadError), "{bad}");
        }
        for bad in [&text[1..], &text.to_uppercase(), &format!("{text}0"), &"é".repeat(32), ""] {
            assert_eq!(bad.parse::<Hash>(), Err(ParseHashError), "{bad}");
        }
    }
}
