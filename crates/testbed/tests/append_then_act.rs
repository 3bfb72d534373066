//! An entry first, then the act: whatever keeps daemon-audit from writing keeps daemon-secrets from
//! doing anything. The one exception is `lock`, which is the brake.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use audit_log::{Operation, Outcome};
use ipc::secrets::{ProfileState, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site_config::Daemon;
use testbed::mounted::{FailingDisk, ReadOnly, SmallDisk};
use testbed::{Host, PASSWORD, ask, is_root_or_skip, snapshot};

/// What is wrong with daemon-audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Dead,
    Hung,
    Full,
    ReadOnly,
}

/// A host whose daemon-audit can get into trouble.
struct Victim {
    // Dropped first: the directory of the host can't go while something is mounted in it.
    small: Option<SmallDisk>,
    failing: Option<FailingDisk>,
    host: Host,
    trouble: Trouble,
}

impl Victim {
    /// Started; none where there can be no such trouble.
    fn started(trouble: Trouble) -> Option<Self> {
        let config = "unlock.free_attempts = 10\naudit.segment_bytes = 65536\n";
        let mut host = Host::builder().config(config).provision();
        let (mut small, mut failing) = (None, None);
        let state = host.layout.audit_state().to_owned();
        match trouble {
            Trouble::Dead | Trouble::Hung => {}
            Trouble::Full if is_root_or_skip("mounting a small disk") => {
                small = Some(SmallDisk::over(&state, 256));
            }
            Trouble::ReadOnly if is_root_or_skip("mounting a disk that fails") => {
                match FailingDisk::over(&state) {
                    Ok(disk) => failing = Some(disk),
                    Err(reason) => {
                        eprintln!("skipped, for there is no disk that could fail: {reason}");
                        return None;
                    }
                }
            }
            Trouble::Full | Trouble::ReadOnly => return None,
        }
        host.start();
        Some(Self { small, failing, host, trouble })
    }

    fn begin(&mut self) {
        match self.trouble {
            Trouble::Dead => self.host.kill(Daemon::Audit),
            Trouble::Hung => self.signal(Signal::SIGSTOP),
            Trouble::ReadOnly => self.failing.as_ref().unwrap().fail(),
            Trouble::Full => self.small.as_ref().unwrap().fill(),
        }
    }

    /// Until not even the shortest entry finds room.
    fn use_up(&self) {
        let mut list = (0..100).map(|_| self.host.sesame(["secret", "list"]).run().code);
        assert!(self.trouble != Trouble::Full || list.any(|code| code == 22));
    }

    fn end(&mut self) {
        match self.trouble {
            Trouble::Dead => self.host.try_start(Daemon::Audit).unwrap(),
            Trouble::Hung => self.signal(Signal::SIGCONT),
            Trouble::Full => self.small.as_ref().unwrap().make_room(),
            Trouble::ReadOnly => {
                self.host.kill(Daemon::Audit);
                self.failing.as_ref().unwrap().mend();
                self.host.try_start(Daemon::Audit).unwrap();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.host.pid(Daemon::Audit)), signal).unwrap();
    }

    /// What daemon-secrets has on its disk, and says of itself.
    fn state(&self) -> (BTreeMap<PathBuf, Vec<u8>>, Status) {
        let status = ask::status(&mut self.host.connect(Daemon::Secrets).unwrap());
        (snapshot(self.host.layout.secrets_state()), status.unwrap())
    }
}

const TROUBLES: [Trouble; 4] = [Trouble::Dead, Trouble::Hung, Trouble::Full, Trouble::ReadOnly];

/// A sentence that says what is untouched, and no result.
#[track_caller]
fn assert_refused(host: &Host, line: &str, stdin: &str) {
    let outcome = host.sesame(line.split(' ')).stdin(stdin).run();
    let said = outcome.error();
    assert_eq!((outcome.code, outcome.text().as_str()), (22, ""), "{line}: {said}");
    assert!(said.contains("nothing was done"), "{line}: {said}");
}

