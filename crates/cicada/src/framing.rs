//! Where one JSON object ends in a stream that has no delimiters (RFC 8259).
//!
//! Only as much of JSON as that takes: braces, brackets and strings. What the object says is the
//! parser's business.

/// Bytes of the largest request.
pub const MAX_REQUEST_BYTES: usize = 65_536;
/// How deep a request may be nested. None of ours is nested at all.
const MAX_DEPTH: usize = 8;

/// Why a stream of requests can't go on: nobody knows where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// What came is no JSON object.
    NotAnObject,
    /// Too many brackets inside of each other.
    TooDeep,
    /// The object doesn't end within [`MAX_REQUEST_BYTES`].
    TooLarge,
}

/// Looks at each byte once, however few come at a time.
#[derive(Debug, Default)]
pub struct Scanner {
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

/// Whether a byte may stand between two requests.
#[must_use]
pub const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl Scanner {
    /// The length of the object that `buffer` begins with, once it is whole; the same buffer must be
    /// given each time, grown at its end.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn end(&mut self, buffer: &[u8]) -> Result<Option<usize>, Broken> {
        // Asked again about an object that is whole already.
        if self.scanned > 0 && self.depth == 0 {
            return Ok(Some(self.scanned));
        }
        while let Some(byte) = buffer.get(self.scanned).copied() {
            if self.scanned == 0 && byte != b'{' {
                return Err(Broken::NotAnObject);
            }
            self.scanned += 1;
            self.step(byte)?;
            if self.scanned > MAX_REQUEST_BYTES {
                return Err(Broken::TooLarge);
            }
            if self.depth == 0 {
                return Ok(Some(self.scanned));
            }
        }
        Ok(None)
    }

    fn step(&mut self, byte: u8) -> Result<(), Broken> {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            return Ok(());
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > MAX_DEPTH { Err(Broken::TooDeep) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(text: &str) -> Result<Option<usize>, Broken> {
        Scanner::default().end(text.as_bytes())
    }

    #[test]
    fn an_object_ends_at_its_last_brace() {
        for (text, length) in [
            ("{}", Some(2)),
            ("{}{}", Some(2)),
            (r#"{"a":"}"}x"#, Some(9)),
            (r#"{"a":"\"}"} "#, Some(11)),
            (r#"{"a":"\\"}"}"#, Some(10)),
            (r#"{"a":[{}]}"#, Some(10)),
            (r#"{"a":"#, None),
            (r#"{"a":"}"#, None),
            ("", None),
        ] {
            assert_eq!(end(text), Ok(length), "{text}");
        }
    }

    #[test]
    fn what_can_not_become_an_object_is_refused_at_its_first_byte() {
        for text in ["[", "\"{}\"", "1", "}", "\u{feff}{}", "null"] {
            assert_eq!(end(text), Err(Broken::NotAnObject), "{text}");
        }
    }

    #[test]
    fn neither_depth_nor_length_is_without_end() {
        assert_eq!(end(&"{\"a\":".repeat(8)), Ok(None));
        assert_eq!(end(&"{\"a\":".repeat(9)), Err(Broken::TooDeep));
        assert_eq!(end(&format!("{{\"a\":{}", "[".repeat(100_000))), Err(Broken::TooDeep));
        let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_REQUEST_BYTES - 8));
        assert_eq!(end(&fits), Ok(Some(MAX_REQUEST_BYTES)));
        assert_eq!(end(&fits.replacen('x', "xx", 1)), Err(Broken::TooLarge));
        assert_eq!(end(&format!("{{{}", " ".repeat(1 << 20))), Err(Broken::TooLarge));
    }

    proptest! {
        /// What a JSON library writes is found whole, wherever the stream is cut.
        #[test]
        fn every_object_is_found_whole(
            values in prop::collection::btree_map(".*", ".*", 0..5),
            rest in "[ {}\\[\\]\"a]{0,8}",
            cut in any::<prop::sample::Index>(),
        ) {
            let object = serde_json::to_string(&values).unwrap();
            let stream = format!("{object}{rest}");
            let mut scanner = Scanner::default();
            let cut = cut.index(object.len());
            prop_assert_eq!(scanner.end(&stream.as_bytes()[..cut]), Ok(None));
            prop_assert_eq!(scanner.end(stream.as_bytes()), Ok(Some(object.len())));
            prop_assert_eq!(scanner.end(stream.as_bytes()), Ok(Some(object.len())));
        }
    }
}
