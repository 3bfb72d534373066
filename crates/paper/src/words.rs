//! Bytes as words that a person writes down, reads aloud and types in again.
//!
//! The words are those of the English list of BIP-39: 2048 words of three to eight letters, no two
//! of which begin with the same four. So a word carries 11 bits. The payload's bits come first, most
//! significant bit first; after them come the first bits of
//! SHA-256(domain ‖ `0x00` ‖ payload), as many as fill the last word and at least 16:
//!
//! | payload | checksum | words |
//! |---------|----------|-------|
//! | 16 bytes | 26 bits | 14 |
//! | 25 bytes | 20 bits | 20 |
//! | 32 bytes | 19 bits | 25 |
//!
//! Other words than those written pass for good once in 2¹⁶ to 2²⁶ times, whatever the mistake was.
//! The checksum is against mistakes: anyone can compute the words of any payload.
//!
//! The domain says what the words are for, and isn't in them. Words of another domain fail the
//! checksum. It is a constant of the program, without a zero byte.
//!
//! These are not BIP-39 mnemonics: those have a shorter checksum, and no domain.
//!
//! # Secrets
//!
//! [`encode_with`] and [`decode_into`] put no payload on the heap and keep it nowhere but in the
//! caller's buffer. Registers and the stack may still hold the last bytes that passed through, and
//! the hash. An error holds the misread word and nothing else of the text: at most 12 characters,
//! which are two words or three if nobody separated them. Neither function takes the same time for
//! all words.

use std::cmp::Reverse;

use bip39::Language;
use sha2::{Digest, Sha256};

/// How many bits a word carries.
const WORD_BITS: usize = 11;

/// The fewest bits of checksum.
const MIN_CHECKSUM_BITS: usize = 16;

/// As many letters of a word are enough.
const ABBREVIATION: usize = 4;

/// As many characters of a misread word are shown: more than any word has, less than two have.
const SHOWN: usize = 12;

/// At most so many words are suggested, each at most so many letters from what was read.
const SUGGESTIONS: usize = 3;
const FARTHEST: usize = 2;

/// Why a text isn't the words of a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A word isn't in the list, nor are its first four letters alone.
    #[error("word {position}, \"{word}\", is not in the list{}", suggest(.nearest))]
    UnknownWord {
        /// Which word, counted from 1.
        position: usize,
        /// What was read, without control characters and cut after 12 characters.
        word: String,
        /// At most three words of the list that it may have been, the likeliest first.
        nearest: Vec<&'static str>,
    },
    /// All are words of the list, but there are more or fewer than the payload takes.
    #[error(
        "expected {expected} words and found {found}; \
         compare them with the paper, one by one, and enter them again"
    )]
    WrongCount {
        /// As many words as the payload takes.
        expected: usize,
        /// As many words as there are.
        found: usize,
    },
    /// The words are right in number, but not those of any payload in this domain.
    #[error(
        "the words do not fit together: one of them was misread, or two are swapped, or they are \
         for something else; compare them with the paper, one by one, and enter them again"
    )]
    Checksum,
}

fn suggest(nearest: &[&str]) -> String {
    if nearest.is_empty() {
        return "; look at the paper again".to_owned();
    }
    format!("; did you mean {}? Look at the paper again", nearest.join(" or "))
}

/// How many words a payload of so many bytes takes.
#[must_use]
pub const fn word_count(payload_len: usize) -> usize {
    (payload_len * 8 + MIN_CHECKSUM_BITS).div_ceil(WORD_BITS)
}

/// Encodes a payload that is no secret.
///
/// The result has [`word_count`] words.
#[must_use]
pub fn encode(domain: &str, payload: &[u8]) -> Vec<&'static str> {
    let mut words = Vec::with_capacity(word_count(payload.len()));
    encode_with(domain, payload, |word| words.push(word));
    words
}

