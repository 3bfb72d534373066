//! The known key that a typo probably meant.

use crate::keys::{Key, TABLE};

/// The known key closest to `text`, unless all are far off.
///
/// A name in the wrong section, or in none, counts as close.
pub(crate) fn nearest(text: &str) -> Option<Key> {
    // The distance costs time in proportion to the length, and no key is nearly so long.
    if text.chars().count() > 64 {
        return None;
    }
    let text = text.to_lowercase().replace('-', "_");
    let name = text.rsplit('.').next().unwrap_or(&text);
    if let Some(spec) = TABLE.iter().find(|spec| spec.name == name) {
        return Some(spec.key);
    }
    let distances = Key::all().map(|key| (distance(&text, &key.to_string()), key));
    let (least, key) = distances.min()?;
    (least <= 1 + text.chars().count() / 5).then_some(key)
}

/// Levenshtein's: insertions, deletions and substitutions that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_their_key() {
        assert_eq!(nearest("crypto.kfd"), Some(Key::CryptoKdf));
        assert_eq!(nearest("unlock.free_attempt"), Some(Key::UnlockFreeAttempts));
        assert_eq!(nearest("unlock.free-attempts"), Some(Key::UnlockFreeAttempts));
        assert_eq!(nearest("sandbox.Seccomp"), Some(Key::SandboxSeccomp));
        assert_eq!(nearest("noise_cipher"), Some(Key::CryptoNoiseCipher));
        assert_eq!(nearest("security.kdf"), Some(Key::CryptoKdf));
    }

    #[test]
    fn nonsense_finds_none() {
        for text in ["", ".", "colour.scheme", "x", "crypto"] {
            assert_eq!(nearest(text), None, "{text}");
        }
        assert_eq!(nearest(&"crypto.kdf".repeat(1000)), None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
