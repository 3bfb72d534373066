//! Public byte strings (salts, nonces, wraps) as lower-case hex in JSON.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes bytes as lower-case hex.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer, const N: usize>(
    bytes: &[u8; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode(bytes))
}

/// Reads exactly `N` bytes of lower-case hex.
///
/// # Errors
/// Another length or another character.
pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
    decode(&text).ok_or_else(|| D::Error::custom(format!("expected {} hex digits", 2 * N)))
}

/// Bytes as lower-case hex. Not for secrets: the text is an ordinary `String`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

/// Exactly `N` bytes of lower-case hex.
#[must_use]
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode_vec(text)?.try_into().ok()
}

/// Bytes of lower-case hex, any number of them.
#[must_use]
pub fn decode_vec(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('?')
}

/// Byte strings of any length as lower-case hex.
pub mod vec {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes bytes as lower-case hex.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode(bytes))
    }

    /// Reads lower-case hex.
    ///
    /// # Errors
    /// An odd length or another character.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        super::decode_vec(&text).ok_or_else(|| D::Error::custom("expected pairs of hex digits"))
    }
}
