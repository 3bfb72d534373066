//! 32 bytes as 64 lower-case hexadecimal digits, and back.

/// The digits of `bytes`.
pub(crate) fn encode(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of exactly 64 lower-case digits: one text for one value, so that files compare.
pub(crate) fn decode(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        let bytes = std::array::from_fn(|i| (i * 37) as u8);
        assert_eq!(decode(&encode(&bytes)), Some(bytes));
    }

    #[test]
    fn one_text_for_one_value() {
        let text = "ab".repeat(32);
        for bad in [text.to_uppercase(), text[1..].into(), format!("{text}0"), "g0".repeat(32)] {
            assert_eq!(decode(&bad), None, "{bad}");
        }
        assert_eq!(decode(&"é".repeat(32)), None, "64 bytes that are no digits");
    }
}
