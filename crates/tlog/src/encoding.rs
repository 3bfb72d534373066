//! How numbers and bytes are spelt: one spelling each, so that what was read is written back alike.

use data_encoding::BASE64;

use crate::merkle::TreeHash;

/// Reads base64 of RFC 4648 §4, with padding and without stray bits or line ends.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    // The library takes several texts in a row, each with its padding.
    (to_base64(&bytes) == text).then_some(bytes)
}

/// Writes it.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Reads a hash in base64.
pub(crate) fn hash(text: &str) -> Option<TreeHash> {
    from_base64(text)?.try_into().ok()
}

/// Reads a number in decimal: digits, and no zero in front of others. `parse` alone takes `+1` too.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if digits && canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in
            ["", "00", "01", "+1", "-1", "1 ", " 1", "1_0", "0x1", "١", "18446744073709551616"]
        {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn bytes_have_one_spelling() {
        assert_eq!(from_base64("AQ==").unwrap(), [1]);
        for bad in ["AR==", "AQ", "AQ=", "AQ==\n", " AQ==", "A-==", "AQ==AQ=="] {
            assert_eq!(from_base64(bad), None, "{bad:?}");
        }
    }
}
