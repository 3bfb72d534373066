//! A recovery share on paper: words in numbered rows, and a QR code beside them.
//!
//! The words are those of [`paper::words`] under the domain `pds v2 recovery-share v1`: 36 for a share
//! without a passphrase, 48 for a locked one. The QR code holds `SHARE:` and the share in base32
//! (RFC 4648, without padding); the same text may be typed or scanned in the place of the words.
//!
//! A share is put into words in secret memory. The QR code is made on the heap and the stack, which
//! are wiped behind it (`WipingAllocator`, `with_clean_deep_stack`).

use data_encoding::BASE32_NOPAD;
use key_hierarchy::share::{LOCKED_BYTES, PLAIN_BYTES};
use paper::{WordsError, word_count};
use secret_memory::{OutOfSecretMemory, SecretBytes, with_clean_deep_stack, with_clean_stack};

use crate::exit::{Code, Failure};

const DOMAIN: &str = "pds v2 recovery-share v1";
/// Tells the text of a QR code from words.
const QR_PREFIX: &[u8] = b"SHARE:";

/// A row of the table has so many words, and so a share fits on 80 columns beside its QR code.
const WORDS_A_ROW: usize = 3;
/// `48. ` and the longest word of the list, and a space behind it.
const CELL: usize = 13;
/// An empty line after so many rows.
const ROWS_A_GROUP: usize = 4;
/// How deep the QR encoder goes.
const QR_STACK: usize = 256 << 10;

/// The words in numbered rows, with the QR code beside them: a screen for one share.
pub fn screen(share: &SecretBytes, colour: bool) -> Result<SecretBytes, Failure> {
    let table = table(share)?;
    let code = with_clean_deep_stack::<QR_STACK, _>(|| qr(share, colour))?;
    let mut screen = SecretBytes::with_capacity(16 << 10)?;
    let mut rows = table.expose().chunks(WORDS_A_ROW * CELL);
    for line in code.expose().split_inclusive(|byte| *byte == b'\n') {
        screen.extend_from_slice(rows.next().unwrap_or(&[b' '; WORDS_A_ROW * CELL]))?;
        screen.extend_from_slice(line)?;
    }
    for row in rows {
        screen.extend_from_slice(row)?;
        screen.extend_from_slice(b"\n")?;
    }
    Ok(screen)
}

/// The words in numbered rows, and the text of the QR code.
pub fn plain(share: &SecretBytes) -> Result<SecretBytes, Failure> {
    let mut text = SecretBytes::with_capacity(2048)?;
    for row in table(share)?.expose().chunks(WORDS_A_ROW * CELL) {
        text.extend_from_slice(row.trim_ascii_end())?;
        text.extend_from_slice(b"\n")?;
    }
    text.extend_from_slice(qr_text(share)?.expose())?;
    text.extend_from_slice(b"\n")?;
    Ok(text)
}

/// The words with a space between.
pub fn words(share: &SecretBytes) -> Result<SecretBytes, OutOfSecretMemory> {
    let mut text = SecretBytes::with_capacity(9 * word_count(LOCKED_BYTES))?;
    let mut written = Ok(());
    with_clean_stack(|| {
        paper::encode_with(DOMAIN, share.expose(), |word| {
            let separator: &[u8] = if text.is_empty() { b"" } else { b" " };
            let both = text
                .extend_from_slice(separator)
                .and_then(|()| text.extend_from_slice(word.as_bytes()));
            written = written.and(both);
        });
    });
    written.map(|()| text)
}

/// What the QR code holds.
pub fn qr_text(share: &SecretBytes) -> Result<SecretBytes, OutOfSecretMemory> {
    let mut text = SecretBytes::copy_of(QR_PREFIX)?;
    text.resize(QR_PREFIX.len() + BASE32_NOPAD.encode_len(share.len()))?;
    BASE32_NOPAD.encode_mut(share.expose(), &mut text.expose_mut()[QR_PREFIX.len()..]);
    Ok(text)
}

