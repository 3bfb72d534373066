//! Names: eleven bytes of the short one, and UTF-16 of the long one in pieces of 13.

use crate::storage::LittleEndian;

/// Where the characters of a piece are in its entry.
const PLACES: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// The bit in the number of a piece that says that it is the last one, which comes first.
const LAST: u8 = 0x40;
/// The most pieces: 255 characters.
pub(super) const MAX_PIECES: u8 = 20;

/// `BOOTX64.EFI`: base and extension without their padding. Bytes beyond ASCII become U+FFFD.
pub(super) fn short_name(bytes: &[u8]) -> String {
    let (base, extension) = bytes.split_at(8);
    let text = |bytes: &[u8]| {
        let text: String = bytes.iter().map(|byte| ascii(*byte)).collect();
        text.trim_end_matches(' ').to_owned()
    };
    match text(extension) {
        extension if extension.is_empty() => text(base),
        extension => format!("{}.{extension}", text(base)),
    }
}

/// A slash would make one name look like two.
fn ascii(byte: u8) -> char {
    if byte.is_ascii() && byte != b'/' { char::from(byte) } else { char::REPLACEMENT_CHARACTER }
}

/// The pieces that have been seen, the last one first.
#[derive(Default)]
pub(super) struct LongName {
    units: Vec<[u16; 13]>,
    next: u8,
    sum: u8,
}

impl LongName {
    /// Takes a piece; one that doesn't follow the one before begins anew.
    pub(super) fn push(&mut self, entry: &[u8]) {
        let (number, sum) = (entry[0], entry[13]);
        if number & LAST != 0 {
            *self = Self { units: Vec::new(), next: number & !LAST, sum };
        }
        let follows =
            (1..=MAX_PIECES).contains(&self.next) && number & !LAST == self.next && sum == self.sum;
        if follows {
            self.units.push(PLACES.map(|at| entry.u16_at(at).unwrap_or_default()));
            self.next -= 1;
        } else {
            *self = Self::default();
        }
    }

    /// The name, if all pieces are there and belong to this short name.
    pub(super) fn finish(self, short_name: &[u8]) -> Option<String> {
        if self.units.is_empty() || self.next != 0 || self.sum != sum_of(short_name) {
            return None;
        }
        let units = self.units.iter().rev().flatten().copied().take_while(|unit| *unit != 0);
        let name = char::decode_utf16(units).map(|unit| match unit {
            Ok('/') | Err(_) => char::REPLACEMENT_CHARACTER,
            Ok(character) => character,
        });
        Some(name.collect())
    }
}

/// The sum over a short name that its long name carries.
fn sum_of(short_name: &[u8]) -> u8 {
    short_name.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
