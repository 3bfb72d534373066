//! `ceremony-console lock-policy`: what `sesame policy lock` asks root for, and a person confirms.
//!
//! On the appliance nobody is root, and the policy is root's. Any program of the ceremony user can ask, and a
//! policy can also lock a setting to a bad value: so that the question is put on the console itself, where no
//! program can type the answer (legacy_tiocsti=0). What is then done is `sesame policy lock` as everywhere.
//!
//! The request has lines: a number that the answer repeats, the source, and KEY=VALUE for each setting. The
//! answer has the number with the exit code, and below it what is to be said.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::host::{Ended, Host};
use crate::printable::Printable;
use crate::untrusted::{self, Untrusted};

/// In [`crate::power::REQUESTS`]; ceremony-policy.path waits for it.
pub const REQUEST: &str = "policy";
/// Where the command looks for the answer: in a directory of root's.
const ANSWER: &str = "/run/ceremony/policy-answer";
const POLICY: &str = "/etc/pds/policy.toml";

/// Several times what locks every setting there is.
const MOST_BYTES: u64 = 8192;
const MOST_SETTINGS: usize = 64;
/// What is typed to confirm.
const WORD: &str = "lock";

/// The line that it is typed on.
const PROMPT: &str = "lock? ";

/// Exit codes of `sesame`.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const EXISTS: u8 = 9;
const CONFIG: u8 = 20;
const CANCELLED: u8 = 28;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PolicyLockError {
    /// The request isn't one of the ceremony user's.
    #[error("the request was removed unread, and nothing was locked: {0}")]
    Untrusted(#[from] Untrusted),
    /// The request isn't what `sesame policy lock` writes.
    #[error("the request was removed, and nothing was locked: it has {0}")]
    Malformed(&'static str),
    /// The answer can't be left where the command looks.
    #[error("cannot write {ANSWER}: {0}; `sesame policy show` says what is locked")]
    Answer(#[source] io::Error),
}

/// Where things are.
#[derive(Debug)]
pub struct Places {
    /// Where the request is left.
    pub requests: PathBuf,
    /// Whose the request is.
    pub owner: u32,
    /// The answer.
    pub answer: PathBuf,
    /// What is locked already.
    pub policy: PathBuf,
}

impl Places {
    /// Those of the appliance.
    #[must_use]
    pub fn of_the_appliance() -> Self {
        Self {
            requests: crate::power::REQUESTS.into(),
            owner: crate::CEREMONY_ID,
            answer: ANSWER.into(),
            policy: POLICY.into(),
        }
    }
}

/// Takes the request, asks on the console, which `console` opens for it, and leaves the answer.
///
/// # Errors
/// [`PolicyLockError`]; what isn't a request at all gets no answer, since nobody waits for one.
pub fn run<H: Host>(
    places: &Places,
    console: impl FnOnce(File) -> io::Result<H>,
) -> Result<(), PolicyLockError> {
    let requests = untrusted::Directory::at(&places.requests, places.owner)?;
    let taken = take(&requests, places);
    remove(&places.requests.join(REQUEST));
    let (file, request) = taken?;
    let (code, text) = decide(&request, file, places, console);
    let answer = format!("{} {code}\n{text}\n", request.number);
    write_public(&places.answer, &answer).map_err(PolicyLockError::Answer)
}

fn take(
    requests: &untrusted::Directory,
    places: &Places,
) -> Result<(File, Request), PolicyLockError> {
    let file = requests.file(REQUEST, places.owner)?;
    let text = requests.read_file(REQUEST, &file, MOST_BYTES)?;
    Ok((file, Request::parse(&text).map_err(PolicyLockError::Malformed)?))
}

/// Whatever it is; a directory, too, or the path unit would start us for ever.
fn remove(request: &Path) {
    if fs::remove_file(request).is_err() {
        let _ = fs::remove_dir_all(request);
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    number: String,
    source: String,
    settings: Vec<String>,
}

impl Request {
    /// What these lines may hold is less than what `sesame policy lock` takes, and needs no quotation.
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "bytes that are no text")?;
        let mut lines = text.lines().map(str::to_owned);
        let number = lines.next().unwrap_or_default();
        if number.len() != 16 || !number.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("no number");
        }
        let source = lines.next().unwrap_or_default();
        if source.trim().is_empty() || source.chars().any(char::is_control) {
            return Err("no source");
        }
        let settings: Vec<String> = lines.collect();
        if settings.is_empty() || settings.len() > MOST_SETTINGS {
            return Err("no settings, or too many");
        }
        if !settings.iter().all(|setting| is_setting(setting)) {
            return Err("a line that is no KEY=VALUE");
        }
        Ok(Self { number, source, settings })
    }

    fn question(&self) -> String {
        let mut text =
            String::from("\nThe policy is to be locked. Nobody changes it after that:\n\n");
        for setting in &self.settings {
            text.push_str(&format!("  {setting}\n"));
        }
        text.push_str(&format!(
            "  source: {}\n\nThe daemons start anew with it, and every profile is locked.\n\
             To lock the policy type {WORD}, and Enter. Enter alone changes nothing.\n",
            Printable::line(&self.source)
        ));
        text
    }
}

fn is_setting(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else { return false };
    let is_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.');
    let is_value = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b',' | b' ');
    key.bytes().all(is_key) && value.bytes().all(is_value)
}