/// Encodes a payload and hands over the words one at a time, in their order.
pub fn encode_with(domain: &str, payload: &[u8], mut each: impl FnMut(&'static str)) {
    let list = Language::English.word_list();
    let checksum = checksum(domain, payload).to_be_bytes();
    let (mut bits, mut pending) = (0_u32, 0);
    let mut left = word_count(payload.len());
    for byte in payload.iter().chain(&checksum) {
        bits = bits << 8 | u32::from(*byte);
        pending += 8;
        if pending >= WORD_BITS && left > 0 {
            pending -= WORD_BITS;
            left -= 1;
            each(list[(bits >> pending) as usize % list.len()]);
        }
    }
}

/// Decodes a payload of so many bytes that is no secret.
///
/// # Errors
/// As for [`decode_into`].
pub fn decode(domain: &str, payload_len: usize, text: &str) -> Result<Vec<u8>, WordsError> {
    let mut payload = vec![0; payload_len];
    decode_into(domain, text, &mut payload)?;
    Ok(payload)
}

/// Decodes a payload of exactly the length of `out` into it.
///
/// The form of the text doesn't matter: white space, commas and hyphens separate words, numbers with
/// a dot (`7.`) are left out, case is ignored, and the first four letters stand for a word. A longer
/// word must be right to its last letter.
///
/// # Errors
/// [`WordsError::UnknownWord`] for the first word that isn't in the list; if all are, then
/// [`WordsError::WrongCount`], and at last [`WordsError::Checksum`]. `out` is then all zeros.
pub fn decode_into(domain: &str, text: &str, out: &mut [u8]) -> Result<(), WordsError> {
    let result = decode_unwiped(domain, text, out);
    if result.is_err() {
        out.fill(0);
    }
    result
}

fn decode_unwiped(domain: &str, text: &str, out: &mut [u8]) -> Result<(), WordsError> {
    let expected = word_count(out.len());
    let mut free = out.iter_mut();
    let (mut bits, mut pending) = (0_u32, 0);
    let mut found = 0;
    for word in words_in(text) {
        found += 1;
        let index = index_of(word).ok_or_else(|| unknown(found, word))?;
        bits = bits << WORD_BITS | index;
        pending += WORD_BITS;
        while pending >= 8
            && let Some(byte) = free.next()
        {
            pending -= 8;
            *byte = (bits >> pending & 0xff) as u8;
        }
    }
    if found != expected {
        return Err(WordsError::WrongCount { expected, found });
    }
    // What is pending now is the checksum, of 16 to 26 bits.
    if bits & ((1 << pending) - 1) != checksum(domain, out) >> (32 - pending) {
        return Err(WordsError::Checksum);
    }
    Ok(())
}

/// The first 32 bits of the hash.
fn checksum(domain: &str, payload: &[u8]) -> u32 {
    let hasher = Sha256::new_with_prefix(domain).chain_update([0]);
    let hash = hasher.chain_update(payload).finalize();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// The words of a text, without what stands between them and without their numbers.
fn words_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',' || c == '-')
        .map(|token| {
            let after = token.trim_start_matches(|c: char| c.is_ascii_digit());
            if after.len() == token.len() {
                token
            } else {
                after.strip_prefix('.').unwrap_or(token)
            }
        })
        .filter(|word| !word.is_empty())
}

/// The list is in order, and by their first four letters the words are too.
fn index_of(read: &str) -> Option<u32> {
    let list = Language::English.word_list();
    let start = read.get(..ABBREVIATION).unwrap_or(read);
    let start = start.bytes().map(|byte| byte.to_ascii_lowercase());
    let index = list
        .binary_search_by(|word| word.bytes().take(ABBREVIATION).cmp(start.clone()))
        .ok()
        .filter(|index| read.len() == ABBREVIATION || read.eq_ignore_ascii_case(list[*index]))?;
    u32::try_from(index).ok()
}

fn unknown(position: usize, read: &str) -> WordsError {
    let mut word: String = read.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let mut nearest = Vec::new();
    if read.chars().nth(SHOWN).is_some() {
        word.push('…');
    } else {
        nearest = nearest_to(&read.to_ascii_lowercase());
    }
    WordsError::UnknownWord { position, word, nearest }
}

/// The words nearest to one that isn't in the list; of those, first what begins like it.
fn nearest_to(read: &str) -> Vec<&'static str> {
    let distance_to = |word: &str| {
        let whole = distance(read, word);
        // Four letters or fewer may be a word cut short.
        let start = word.get(..ABBREVIATION).filter(|_| read.len() <= ABBREVIATION);
        start.map_or(whole, |start| whole.min(distance(read, start)))
    };
    let list = Language::English.word_list().iter();
    let mut near: Vec<_> = list
        .map(|word| (distance_to(word), *word))
        .filter(|(distance, _)| *distance <= FARTHEST.min(read.len() / 2))
        .collect();
    let alike = |word: &str| read.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
    near.sort_by_key(|(distance, word)| (*distance, Reverse(alike(word))));
    near.into_iter().take(SUGGESTIONS).map(|(_, word)| word).collect()
}

/// How many letters must be put in, left out or replaced to make one word the other (Levenshtein).
fn distance(read: &str, word: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (n, letter) in read.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n + 1);
        for (m, other) in word.chars().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[m + 1];
            row[m + 1] = replaced.min(diagonal + 1).min(row[m] + 1);
        }
    }
    row[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of `english.txt` in github.com/bitcoin/bips, bip-0039.
    #[test]
    fn the_list_is_that_of_bip_39() {
        let mut hasher = Sha256::new();
        for word in Language::English.word_list() {
            hasher.update(word);
            hasher.update("\n");
        }
        let hash: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda");
    }

    #[test]
    fn every_word_is_known_in_full_by_four_letters_and_in_capitals() {
        for (index, word) in (0..).zip(Language::English.word_list()) {
            let start = word.get(..ABBREVIATION).unwrap_or(word);
            for read in [word, start, &word.to_uppercase(), &start.to_uppercase()] {
                assert_eq!(index_of(read), Some(index), "{read}");
            }
        }
    }

    #[test]
    fn a_distance_counts_letters() {
        let cases =
            [("", "", 0), ("abandon", "abandon", 0), ("abondan", "abandon", 2), ("cat", "cart", 1)];
        for (read, word, expected) in cases {
            assert_eq!(distance(read, word), expected, "{read} {word}");
            assert_eq!(distance(word, read), expected, "{word} {read}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
