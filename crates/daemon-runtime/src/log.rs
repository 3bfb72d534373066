//! Lines for the journal or a terminal. The audit trail is elsewhere; no secret ever comes here.

use std::error::Error;
use std::fmt::Display;

/// Something a person should act on.
pub fn error(text: impl Display) {
    line("<3>", "ERROR: ", &text);
}

/// Something a person may want to know.
pub fn warning(text: impl Display) {
    line("<4>", "WARNING: ", &text);
}

/// What is going on.
pub fn info(text: impl Display) {
    line("<6>", "", &text);
}

/// An error with what caused it, as far as its own words leave that out.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// The journal takes the level as a prefix (sd-daemon(3)); a terminal gets a word.
fn line(level: &str, word: &str, text: &dyn Display) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    eprintln!("{}{text}", if journal { level } else { word });
}
