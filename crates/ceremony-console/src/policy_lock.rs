//! `ceremony-console lock-policy`: what `sesame policy lock` asks root for, and a person confirms.
//!
//! On the appliance nobody is root, and the policy is root's. Any program of the ceremony user can ask, and a
//! policy can also lock a setting to a bad value: so that the question is put on the console itself. What is
//! then done is `sesame policy lock` as everywhere.
//!
//! The console is that of the shell, whose programs stand still from before the question until after what root
//! read back ([`crate::session`]): none can write over it. None can push typed characters into the terminal
//! either (`dev.tty.legacy_tiocsti=0`), and what it leaves for us is shown whole or refused. What it can do
//! before is to load another font into a screen.
//!
//! The request has lines: a number that the answer repeats, the source, and KEY=VALUE for each setting. The
//! answer has the number with the exit code, and below it what is to be said.

mod daemons;
mod request;
mod trial;

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::{Ended, Host};
use crate::printable::Printable;
use crate::untrusted::{self, Untrusted};
use daemons::Daemons;
use request::{Request, WORD};

/// In [`crate::power::REQUESTS`]; ceremony-policy.path waits for it.
pub const REQUEST: &str = "policy";
/// Where the command looks for the answer: in a directory of root's.
const ANSWER: &str = "/run/ceremony/policy-answer";
/// Where a request is looked at: a name in a directory of root's, so that nobody else replaces what it is.
const TAKEN: &str = "/run/ceremony/policy-taken";
/// What is locked.
pub const POLICY: &str = "/etc/pds/policy.toml";

