//! What is asked for, and the question that shows all of it at once.

use crate::printable::Printable;

/// Of 64 bits, in hexadecimal.
const NUMBER_DIGITS: usize = 16;
/// As in policy.toml (`site_config::policy`), in characters.
const MAX_SOURCE_CHARS: usize = 256;
/// Of a terminal, in lines and characters: what scrolled away, or was wrapped, was not confirmed.
const SCREEN_LINES: usize = 24;
const LINE_CHARS: usize = 78;
/// With the longest source, and the line that the answer is typed on, they fill a screen.
const MOST_SETTINGS: usize = 16;

const INDENT: &str = "  ";
const SOURCE: &str = "  source: ";
/// What is typed to confirm.
pub const WORD: &str = "lock";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What the settings are locked for.
    pub source: String,
    /// KEY=VALUE, each.
    pub settings: Vec<String>,
}

/// The number that the answer repeats.
pub fn number(text: &[u8]) -> Option<String> {
    let first = text.split(|byte| *byte == b'\n').next()?;
    let is_number = first.len() == NUMBER_DIGITS && first.iter().all(u8::is_ascii_hexdigit);
    is_number.then(|| String::from_utf8_lossy(first).into_owned())
}

impl Request {
    /// What these lines may hold is less than what `sesame policy lock` takes, and is shown as it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "bytes that are no text")?;
        let mut lines = text.lines().skip(1).map(str::to_owned);
        let source = lines.next().unwrap_or_default();
        if source.is_empty() || source.chars().any(char::is_control) {
            return Err("no source");
        }
        if source.chars().count() > MAX_SOURCE_CHARS {
            return Err("a source of more than 256 characters");
        }
        if is_spaced_out(&source) {
            return Err("a source that begins or ends with a space, or has two in a row");
        }
        let settings: Vec<String> = lines.collect();
        if settings.is_empty() {
            return Err("no settings");
        }
        if settings.len() > MOST_SETTINGS {
            return Err("more than 16 settings, which nobody sees at once");
        }
        if !settings.iter().all(|setting| is_setting(setting)) {
            return Err("a line that is no KEY=VALUE");
        }
        let request = Self { source, settings };
        if !request.fits() {
            return Err("more lines, or longer ones, than a screen shows");
        }
        Ok(request)
    }

    /// All of it, one line a setting, and what to type.
    pub fn question(&self) -> String {
        let settings = self.settings.iter().map(|setting| format!("{INDENT}{setting}\n"));
        // Its first line scrolls away at the most.
        format!(
            "\nThe policy is to be locked. Nobody changes it after that:\n{}{}\
             The daemons start anew with it, and every profile is locked.\n\
             To lock the policy type {WORD}, and Enter. Enter alone changes nothing.\n",
            settings.collect::<String>(),
            self.source_lines()
        )
    }

    /// In printable ASCII, and broken where we break it: a terminal would begin a line with what looks like a setting.
    fn source_lines(&self) -> String {
        let printable = Printable::line(&self.source);
        let mut text = String::new();
        let mut rest = printable.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE_CHARS - SOURCE.len()));
            let before = if text.is_empty() { SOURCE } else { &" ".repeat(SOURCE.len()) };
            text.push_str(&format!("{before}{line}\n"));
            rest = after;
        }
        text
    }

    /// With the line that is typed on, but for the empty one before it.
    fn fits(&self) -> bool {
        let question = self.question();
        question.lines().count() <= SCREEN_LINES
            && question.lines().all(|line| line.len() <= LINE_CHARS)
    }
}

/// What was hidden by spaces would be on another line, or on none.
fn is_spaced_out(text: &str) -> bool {
    text.starts_with(' ') || text.ends_with(' ') || text.contains("  ")
}

fn is_setting(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else { return false };
    let is_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.');
    let is_value = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b',' | b' ');
    key.bytes().all(is_key) && value.bytes().all(is_value) && !is_spaced_out(value)
}
