//! How an entry is spelt, and which of its bytes the hash covers.

use std::io::{self, Write};

use crate::entry::{Draft, Entry};
use crate::hash::{Hash, HashAlgorithm};
use crate::timestamp::Timestamp;

/// The longest line, in bytes, with its newline.
pub const MAX_LINE: usize = 16384;

/// What stands between the covered bytes and the hash.
const BEFORE_HASH: &[u8] = b",\"hash\":\"";

/// The length of `,"hash":"<64 hex>"}` and the newline.
const TAIL: usize = BEFORE_HASH.len() + 64 + 2 + 1;

/// Why some bytes are not a line of a trail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`MAX_LINE`].
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// No `\n` at the end, or one before it.
    #[error("the line is not ended by one newline")]
    NotOneLine,
    /// Not JSON, not UTF-8, a field missing, unknown, twice or of the wrong type.
    #[error("the line is not an entry: {0}")]
    NotAnEntry(String),
    /// An entry, spelt otherwise than the writer does.
    #[error("the entry is not in canonical form (order, white space, escapes or an empty field)")]
    NotCanonical,
}

/// Reads one line, with its newline.
///
/// The line is in the one form that the writer uses, but its hash is not checked: see
/// [`hash_of`].
///
/// # Errors
/// [`LineError`]; bytes of any length and content are safe to pass.
pub fn parse_line(line: &[u8]) -> Result<Entry, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    let Some((b'\n', json)) = line.split_last() else { return Err(LineError::NotOneLine) };
    if json.contains(&b'\n') {
        return Err(LineError::NotOneLine);
    }
    let entry: Entry = serde_json::from_slice(json)
        .map_err(|error| LineError::NotAnEntry(printable(&error.to_string())))?;
    // A parser is lenient and people are inventive; only writing the entry again tells whether
    // this is the one spelling that it has.
    let mut rest = Matching(json);
    match serde_json::to_writer(&mut rest, &entry) {
        Ok(()) if rest.0.is_empty() => Ok(entry),
        _ => Err(LineError::NotCanonical),
    }
}

/// The hash that a line should carry, from its bytes as they are.
///
/// # Errors
/// [`LineError::NotOneLine`] when the bytes are too few to be a line; nothing else is checked, for
/// that is what [`parse_line`] does.
pub fn hash_of(line: &[u8], algorithm: HashAlgorithm) -> Result<Hash, LineError> {
    let covered = line.len().checked_sub(TAIL).ok_or(LineError::NotOneLine)?;
    Ok(algorithm.hash(&line[..covered]))
}

/// Where in the chain an entry goes.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub seq: u64,
    pub time: Timestamp,
    pub prev_hash: Hash,
}

/// Appends the line of `draft` to `out`, and returns its hash.
///
/// # Errors
/// The length that the line would have, when that is more than [`MAX_LINE`].
pub(crate) fn encode(
    out: &mut Vec<u8>,
    draft: &Draft,
    place: Place,
    algorithm: HashAlgorithm,
) -> Result<Hash, usize> {
    let start = out.len();
    let draft = draft.clone();
    let entry = Entry {
        seq: place.seq,
        time: place.time,
        operation: draft.operation,
        outcome: draft.outcome,
        profile: draft.profile,
        subject: draft.subject,
        actor: draft.actor,
        reporter: draft.reporter,
        detail: draft.detail,
        prev_hash: place.prev_hash,
        hash: Hash::ZERO,
    };
    serde_json::to_writer(&mut *out, &entry).expect("no map with keys that aren't text, no I/O");
    out.push(b'\n');
    let length = out.len() - start;
    if length > MAX_LINE {
        out.truncate(start);
        return Err(length);
    }
    out.truncate(out.len() - TAIL);
    let hash = algorithm.hash(&out[start..]);
    out.extend_from_slice(BEFORE_HASH);
    out.extend_from_slice(hash.to_string().as_bytes());
    out.extend_from_slice(b"\"}\n");
    Ok(hash)
}

/// What a person may be shown of a text that a forger may have chosen: no control characters, which
/// could rewrite a terminal, and not all of a long one.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (n, character) in text.chars().enumerate() {
        match character {
            _ if n == 300 => return shown + "…",
            '"' | '\'' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

/// A sink that fails on the first byte that isn't the one expected.
struct Matching<'a>(&'a [u8]);

impl Write for Matching<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
