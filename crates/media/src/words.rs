//! The two hashes of an image in words, to be read aloud and held against paper.

use crate::digest::Digest;

/// What the words of a root hash are for.
pub const ROOT_DOMAIN: &str = "sesame media root 1";
/// What the words of a UKI's hash are for.
pub const UKI_DOMAIN: &str = "sesame media uki 1";

/// Words in a row: seven of at most eight letters fit beside a number in 80 columns.
const ROW: usize = 7;

/// The 25 words of a verity root hash: its 256 bits and 19 bits of checksum ([`paper::words`]).
#[must_use]
pub fn of_root_hash(digest: &Digest) -> Vec<&'static str> {
    paper::encode(ROOT_DOMAIN, &digest.0)
}

/// The 25 words of the SHA-256 of a UKI.
#[must_use]
pub fn of_uki(digest: &Digest) -> Vec<&'static str> {
    paper::encode(UKI_DOMAIN, &digest.0)
}

/// Words in numbered rows of seven, each ending in a newline.
#[must_use]
pub fn rows(words: &[&str]) -> String {
    let rows = words.chunks(ROW).enumerate();
    rows.map(|(index, row)| format!("  {}. {}\n", index + 1, row.join(" "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_the_screen_and_lead_back() {
        let longest = ["abstract"; 25];
        assert!(rows(&longest).lines().all(|line| line.len() <= 79));
        let digest = Digest::of(b"a root");
        let words = of_root_hash(&digest);
        assert_eq!(words.len(), 25);
        assert_eq!(paper::decode(ROOT_DOMAIN, 32, &rows(&words)).unwrap(), digest.0);
        // Those of a root hash are not taken for those of a UKI.
        assert!(paper::decode(UKI_DOMAIN, 32, &rows(&words)).is_err());
        assert_ne!(of_uki(&digest), words);
    }
}