#[test]
fn no_operation_does_anything_that_is_not_in_the_trail() {
    for trouble in TROUBLES {
        let Some(mut victim) = Victim::started(trouble) else { continue };
        victim.host.init();
        victim.host.unlock();
        victim.host.sesame(["secret", "set", "a"]).stdin("1").succeed();
        let create = ["profile", "create", "work", "--password-stdin"];
        victim.host.sesame(create).stdin("another password").succeed();
        victim.host.sesame(["lock", "--profile", "work"]).succeed();
        let wipe = format!("wipe --i-understand {}", victim.state().1.installation.unwrap().id);
        let lines = [
            ("secret get a", ""),
            ("secret set a", "2"),
            ("secret set b", "2"),
            ("secret delete a", ""),
            ("secret list", ""),
            ("run --secret A=a -- echo it ran", ""),
            ("unlock --profile work --password-stdin", "another password"),
            ("unlock --profile work --password-stdin", "the wrong password"),
            ("profile activate default", ""),
            ("profile deactivate default", ""),
            ("profile default work", ""),
            ("profile create third --password-stdin", PASSWORD),
            (wipe.as_str(), ""),
        ];
        victim.begin();
        victim.use_up();
        let before = victim.state();
        // All at once: of a daemon that hangs each of them finds out for itself.
        std::thread::scope(|scope| {
            for (line, stdin) in lines {
                let host = &victim.host;
                scope.spawn(move || assert_refused(host, line, stdin));
            }
        });
        assert!(victim.state() == before, "{trouble:?}: something was done");

        let exported = victim.host.dir().join("exported");
        // `sesame` itself would wait for a minute.
        if trouble != Trouble::Hung {
            let code = if trouble == Trouble::Dead { 3 } else { 22 };
            victim.host.sesame(["audit", "export"]).args([&exported]).fail(code);
            assert!(!exported.exists(), "{trouble:?}");
        }

        victim.host.sesame(["lock"]).succeed();
        let profiles = victim.state().1.profiles;
        let locked = profiles.iter().all(|profile| profile.state == ProfileState::Locked);
        assert!(locked, "{trouble:?}: lock always works");

        victim.end();
        let host = &victim.host;
        host.unlock();
        assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "1");
        assert_eq!(host.sesame(["secret", "list"]).succeed(), "a\n");
        let work = ["unlock", "--profile", "work", "--password-stdin"];
        host.sesame(work).stdin("another password").succeed();
        assert_eq!(host.sesame(["profile", "list"]).succeed().lines().count(), 2);
        host.sesame(["audit", "verify"]).succeed();
        assert_eq!(host.entries_of(Operation::Wipe, Outcome::Done), [], "{trouble:?}");
    }
}

#[test]
fn no_installation_is_made_that_is_not_in_the_trail() {
    for trouble in TROUBLES {
        let Some(mut victim) = Victim::started(trouble) else { continue };
        victim.begin();
        let before = snapshot(victim.host.layout.secrets_state());
        let init = || victim.host.sesame(["init", "--password-stdin"]).stdin(PASSWORD);
        let said = init().fail(22);
        assert!(!said.is_empty(), "{trouble:?}");
        assert!(snapshot(victim.host.layout.secrets_state()) == before, "{trouble:?}: {said}");
        victim.end();
        victim.host.init();
        victim.host.unlock();
        victim.host.sesame(["audit", "verify"]).succeed();
    }
}

/// What was allowed and then came to nothing is not taken for done: its second entry says so.
#[test]
fn what_was_authorised_and_failed_says_both() {
    if !is_root_or_skip("mounting read-only") {
        return;
    }
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "there"]).stdin("1").succeed();
    host.sesame(["secret", "get", "missing"]).fail(8);
    host.sesame(["secret", "delete", "missing"]).fail(8);
    host.stop();
    host.start();
    host.unlock();
    let vault = host.layout.secrets_state().join("installation/profiles/default");
    let read_only = ReadOnly::over(&vault);
    host.sesame(["secret", "set", "there"]).stdin("2").fail(25);
    host.sesame(["secret", "delete", "there"]).fail(25);
    drop(read_only);
    let of = |operation: Operation, subject: &str| -> Vec<Outcome> {
        let entries = host.entries().into_iter();
        entries
            .filter(|it| it.operation == operation && it.subject.as_deref() == Some(subject))
            .map(|entry| entry.outcome)
            .collect()
    };
    let (authorised, failed) = (Outcome::Authorised, Outcome::Failed);
    assert_eq!(of(Operation::SecretGet, "missing"), [authorised, failed]);
    assert_eq!(of(Operation::SecretDelete, "missing"), [authorised, failed]);
    assert_eq!(of(Operation::SecretSet, "there"), [authorised, authorised, failed]);
    assert_eq!(of(Operation::SecretDelete, "there"), [authorised, failed]);
    let entries = host.entries();
    let reasons = entries.iter().filter(|entry| entry.outcome == failed);
    assert!(reasons.clone().all(|entry| !entry.detail["reason"].is_empty()));
    assert_eq!(host.sesame(["secret", "get", "there"]).succeed(), "1");
}