/// Several times what fits on a screen.
const MOST_BYTES: u64 = 8192;

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
    /// The request can't be moved to root's directory.
    #[error("cannot take the request: {0}; nothing was locked")]
    Take(#[source] io::Error),
    /// The request isn't one of the ceremony user's.
    #[error("the request was removed unread, and nothing was locked: {0}")]
    Untrusted(#[from] Untrusted),
    /// The request hasn't even the number that an answer would begin with.
    #[error("the request was removed, and nothing was locked: it has no number")]
    NoNumber,
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
    /// What becomes of the request first, beside the answer.
    pub taken: PathBuf,
    /// Whose the directory of both is.
    pub root: u32,
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
            taken: TAKEN.into(),
            root: 0,
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
    let Taken { file, number, request } = take(places)?;
    let (code, text) = match request {
        Ok(request) => decide(&request, file, places, console),
        Err(why) => {
            (FAILED, format!("root refuses to ask: the request has {why}; nothing was locked"))
        }
    };
    answer(places, &number, code, &text)
}

/// At boot, before daemons start: takes back a policy whose locking was interrupted, and says so.
pub fn take_back_unproven(host: &mut dyn Host, policy: &Path) {
    if !trial::is_on(policy) {
        return;
    }
    match trial::take_back(policy) {
        Ok(false) => {}
        Ok(true) => host.say(
            "\nThe locking of the policy was interrupted before the daemons had started with it. It was taken \
             back: no setting is locked.\n",
        ),
        Err(error) => host.say(&format!(
            "\nThe locking of the policy was interrupted, and it cannot be taken back ({error}). The daemons \
             may not start with it.\n"
        )),
    }
}

/// A request, and what its answer begins with.
struct Taken {
    file: File,
    number: String,
    request: Result<Request, &'static str>,
}

/// First it is moved, whatever it is: it doesn't start us again then, and what is judged is what is removed.
fn take(places: &Places) -> Result<Taken, PolicyLockError> {
    remove(&places.taken);
    fs::rename(places.requests.join(REQUEST), &places.taken).map_err(PolicyLockError::Take)?;
    let taken = judge(places);
    remove(&places.taken);
    taken
}

fn judge(places: &Places) -> Result<Taken, PolicyLockError> {
    let (Some(directory), Some(name)) =
        (places.taken.parent(), places.taken.file_name().and_then(|name| name.to_str()))
    else {
        return Err(PolicyLockError::Take(io::ErrorKind::InvalidFilename.into()));
    };
    let directory = untrusted::Directory::at(directory, places.root)?;
    let file = directory.file(name, places.owner)?;
    let text = directory.read_file(name, &file, MOST_BYTES)?;
    let number = request::number(&text).ok_or(PolicyLockError::NoNumber)?;
    Ok(Taken { file, number, request: Request::parse(&text) })
}

/// Whatever it is, and of any depth, which the standard library's own removal isn't for.
fn remove(taken: &Path) {
    if fs::remove_file(taken).is_err() && taken.symlink_metadata().is_ok() {
        let removed = Command::new("rm").args(["-rf", "--"]).arg(taken).status();
        if !matches!(removed, Ok(status) if status.success()) {
            eprintln!("ceremony-console: cannot remove {}", taken.display());
        }
    }
}

fn answer(places: &Places, number: &str, code: u8, text: &str) -> Result<(), PolicyLockError> {
    write_public(&places.answer, &format!("{number} {code}\n{text}\n"))
        .map_err(PolicyLockError::Answer)
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
        if trial::is_on(&places.policy) {
            return said(
                CONFIG,
                "the locking of a policy was interrupted; start this machine anew, and it is taken back",
            );
        }
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
    let (code, text) = lock(request, places, &mut host);
    // Whoever asked is told as well, but may be any program.
    if code != DONE {
        host.say(&format!("\n{}\n", Printable::line(&text)));
    }
    (code, text)
}

fn lock(request: &Request, places: &Places, host: &mut dyn Host) -> (u8, String) {
    let policy = &places.policy;
    if let Err(error) = trial::begin(policy) {
        return (FAILED, format!("cannot write beside {POLICY}: {error}; nothing was locked"));
    }
    if let Err(refused) = write_policy(request, host) {
        // Should it be there all the same, the next boot takes it back.
        if policy.symlink_metadata().is_err() {
            let _ = trial::end(policy);
        }
        return refused;
    }
    let daemons = Daemons::now(host);
    if daemons.restart(host) && is_proven(policy) {
        let shown = read_back(show(host));
        host.say(&shown);
        let count = request.settings.len();
        let text = format!(
            "{count} settings are locked in {POLICY}. The daemons were started anew with it, so that every \
             profile is locked."
        );
        return (DONE, text);
    }
    // Nobody could take it back by hand, and on a volume it would stay.
    let back = matches!(trial::take_back(policy), Ok(true)) && daemons.restart(host);
    let text = if back {
        "the daemons do not start with this policy; it was taken back, and nothing is locked"
    } else {
        "the daemons do not start with this policy, nor after it was taken back. Start this machine anew"
    };
    (CONFIG, text.to_owned())
}

fn write_policy(request: &Request, host: &mut dyn Host) -> Result<(), (u8, String)> {
    let source = format!("--source={}", request.source);
    let mut command = vec!["sesame", "policy", "lock", &source, "--"];
    command.extend(request.settings.iter().map(String::as_str));
    match host.hear(&command) {
        Ok((Ended::Exit(0), _)) => Ok(()),
        Ok((Ended::Exit(code), said)) => {
            let text = said.trim().trim_start_matches("sesame: ").to_owned();
            Err((u8::try_from(code).unwrap_or(FAILED), text))
        }
        Ok((Ended::Signal, _)) => Err((
            FAILED,
            "`sesame policy lock` was ended; start this machine anew, and see `sesame policy show`"
                .to_owned(),
        )),
        Err(error) => Err((FAILED, format!("cannot run sesame: {error}; nothing was locked"))),
    }
}

/// The next boot would take a policy back whose marker is still there.
fn is_proven(policy: &Path) -> bool {
    trial::end(policy)
        .inspect_err(|error| eprintln!("ceremony-console: beside {POLICY}: {error}"))
        .is_ok()
}

/// What is locked, as another program reads it from the disk.
fn show(host: &mut dyn Host) -> io::Result<String> {
    match host.capture(&["sesame", "policy", "show"])? {
        (Ended::Exit(0), text) => Ok(text),
        (ended, _) => Err(io::Error::other(ended.to_string())),
    }
}

fn read_back(shown: io::Result<String>) -> String {
    match shown {
        Ok(shown) => {
            let lines = shown.lines().map(|line| format!("  {}\n", Printable::line(line)));
            format!("\nLocked, as it was read back:\n{}", lines.collect::<String>())
        }
        Err(error) => format!("\nLocked, but `sesame policy show` does not say what ({error}).\n"),
    }
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
