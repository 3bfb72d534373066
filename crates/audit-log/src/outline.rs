//! The quick way through a line that is as the writer made it.
//!
//! [`parse_line`](crate::parse_line) decides what an entry is: it parses the line with a library and
//! writes it again, to see whether that was the one spelling that it has. Most lines that a verifier
//! sees need none of that. [`outline`] walks over the bytes once, allocates nothing, and accepts only
//! what `parse_line` accepts too, if the two hashes are some; what it can't tell (an escape in a text,
//! say) it leaves to it.

use crate::entry::Outcome;
use crate::hash::Hash;
use crate::line::MAX_LINE;
use crate::operation::Operation;

/// What a verifier needs of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline<'a> {
    pub seq: u64,
    /// The time as it is written.
    pub time: &'a str,
    pub operation: Operation,
    /// What stands where the hashes do. Whoever compares these with a hash in its digits has seen that
    /// they are one, and need not read them.
    pub prev_hash: &'a [u8; 64],
    pub hash: &'a [u8; 64],
}

/// Reads a line with its newline; none when `parse_line` has to say what it is.
pub(crate) fn outline(line: &[u8]) -> Option<Outline<'_>> {
    if line.len() > MAX_LINE {
        return None;
    }
    let mut rest = Rest(str::from_utf8(line).ok()?);
    rest.skip("{\"seq\":")?;
    let seq = rest.number(u64::MAX)?;
    rest.skip(",\"time\":\"")?;
    let time = rest.time()?;
    rest.skip("\",\"operation\":\"")?;
    let operation = rest.text()?.parse().ok()?;
    rest.skip(",\"outcome\":\"")?;
    let _: Outcome = rest.text()?.parse().ok()?;
    for name in [",\"profile\":\"", ",\"subject\":\""] {
        if rest.skip(name).is_some() && rest.text()?.is_empty() {
            return None;
        }
    }
    for name in [",\"actor\":{", ",\"reporter\":{"] {
        if rest.skip(name).is_some() {
            rest.actor()?;
        }
    }
    if rest.skip(",\"detail\":{\"").is_some() {
        rest.detail()?;
    }
    rest.skip(",\"prev_hash\":\"")?;
    let prev_hash = rest.digits()?;
    rest.skip(",\"hash\":\"")?;
    let hash = rest.digits()?;
    (rest.0 == "}\n").then_some(Outline { seq, time, operation, prev_hash, hash })
}

