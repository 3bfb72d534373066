//! From a fuzzer's bytes to an input that is worth trying.

use std::ops::Range;

/// What parsers trip over, to be written into the middle of something.
const TROUBLE: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\u001b[2J",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b"=",
    b",",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"18446744073709551616",
    b"1e400",
    b"null",
    b"true",
    b"\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\x0f",
    "\u{202e}\u{200b}\u{feff}".as_bytes(),
    b"\x1b[2J",
    b"\xc3\x28",
    b"'''",
    b"\"\"\"",
    b"#",
];
/// Most changes to one sample: more leave nothing of it.
const MAX_EDITS: usize = 6;

/// First bytes below this one give the rest as it is: noise is tried too, but seldom.
const RAW: u8 = 16;

/// An input: `orders` without its first byte when that is small, and otherwise one of the valid
/// `samples`, damaged as the other bytes say.
#[must_use]
pub fn shape(samples: &[Vec<u8>], orders: &[u8]) -> Vec<u8> {
    let Some((first, rest)) = orders.split_first() else { return Vec::new() };
    let Some(chosen) = first.checked_sub(RAW) else { return rest.to_vec() };
    let mut input = samples[usize::from(chosen) % samples.len()].clone();
    damage(&mut input, samples, rest);
    input
}

/// Changes `input` a few times, four bytes of `orders` each.
pub(crate) fn damage(input: &mut Vec<u8>, samples: &[Vec<u8>], orders: &[u8]) {
    for order in orders.chunks_exact(4).take(MAX_EDITS) {
        let [what, high, low, how] = *order else { return };
        let at = usize::from(u16::from_be_bytes([high, low])) % (input.len() + 1);
        let end = (at + 1 + usize::from(how) % 32).min(input.len());
        match what % 16 {
            0 if at < input.len() => input[at] ^= 1 << (how % 8),
            1 if at < input.len() => input[at] = how,
            2 => input.insert(at, how),
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            5 => drop(input.splice(at..at, trouble(how))),
            6 => {
                let other = &samples[usize::from(how) % samples.len()];
                let from = at.min(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            7 if how < 64 => input.truncate(at),
            // What text is made of: lines, and what stands between two quotes.
            8 => drop(input.drain(around(input, at, b'\n'))),
            9 => {
                let line = around(input, at, b'\n');
                let again = input[line.clone()].to_vec();
                input.splice(line.end..line.end, [b"\n".to_vec(), again].concat());
            }
            10 => drop(input.drain(around(input, at, b'"'))),
            11 => drop(input.splice(around(input, at, b'"'), trouble(how))),
            // As it was: few changes, and none at all, are worth trying too.
            _ => {}
        }
    }
}

fn trouble(how: u8) -> impl Iterator<Item = u8> {
    TROUBLE[usize::from(how) % TROUBLE.len()].iter().copied()
}

/// What lies around `at`, from one `border` to the next, without either.
fn around(input: &[u8], at: usize, border: u8) -> Range<usize> {
    let before = input[..at].iter().rposition(|byte| *byte == border).map_or(0, |found| found + 1);
    let after = input[at..].iter().position(|byte| *byte == border);
    before..after.map_or(input.len(), |found| at + found)
}

/// Numbers, choices and texts, as long as the bytes last; then zeros.
pub(crate) struct Source<'a>(pub &'a [u8]);

impl<'a> Source<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// Small ones, and ones at the edges of their range.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=127 => small.into(),
            128..=159 => u64::MAX - u64::from(self.byte()),
            bits => (1_u64 << (bits % 64)).wrapping_add(self.byte().into()).wrapping_sub(2),
        }
    }

    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let wanted = usize::from(self.byte());
        let (taken, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn text(&mut self) -> &'a str {
        let bytes = self.bytes();
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    pub(crate) fn some<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 5).map(|_| make(self)).collect()
    }

    pub(crate) fn choice<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_first_byte_gives_the_rest_and_any_other_a_sample() {
        let samples = [b"first".to_vec(), b"second".to_vec()];
        assert_eq!(shape(&samples, b"\0raw bytes"), b"raw bytes");
        assert_eq!(shape(&samples, &[16]), b"first");
        assert_eq!(shape(&samples, &[17]), b"second");
        assert_eq!(shape(&samples, &[16, 1, 0, 1, b'u']), b"furst");
        assert_eq!(shape(&samples, &[]), b"");
    }

    #[test]
    fn lines_and_quoted_texts_are_taken_whole() {
        let samples = [b"a = \"b c\"\nd\n".to_vec()];
        assert_eq!(shape(&samples, &[16, 8, 0, 6, 0]), b"\nd\n");
        assert_eq!(shape(&samples, &[16, 9, 0, 10, 0]), b"a = \"b c\"\nd\nd\n");
        assert_eq!(shape(&samples, &[16, 10, 0, 6, 0]), b"a = \"\"\nd\n");
        assert_eq!(shape(&samples, &[16, 11, 0, 6, 0]), b"a = \"\0\"\nd\n");
    }

    #[test]
    fn no_order_is_beyond_the_end_of_its_sample() {
        let samples = [b"abc".to_vec(), Vec::new()];
        for first in [16, 17] {
            for what in 0..=255 {
                for at in [0, 1, 2, 3, 4, 255] {
                    for how in [0, 31, 255] {
                        let _ = shape(&samples, &[first, what, 0, at, how, what, 255, at, how]);
                    }
                }
            }
        }
    }
}
