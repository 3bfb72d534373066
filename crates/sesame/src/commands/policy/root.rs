//! `sesame policy lock` where nobody is root: on the appliance, root is asked (crates/ceremony-console).
//!
//! The request is a file of the ceremony user's whose lock (flock(2)) says that somebody waits for the answer;
//! the answer is a file of root's. Root asks the people at the console, runs this same command, and starts the
//! daemons anew, which nobody else could.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use site_config::{PolicyEntry, Value};

use crate::exit::{Code, Failure};

/// Where requests are left (images/appliance: tmpfiles.d/ceremony.conf).
const REQUESTS: &str = "/run/ceremony/request";
/// What ceremony-policy.path waits for.
const REQUEST: &str = "policy";
/// What `ceremony-console lock-policy` leaves.
const ANSWER: &str = "/run/ceremony/policy-answer";

const LOOK: Duration = Duration::from_millis(200);
/// In looks, until root takes the request. No clock: while root asks, the session stands still, and whoever else
/// had just left a request would find the time over.
const TAKEN: u32 = 60 * 5;
/// In looks, until the answer.
const ANSWERED: u32 = 15 * 60 * 5;

/// Root, as far as it can be asked.
pub struct Root {
    requests: PathBuf,
    answer: PathBuf,
}

impl Root {
    /// That of the appliance; `None` anywhere else.
    pub fn of_the_appliance() -> Option<Self> {
        let requests = PathBuf::from(REQUESTS);
        requests.is_dir().then(|| Self { requests, answer: ANSWER.into() })
    }

    /// Has these entries locked, all of one source; returns what is said of it.
    ///
    /// # Errors
    /// What the command would have failed with as root; [`Code::CANCELLED`] when nobody confirmed it.
    pub fn lock(&self, entries: &[PolicyEntry], source: &str) -> Result<String, Failure> {
        let number = getrandom::u64().map_err(|error| unasked(&io::Error::other(error)))?;
        let number = format!("{number:016x}");
        let mut text = format!("{number}\n{source}\n");
        for entry in entries {
            text.push_str(&format!("{}={}\n", entry.key, typed(entry.value)));
        }
        let path = self.requests.join(REQUEST);
        let _waiting = self.leave(&path, &number, &text).map_err(|error| unasked(&error))?;
        self.until(TAKEN, || path.symlink_metadata().is_err().then_some(())).ok_or_else(|| {
            let _ = fs::remove_file(&path);
            unasked(&io::Error::other("ceremony-policy.service does not start"))
        })?;
        let answer =
            self.until(ANSWERED, || answer_to(&number, &self.answer)).ok_or_else(|| {
                let text = "root does not answer; `sesame policy show` says what is locked";
                Failure::new(Code::FAILED, text)
            })?;
        match answer {
            (0, text) => Ok(text),
            (code, text) => {
                let code = Code::ALL.iter().find(|known| known.number == code);
                Err(Failure::new(*code.unwrap_or(&Code::FAILED), text))
            }
        }
    }

    /// A file that is there whole, and locked, from the first moment on.
    fn leave(&self, path: &Path, number: &str, text: &str) -> io::Result<File> {
        let fresh = self.requests.join(format!(".{REQUEST}-{number}"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.lock()?;
        let left = file
            .write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&fresh, path));
        if left.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        left.map(|()| file)
    }

    fn until<T>(&self, looks: u32, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        (0..looks).find_map(|_| {
            let found = look();
            if found.is_none() {
                thread::sleep(LOOK);
            }
            found
        })
    }
}

/// The number, the exit code, and below them what is to be said.
fn answer_to(number: &str, path: &Path) -> Option<(u8, String)> {
    let answer = fs::read_to_string(path).ok()?;
    let (first, text) = answer.split_once('\n')?;
    let code = first.strip_prefix(number)?.strip_prefix(' ')?.parse().ok()?;
    Some((code, text.trim_end().to_owned()))
}

/// A value as it is typed on a command line.
fn typed(value: Value) -> String {
    match value {
        Value::Choice(name) => name.to_owned(),
        Value::Set(kinds) => kinds.to_string(),
        Value::Bool(_) | Value::Integer(_) => value.to_string(),
    }
}

fn unasked(error: &io::Error) -> Failure {
    let text = format!("cannot ask root in {REQUESTS}: {error}; nothing was locked");
    Failure::new(Code::STORAGE, text)
}

#[cfg(test)]
mod tests {
    use site_config::Key;

    use super::*;

    fn entries(policy: &[(&str, &str)]) -> Vec<PolicyEntry> {
        let entry = |(key, value): &(&str, &str)| {
            let key: Key = key.parse().unwrap();
            let value = key.parse_value(value).unwrap();
            PolicyEntry { key, value, source: "section 4".to_owned() }
        };
        policy.iter().map(entry).collect()
    }

    /// Root that takes one request and gives this answer to it; what was asked, and what came of it.
    fn asked(
        policy: &[(&str, &str)],
        answer: impl Fn(&str) -> String + Sync,
    ) -> (String, Result<String, Failure>) {
        let dir = tempfile::tempdir().unwrap();
        let requests = dir.path().join("request");
        fs::create_dir(&requests).unwrap();
        let root = Root { requests: requests.clone(), answer: dir.path().join("answer") };
        thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let request = requests.join(REQUEST);
                let text = root.until(TAKEN, || fs::read_to_string(&request).ok()).unwrap();
                let file = File::open(&request).unwrap();
                assert!(file.try_lock().is_err(), "somebody waits");
                fs::remove_file(&request).unwrap();
                // That of another request is there already.
                fs::write(&root.answer, "ffffffffffffffff 0\nother\n").unwrap();
                thread::sleep(2 * LOOK);
                let fresh = dir.path().join("fresh");
                fs::write(&fresh, answer(&text[..16])).unwrap();
                fs::rename(fresh, &root.answer).unwrap();
                text
            });
            let locked = root.lock(&entries(policy), "section 4");
            (taking.join().unwrap(), locked)
        })
    }

    #[test]
    fn root_is_asked_for_each_setting_as_it_is_typed() {
        let policy = [
            ("crypto.kdf", "argon2id"),
            ("unlock.minimum_password_length", "12"),
            ("auth.policy.required", "password,tpm"),
        ];
        let (text, locked) = asked(&policy, |number| format!("{number} 0\n3 settings.\n"));
        assert_eq!(locked.unwrap(), "3 settings.");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines[..3],
            ["section 4", "crypto.kdf=argon2id", "unlock.minimum_password_length=12"]
        );
        let (key, value) = lines[3].split_once('=').unwrap();
        let key: Key = key.parse().unwrap();
        assert_eq!(key.parse_value(value).unwrap(), entries(&policy)[2].value);
    }

    #[test]
    fn what_root_refuses_ends_the_command_as_it_would_have_ended_roots() {
        for code in [Code::EXISTS, Code::CONFIG, Code::CANCELLED] {
            let answer = |number: &str| format!("{number} {}\nwhy not\n", code.number);
            let (_, locked) = asked(&[("crypto.kdf", "argon2id")], answer);
            let failure = locked.unwrap_err();
            assert_eq!((failure.code, failure.message.as_str()), (code, "why not"));
        }
    }

    #[test]
    fn a_directory_that_nobody_may_write_says_that_nothing_was_locked() {
        let root = Root { requests: "/nonexistent".into(), answer: "/nonexistent".into() };
        let failure = root.lock(&entries(&[("crypto.kdf", "argon2id")]), "x").unwrap_err();
        assert_eq!(failure.code, Code::STORAGE);
        assert!(failure.message.contains("nothing was locked"), "{}", failure.message);
    }
}