/// Rows of equal length, without line feeds; every so many rows an empty one.
fn table(share: &SecretBytes) -> Result<SecretBytes, OutOfSecretMemory> {
    let words = words(share)?;
    let mut table = SecretBytes::with_capacity(2048)?;
    for (index, word) in words.expose().split(|byte| *byte == b' ').enumerate() {
        let group = WORDS_A_ROW * ROWS_A_GROUP;
        if index > 0 && index % group == 0 {
            table.extend_from_slice(&[b' '; WORDS_A_ROW * CELL])?;
        }
        let end = table.len() + CELL;
        table.extend_from_slice(format!("{:>2}. ", index + 1).as_bytes())?;
        table.extend_from_slice(word)?;
        table.extend_from_slice(&[b' '; CELL][..end.saturating_sub(table.len())])?;
    }
    Ok(table)
}

fn qr(share: &SecretBytes, colour: bool) -> Result<SecretBytes, Failure> {
    let text = qr_text(share)?;
    let text = std::str::from_utf8(text.expose()).expect("base32 is ASCII");
    let code = paper::qr(text).map_err(|error| Failure::new(Code::FAILED, error.to_string()))?;
    let code = if colour { code.coloured() } else { code.plain() };
    Ok(SecretBytes::copy_of(code.as_bytes())?)
}

/// Reads a share as it is typed, line by line.
#[derive(Default)]
pub struct Reader {
    /// The words so far, with a space behind each line.
    words: SecretBytes,
    count: usize,
}

/// What a line made of it.
pub enum Read {
    /// More words are needed: so many are there, of so many.
    More(usize, usize),
    /// The share is whole.
    Whole(SecretBytes),
}

/// Why a line was not taken. Says no word of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// A word that isn't in the list. The lines before are kept.
    #[error("word {0} is not one of the list; look at the paper, and type this line again")]
    Word(
        /// Which, counted from the first word of the share.
        usize,
    ),
    /// All the words are there, and don't fit together. All of them are forgotten.
    #[error(
        "the words do not fit together: one was misread, or two are swapped, or they are no recovery \
         share; compare them with the paper, and type all of them again"
    )]
    Checksum,
    /// More words than a share has. All of them are forgotten.
    #[error("{found} words, and a share has {expected}; type all of them again")]
    Count {
        /// How many there are.
        found: usize,
        /// How many the first word announces.
        expected: usize,
    },
    /// `SHARE:` and something else than a share.
    #[error("the text of the QR code was misread; scan it again, or type the words")]
    Code,
    /// No room.
    #[error(transparent)]
    Memory(#[from] OutOfSecretMemory),
}

impl Reader {
    /// Whether nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes a line: some words, with or without their numbers, or the text of a QR code.
    pub fn line(&mut self, line: &[u8]) -> Result<Read, Misread> {
        let line = line.trim_ascii();
        if line.len() >= QR_PREFIX.len() && line[..QR_PREFIX.len()].eq_ignore_ascii_case(QR_PREFIX)
        {
            return decode_qr(&line[QR_PREFIX.len()..]).map(Read::Whole);
        }
        let found = self.count_words(line)?;
        self.words.extend_from_slice(line)?;
        self.words.extend_from_slice(b" ")?;
        self.count += found;
        let bytes = if is_plain(self.words.expose()) { PLAIN_BYTES } else { LOCKED_BYTES };
        let expected = word_count(bytes);
        if self.count < expected {
            return Ok(Read::More(self.count, expected));
        }
        let read = std::mem::take(self);
        if read.count > expected {
            return Err(Misread::Count { found: read.count, expected });
        }
        let mut share = SecretBytes::zeroed(bytes)?;
        let text = std::str::from_utf8(read.words.expose()).map_err(|_| Misread::Checksum)?;
        with_clean_stack(|| paper::decode_into(DOMAIN, text, share.expose_mut()))
            .map_err(|_| Misread::Checksum)?;
        Ok(Read::Whole(share))
    }

