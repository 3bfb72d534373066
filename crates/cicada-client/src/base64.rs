//! Base64 (RFC 4648, section 4, with padding) from and to secret memory.

use data_encoding::BASE64;
use secret_memory::{OutOfSecretMemory, Secret, SecretBytes, with_clean_stack};

/// The text of some bytes, in secret memory, for a request.
pub struct Base64Text(SecretBytes);

impl Base64Text {
    pub fn of(bytes: &[u8]) -> Result<Self, OutOfSecretMemory> {
        let mut text = SecretBytes::zeroed(BASE64.encode_len(bytes.len()))?;
        with_clean_stack(|| BASE64.encode_mut(bytes, text.expose_mut()));
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.expose()).expect("base64 is ASCII")
    }
}

/// A secret of exactly `N` bytes; nothing when the text is another one.
pub fn secret<const N: usize>(text: &str) -> Result<Option<Secret<N>>, OutOfSecretMemory> {
    let Some(length) = whole_length::<N>(text) else { return Ok(None) };
    let mut decoded = SecretBytes::zeroed(length)?;
    let found = with_clean_stack(|| BASE64.decode_mut(text.as_bytes(), decoded.expose_mut()));
    let exact = matches!(found, Ok(bytes) if bytes == N);
    let secret = decoded.expose().first_chunk().filter(|_| exact);
    Ok(secret.map(Secret::copy_of))
}

/// Public bytes of exactly `N`; nothing when the text is another one.
pub fn public<const N: usize>(text: &str) -> Option<Box<[u8; N]>> {
    whole_length::<N>(text)?;
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Public bytes, as many as there are.
pub fn any(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|_| !is_padded_inside(text))
}

/// data-encoding takes several padded texts in a row for one (RFC 4648 §3.3 does not).
fn is_padded_inside(text: &str) -> bool {
    text.trim_end_matches('=').contains('=')
}

/// What decoding takes, where the text has as many characters as `N` bytes give.
fn whole_length<const N: usize>(text: &str) -> Option<usize> {
    let right = text.len() == BASE64.encode_len(N) && !is_padded_inside(text);
    BASE64.decode_len(text.len()).ok().filter(|_| right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_the_way_there_and_back() {
        let key: [u8; 32] = std::array::from_fn(|index| index as u8 ^ 0xa5);
        let text = Base64Text::of(&key).unwrap();
        assert_eq!(text.as_str().len(), 44);
        assert_eq!(secret::<32>(text.as_str()).unwrap().unwrap().expose(), &key);
        assert_eq!(*public::<32>(text.as_str()).unwrap(), key);
    }

    #[test]
    fn another_length_is_no_key() {
        for length in [0, 31, 33, 64] {
            let text = Base64Text::of(&vec![7; length]).unwrap();
            assert!(secret::<32>(text.as_str()).unwrap().is_none(), "{length} bytes");
            assert!(public::<32>(text.as_str()).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn text_that_is_not_canonical_is_no_key() {
        let canonical = Base64Text::of(&[0; 32]).unwrap();
        let trailing_bits = canonical.as_str().replace("A=", "B=");
        for text in [trailing_bits, "!".repeat(44), format!("{}==", "A".repeat(42))] {
            assert_eq!(text.len(), 44);
            assert!(secret::<32>(&text).unwrap().is_none(), "{text}");
            assert!(public::<32>(&text).is_none(), "{text}");
        }
    }
}
