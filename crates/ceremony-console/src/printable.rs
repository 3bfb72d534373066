//! Text of strangers, made fit for a terminal.

use std::fmt;

/// How much of a text is shown, in characters.
const SHOWN: usize = 40;

/// What a disk or a log says of itself. A stick's maker chooses its model and label freely; what is
/// left of them here is printable ASCII, so that no escape sequence and no look-alike reaches a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printable(String);

impl Printable {
    /// A short name; `?` stands for each character that isn't printable ASCII.
    #[must_use]
    pub fn name(text: &str) -> Self {
        Self(ascii(text.trim()).take(SHOWN).collect::<String>().trim_end().to_owned())
    }

    /// A line of any length; `?` stands for each character that isn't printable ASCII.
    #[must_use]
    pub fn line(text: &str) -> Self {
        Self(ascii(text.trim_end()).collect())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn ascii(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Printable;

    #[test]
    fn an_escape_sequence_does_not_reach_the_terminal() {
        let model = Printable::name("Ultra\u{1b}[2J\u{9b}31m \u{202e}USB\n[1] in memory");
        assert_eq!(model.as_str(), "Ultra?[2J?31m ?USB?[1] in memory");
    }

    #[test]
    fn a_long_name_is_cut() {
        assert_eq!(Printable::name(&"x".repeat(1000)).as_str().len(), 40);
    }

    proptest! {
        #[test]
        fn whatever_comes_in_printable_ascii_comes_out(text in "\\PC*|.*") {
            for made in [Printable::name(&text), Printable::line(&text)] {
                prop_assert!(made.as_str().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            }
        }
    }
}