    /// How many words a line has, all of them of the list.
    fn count_words(&self, line: &[u8]) -> Result<usize, Misread> {
        let text = std::str::from_utf8(line).map_err(|_| Misread::Word(self.count + 1))?;
        let mut scratch = SecretBytes::zeroed(LOCKED_BYTES)?;
        match with_clean_stack(|| paper::decode_into(DOMAIN, text, scratch.expose_mut())) {
            Ok(()) | Err(WordsError::Checksum) => Ok(word_count(LOCKED_BYTES)),
            Err(WordsError::WrongCount { found, .. }) => Ok(found),
            Err(WordsError::UnknownWord { position, .. }) => {
                Err(Misread::Word(self.count + position))
            }
        }
    }
}

fn decode_qr(text: &[u8]) -> Result<SecretBytes, Misread> {
    let mut upper = SecretBytes::copy_of(text)?;
    upper.expose_mut().make_ascii_uppercase();
    let length = BASE32_NOPAD.decode_len(upper.len()).map_err(|_| Misread::Code)?;
    let mut share = SecretBytes::zeroed(length)?;
    let length =
        BASE32_NOPAD.decode_mut(upper.expose(), share.expose_mut()).map_err(|_| Misread::Code)?;
    share.truncate(length);
    if [PLAIN_BYTES, LOCKED_BYTES].contains(&length) { Ok(share) } else { Err(Misread::Code) }
}

