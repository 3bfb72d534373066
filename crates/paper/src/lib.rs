//! What goes onto paper and comes back: words that a person reads aloud, and QR codes.
//!
//! - [`words`]: bytes as words of the BIP-39 list, with a checksum, and back.
//! - [`head`]: the head of the audit trail in 20 words.
//! - [`qr`](mod@qr): a QR code as text for a terminal.

#![forbid(unsafe_code)]

pub mod head;
pub mod qr;
pub mod words;

pub use head::{TooLarge, head_words, parse_head_words};
pub use qr::{QrText, TooLong, qr};
pub use words::{WordsError, decode, decode_into, encode, encode_with, word_count};
