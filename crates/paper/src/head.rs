//! The head of the audit trail in 20 words: what an operator notes on paper.

use crate::words::{self, WordsError, word_count};

const DOMAIN: &str = "pds v2 audit-head v1";

/// As many bytes of the size are in the words.
const SIZE: usize = 5;
/// As many bytes of the root hash are in the words.
const ROOT: usize = 20;

/// How many words a head takes.
pub const HEAD_WORDS: usize = 20;
const _: () = assert!(word_count(SIZE + ROOT) == HEAD_WORDS);

/// The trail has 2⁴⁰ entries or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trail of {size} entries is too long for words; note its size and hash in digits")]
pub struct TooLarge {
    /// How many entries it has.
    pub size: u64,
}

/// The words of the head of a trail with so many entries and this root hash.
///
/// The payload is the first 20 bytes of the hash, and the size in 5 bytes, big-endian, under the
/// domain `pds v2 audit-head v1` ([`words`] has the rest of the format). The checksum has 20 bits.
/// The size is combined with the first 5 bytes by exclusive or, because a small number alone would
/// read "abandon abandon abandon".
///
/// To find another trail for the words of a given one takes 2¹⁶⁰ hashes. To find two trails with the
/// same words takes 2⁸⁰, for one who chooses the content of both.
///
/// # Errors
/// [`TooLarge`] when the size takes more than 5 bytes.
pub fn head_words(size: u64, root: &[u8; 32]) -> Result<[&'static str; HEAD_WORDS], TooLarge> {
    let [0, 0, 0, size_bytes @ ..] = size.to_be_bytes() else {
        return Err(TooLarge { size });
    };
    let mut payload = [0; SIZE + ROOT];
    payload[..ROOT].copy_from_slice(&root[..ROOT]);
    payload[ROOT..].copy_from_slice(&size_bytes);
    mask_size(&mut payload);
    let mut head = [""; HEAD_WORDS];
    let mut free = head.iter_mut();
    words::encode_with(DOMAIN, &payload, |word| {
        if let Some(place) = free.next() {
            *place = word;
        }
    });
    Ok(head)
}

/// The size of a trail and the first 20 bytes of its root hash, from the words of its head.
///
/// # Errors
/// Those of [`words::decode_into`], which says too what a text may look like.
pub fn parse_head_words(text: &str) -> Result<(u64, [u8; 20]), WordsError> {
    let mut payload = [0; SIZE + ROOT];
    words::decode_into(DOMAIN, text, &mut payload)?;
    mask_size(&mut payload);
    let (mut size, mut root) = ([0; 8], [0; ROOT]);
    root.copy_from_slice(&payload[..ROOT]);
    size[8 - SIZE..].copy_from_slice(&payload[ROOT..]);
    Ok((u64::from_be_bytes(size), root))
}

/// Hides the size behind the hash, or shows it again.
fn mask_size(payload: &mut [u8; SIZE + ROOT]) {
    let (root, size) = payload.split_at_mut(ROOT);
    for (byte, mask) in size.iter_mut().zip(root) {
        *byte ^= *mask;
    }
}