/// The exit code, and what is said with it.
fn decide<H: Host>(
    request: &Request,
    file: File,
    places: &Places,
    console: impl FnOnce(File) -> io::Result<H>,
) -> (u8, String) {
    let said = |code, text: &str| (code, text.to_owned());
    if places.policy.symlink_metadata().is_ok() {
        return said(
            EXISTS,
            "the policy is locked already, and stays as it is (`sesame policy show`); nothing was locked",
        );
    }
    if !is_waited_for(&file) {
        return said(CANCELLED, "whoever asked did not wait for the answer; nothing was locked");
    }
    let mut host = match console(file) {
        Ok(host) => host,
        Err(error) => {
            return (FAILED, format!("cannot ask on the console: {error}; nothing was locked"));
        }
    };
    host.say(&request.question());
    match host.ask(PROMPT) {
        Ok(answer) if answer.trim() == WORD => {}
        Ok(_) => return said(CANCELLED, "the policy was not confirmed; nothing was locked"),
        Err(error) => {
            let text =
                format!("nobody confirmed the policy on the console ({error}); nothing was locked");
            host.say(&format!("\n{text}\n"));
            return (CANCELLED, text);
        }
    }
    lock(request, places, &mut host)
}

fn lock(request: &Request, places: &Places, host: &mut dyn Host) -> (u8, String) {
    let source = format!("--source={}", request.source);
    let mut command = vec!["sesame", "policy", "lock", &source, "--"];
    command.extend(request.settings.iter().map(String::as_str));
    match host.hear(&command) {
        Ok((Ended::Exit(0), _)) => {}
        Ok((Ended::Exit(code), said)) => {
            let text = said.trim().trim_start_matches("sesame: ").to_owned();
            return (u8::try_from(code).unwrap_or(FAILED), text);
        }
        Ok((Ended::Signal, _)) => {
            return (FAILED, "`sesame policy lock` was ended; see `sesame policy show`".to_owned());
        }
        Err(error) => {
            return (FAILED, format!("cannot run sesame: {error}; nothing was locked"));
        }
    }
    if restart(host) {
        let count = request.settings.len();
        let text = format!(
            "{count} settings are locked in {POLICY}. The daemons were started anew with it, so that every \
             profile is locked."
        );
        return (DONE, text);
    }
    // Nobody could take it back by hand, and on a volume it would stay.
    let back = fs::remove_file(&places.policy).is_ok() && restart(host);
    let text = if back {
        "the daemons do not start with this policy; it was taken back, and nothing is locked"
    } else {
        "the daemons do not start with this policy, nor after it was taken back. Start this machine anew"
    };
    (CONFIG, text.to_owned())
}

fn restart(host: &mut dyn Host) -> bool {
    const AUDIT: &str = "sesame-audit.service";
    const SECRETS: &str = "sesame-secrets.service";
    let mut systemctl = |verb, units: &[&str]| {
        let command = [&["systemctl", "--no-ask-password", verb], units].concat();
        match host.hear(&command) {
            Ok((ended, _)) if ended.is_success() => true,
            Ok((_, said)) => {
                eprintln!("ceremony-console: systemctl {verb}: {}", Printable::line(said.trim()));
                false
            }
            Err(error) => {
                eprintln!("ceremony-console: systemctl {verb}: {error}");
                false
            }
        }
    };
    // Those that failed with a policy may start without it at once.
    systemctl("reset-failed", &[AUDIT, SECRETS]);
    // What requires it, cicada too where it runs, is restarted with it; the second waits for that.
    systemctl("restart", &[AUDIT]) && systemctl("start", &[SECRETS])
}

/// Whether whoever asked still waits, and so holds the lock of the request.
pub fn is_waited_for(request: &File) -> bool {
    matches!(request.try_lock(), Err(TryLockError::WouldBlock))
}

fn write_public(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o644))?;
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests;
