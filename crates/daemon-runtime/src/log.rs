//! Lines for the journal or a terminal. The audit trail is elsewhere; no secret ever comes here.

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

/// The journal takes the level as a prefix (sd-daemon(3)); a terminal gets a word.
fn line(level: &str, word: &str, text: &dyn Display) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    eprintln!("{}{text}", if journal { level } else { word });
}
