//! The known key or name that a typo probably meant.

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
    closest(&text, Key::all().map(|key| (key.to_string(), key)))
}

/// The name closest to `text`, unless all are far off.
pub(crate) fn nearest_name(text: &str, names: &[&'static str]) -> Option<&'static str> {
    if text.chars().count() > 64 {
        return None;
    }
    closest(&text.to_lowercase(), names.iter().map(|name| ((*name).to_owned(), *name)))
}

fn closest<T: Ord>(text: &str, candidates: impl Iterator<Item = (String, T)>) -> Option<T> {
    let distances = candidates.map(|(name, candidate)| (distance(text, &name), candidate));
    let (least, candidate) = distances.min()?;
    (least <= 1 + text.chars().count() / 5).then_some(candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`: optimal
/// string alignment, after Damerau and Levenshtein.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut earlier = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let substituted = above[j] + usize::from(from != to);
            let mut least = substituted.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(earlier[j - 1] + 1);
            }
            row.push(least);
        }
        earlier = std::mem::replace(&mut above, row);
    }
    above[b.len()]
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
        assert_eq!(nearest("auth.required"), Some(Key::AuthPolicyRequired));
        assert_eq!(nearest("auth.policy.mode"), Some(Key::AuthMode));
        assert_eq!(nearest("auth.polcy.require"), Some(Key::AuthPolicyRequired));
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
        assert_eq!(distance("tmp", "tpm"), 1);
        assert_eq!(distance("abcd", "badc"), 2);
    }
}