/// The first byte of a share says whether it is locked, and is in the first word. It is no secret.
fn is_plain(words: &[u8]) -> bool {
    let first = words
        .split(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'-'))
        .map(|token| {
            let after = token.trim_ascii_start();
            let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            after[digits..].strip_prefix(b".").unwrap_or(after)
        })
        .find(|word| !word.is_empty());
    let Some(first) = first else { return true };
    // A zero byte and three bits more.
    (0..8_u8).any(|bits| {
        let of_a_plain_share = paper::encode(DOMAIN, &[0, bits << 5]);
        let word = of_a_plain_share[0].as_bytes();
        let compared = word.len().min(4);
        first.get(..compared).is_some_and(|start| start.eq_ignore_ascii_case(&word[..compared]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(length: usize, lock: u8) -> SecretBytes {
        let mut share = SecretBytes::zeroed(length).unwrap();
        for (n, byte) in (0..).zip(share.expose_mut()) {
            *byte = 37_u8.wrapping_mul(n);
        }
        share.expose_mut()[0] = lock;
        share
    }

    fn both() -> [SecretBytes; 2] {
        [share(PLAIN_BYTES, 0), share(LOCKED_BYTES, 1)]
    }

    fn read(lines: &[&[u8]]) -> Result<Read, Misread> {
        let mut reader = Reader::default();
        let mut last = Ok(Read::More(0, 0));
        for line in lines {
            last = reader.line(line);
            if !matches!(last, Ok(Read::More(..))) {
                break;
            }
        }
        last
    }

    fn whole(result: Result<Read, Misread>) -> Vec<u8> {
        match result {
            Ok(Read::Whole(share)) => share.expose().to_vec(),
            Ok(Read::More(there, of)) => panic!("{there} of {of} words"),
            Err(misread) => panic!("{misread}"),
        }
    }

    #[test]
    fn a_share_reads_back_from_its_words_its_table_and_its_qr_text() {
        for share in both() {
            let words = words(&share).unwrap();
            assert_eq!(whole(read(&[words.expose()])), share.expose());
            let plain = plain(&share).unwrap();
            let lines: Vec<&[u8]> = plain.expose().split(|byte| *byte == b'\n').collect();
            let (table, code) = lines.split_at(lines.len() - 2);
            assert_eq!(whole(read(table)), share.expose(), "row by row, with numbers");
            assert_eq!(whole(read(&[code[0]])), share.expose());
            assert_eq!(whole(read(&[&code[0].to_ascii_lowercase()])), share.expose());
        }
    }

    #[test]
    fn four_letters_of_each_word_are_enough() {
        for share in both() {
            let text = words(&share).unwrap();
            let text = std::str::from_utf8(text.expose()).unwrap().to_uppercase();
            let short: Vec<&str> = text.split(' ').map(|word| &word[..word.len().min(4)]).collect();
            assert_eq!(whole(read(&[short.join(" ").as_bytes()])), share.expose());
        }
    }

    #[test]
    fn it_says_how_many_words_are_there_of_how_many() {
        for (share, expected) in both().iter().zip([36, 48]) {
            let words = words(share).unwrap();
            let some: Vec<&[u8]> = words.expose().split(|byte| *byte == b' ').take(5).collect();
            let Ok(Read::More(there, of)) = read(&[&some.join(&b' ')]) else { panic!("5 words") };
            assert_eq!((there, of), (5, expected));
        }
    }

    #[test]
    fn a_misread_word_is_named_by_its_place_and_never_shown() {
        let text = words(&share(PLAIN_BYTES, 0)).unwrap();
        let text = std::str::from_utf8(text.expose()).unwrap();
        let all: Vec<&str> = text.split(' ').collect();
        let mut reader = Reader::default();
        let _ = reader.line(all[..6].join(" ").as_bytes());
        let misread = reader.line(b"abandon xyzzyword able").err().unwrap();
        assert_eq!(misread, Misread::Word(8));
        assert!(!misread.to_string().contains("xyzzy"));
        let rest = reader.line(all[6..].join(" ").as_bytes());
        assert_eq!(whole(rest), share(PLAIN_BYTES, 0).expose(), "the first line was kept");

        let mut swapped = all.clone();
        swapped.swap(7, 8);
        assert_eq!(read(&[swapped.join(" ").as_bytes()]).err(), Some(Misread::Checksum));
        let longer = format!("{text} able");
        let count = Misread::Count { found: 37, expected: 36 };
        assert_eq!(read(&[longer.as_bytes()]).err(), Some(count));
        assert_eq!(read(&[b"SHARE:ABC1"]).err(), Some(Misread::Code));
        assert_eq!(read(&[b"SHARE:AAAA"]).err(), Some(Misread::Code));
    }

    #[test]
    fn a_share_and_its_code_fit_a_screen() {
        for (share, name) in both().iter().zip(["plain", "locked"]) {
            for colour in [false, true] {
                let screen = screen(share, colour).unwrap();
                let text = std::str::from_utf8(screen.expose()).unwrap();
                // The lines above and below it take two more.
                assert!(text.lines().count() <= 22, "{name}: {} lines", text.lines().count());
                for line in text.lines() {
                    let shown = line.split('\x1b').enumerate().map(|(n, part)| match n {
                        0 => part,
                        _ => part.split_once('m').map_or(part, |(_, shown)| shown),
                    });
                    let columns: usize = shown.map(|part| part.chars().count()).sum();
                    assert!(columns <= 80, "{name}: {columns} columns: {line}");
                }
            }
        }
    }

    #[test]
    fn the_code_beside_the_words_is_that_of_the_share() {
        for share in both() {
            let text = qr_text(&share).unwrap();
            let code = paper::qr(std::str::from_utf8(text.expose()).unwrap()).unwrap();
            for (colour, code) in [(false, code.plain()), (true, code.coloured())] {
                let screen = screen(&share, colour).unwrap();
                let screen = std::str::from_utf8(screen.expose()).unwrap();
                let beside: Vec<&str> = screen.lines().map(|line| &line[39..]).collect();
                assert_eq!(beside, code.lines().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_words_stand_beside_the_code() {
        let screen = screen(&share(PLAIN_BYTES, 0), false).unwrap();
        let text = std::str::from_utf8(screen.expose()).unwrap();
        let words: Vec<&str> =
            text.lines().map(|line| line.get(..39).unwrap_or(line).trim_end()).collect();
        insta::assert_snapshot!(words.join("\n").trim_end());
    }
}