/// What of the line is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// The next `length` bytes, when they end where a character does.
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number without leading zeros.
    fn number(&mut self, max: u64) -> Option<u64> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.take(digits)?;
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        digits.parse().ok().filter(|number| *number <= max)
    }

    /// A text up to its closing quote; none that has escapes, or characters that need them.
    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20)?;
        let text = self.take(end)?;
        self.skip("\"")?;
        Some(text)
    }

    /// As many bytes as a hash has digits, up to a closing quote.
    fn digits(&mut self) -> Option<&'a [u8; 64]> {
        let digits = self.take(64)?.as_bytes().try_into().ok()?;
        self.skip("\"")?;
        Some(digits)
    }

    /// A time in the one form that [`Timestamp`](crate::Timestamp) has.
    fn time(&mut self) -> Option<&'a str> {
        let time = self.take(27)?;
        let bytes = time.as_bytes();
        let is_shaped = bytes.iter().zip(b"dddd-dd-ddTdd:dd:dd.ddddddZ").all(|(byte, shape)| {
            if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape }
        });
        if !is_shaped {
            return None;
        }
        let number = |at: usize| u32::from(bytes[at] - b'0') * 10 + u32::from(bytes[at + 1] - b'0');
        let (year, month, day) = (number(0) * 100 + number(2), number(5), number(8));
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u32::from(is_leap),
            _ => return None,
        };
        let is_time = year >= 1970
            && (1..=days).contains(&day)
            && number(11) < 24
            && number(14) < 60
            && number(17) < 60;
        is_time.then_some(time)
    }

    /// An actor, after its opening brace.
    fn actor(&mut self) -> Option<()> {
        self.skip("\"uid\":")?;
        self.number(u32::MAX.into())?;
        self.skip(",\"pid\":")?;
        self.number(u32::MAX.into())?;
        if self.skip(",\"key\":\"").is_some() {
            Hash::from_hex(self.digits()?)?;
        }
        if self.skip(",\"name\":\"").is_some() && self.text()?.is_empty() {
            return None;
        }
        self.skip("}")
    }

    /// The detail, after its first quote: texts by names in their order, no name twice.
    fn detail(&mut self) -> Option<()> {
        let mut previous = None;
        loop {
            let name = self.text()?;
            if previous.is_some_and(|previous| previous >= name) {
                return None;
            }
            previous = Some(name);
            self.skip(":\"")?;
            self.text()?;
            if self.skip("}").is_some() {
                return Some(());
            }
            self.skip(",\"")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::parse_line;
    use proptest::prelude::*;

    const LINE: &str = concat!(
        r#"{"seq":7,"time":"2024-02-29T15:00:00.123456Z","operation":"secret.get","#,
        r#""outcome":"done","profile":"default","subject":"db/pässword","#,
        r#""actor":{"uid":1000,"pid":42,"key":"00112233445566778899aabbccddeeff"#,
        r#"00112233445566778899aabbccddeeff","name":"alice"},"reporter":{"uid":990,"pid":7},"#,
        r#""detail":{"":"x","k":"","m":"v"},"#,
        r#""prev_hash":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff","#,
        r#""hash":"ff112233445566778899aabbccddeeff00112233445566778899aabbccddee00"}"#,
        "\n"
    );

    /// What is outlined must be an entry, and that entry.
    fn agrees(line: &[u8]) -> bool {
        let Some(outline) = checked(line) else { return true };
        parse_line(line).is_ok_and(|entry| {
            entry.seq == outline.seq
                && entry.time.to_string() == outline.time
                && entry.operation == outline.operation
                && entry.prev_hash.to_hex() == *outline.prev_hash
                && entry.hash.to_hex() == *outline.hash
        })
    }

    /// The outline, when the hashes are some.
    fn checked(line: &[u8]) -> Option<Outline<'_>> {
        let is_hash = |digits| Hash::from_hex(digits).is_some();
        outline(line).filter(|outline| is_hash(outline.prev_hash) && is_hash(outline.hash))
    }

    #[test]
    fn a_line_of_every_field_takes_the_quick_way() {
        assert!(checked(LINE.as_bytes()).is_some() && agrees(LINE.as_bytes()));
    }

    #[test]
    fn no_other_spelling_does() {
        for (from, to) in [
            ("\"seq\":7", "\"seq\":07"),
            ("\"seq\":7", "\"seq\":-7"),
            ("\"seq\":7", "\"seq\":18446744073709551616"),
            ("\"seq\":7", "\"seq\": 7"),
            ("\"seq\":7", "\"seq\":"),
            ("02-29T", "02-30T"),
            ("2024-02-29", "2023-02-29"),
            ("2024-02-29", "2100-02-29"),
            ("2024-02-29", "1969-02-28"),
            ("-02-29", "-13-29"),
            ("-02-29", "-00-29"),
            ("-02-29", "-02-00"),
            ("T15:", "T24:"),
            (":00.1", ":60.1"),
            ("15:00:", "15:60:"),
            ("secret.get", "secret.got"),
            ("\"done\"", "\"Done\""),
            ("default", ""),
            ("default", "def\\u0061ult"),
            ("default", "def\tault"),
            ("1000", "4294967296"),
            ("alice", ""),
            ("\"k\":\"\"", "\"\":\"\""),
            ("\"m\":\"v\"", "\"a\":\"v\""),
            ("{\"\":\"x\",\"k\":\"\",\"m\":\"v\"}", "{}"),
            ("prev_hash\":\"00", "prev_hash\":\"0G"),
            ("prev_hash\":\"00", "prev_hash\":\"AA"),
            ("ee00\"}", "ee00\"} "),
            ("ee00\"}", "ee00\",\"x\":1}"),
            ("00\"}\n", "00\"}"),
            ("00\"}\n", "00\"}\r\n"),
            ("00\"}\n", "00\"}\n\n"),
        ] {
            let line = LINE.replacen(from, to, 1);
            assert_ne!(line, LINE, "{from}");
            assert_eq!(checked(line.as_bytes()), None, "{from} as {to}");
        }
        let long = LINE.replace("pässword", &"x".repeat(MAX_LINE));
        assert_eq!(outline(long.as_bytes()), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn it_accepts_nothing_that_the_parser_refuses(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            repeated in 0..40_usize,
        ) {
            let mut line = LINE.as_bytes().to_vec();
            for (at, byte) in changes {
                // Mostly bytes that mean something.
                let meaning = b"{}\",:\\0123456789abefTZ.-\n ";
                let byte = if byte < 200 { meaning[usize::from(byte) % meaning.len()] } else { byte };
                *at.get_mut::<u8>(&mut line) = byte;
            }
            prop_assert!(agrees(&line));
            // And with a piece of it twice, or gone.
            let at = cut.index(line.len() - repeated);
            let piece = line[at..at + repeated].to_vec();
            let mut twice = line.clone();
            twice.splice(at..at, piece);
            prop_assert!(agrees(&twice));
            line.drain(at..at + repeated);
            prop_assert!(agrees(&line));
        }
    }
}
