//! `kill -9` of daemon-secrets at any instant of a change: the old state or the new one stands, whole.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use ipc::factors::{Cause, Change, Enrolled, Source};
use ipc::secrets::SecretsRequest;
use ipc::{Client, FaultKind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site_config::{AuthMode, Daemon};
use testbed::ask::{self, Refused};
use testbed::factors::{self, authorise, change, mode, password, submit, submit_to, unlock_with};
use testbed::random::Random;
use testbed::{Host, is_root_or_skip};

const ROUNDS: u32 = 45;
const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const PASSWORDS: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
/// A killed try counts as a wrong one until the next success.
const PATIENT: &str = "[unlock]\nfree_attempts = 10\nbackoff_max_seconds = 1\n";

type Result<T> = std::result::Result<T, Refused>;

/// A host whose daemon is killed, and what was acknowledged by it.
struct Victim {
    host: Host,
    random: Random,
    /// Values by name.
    values: BTreeMap<String, Vec<u8>>,
    /// How long the change takes that nobody interrupts.
    takes: Duration,
    done: u32,
    not_done: u32,
}

impl Victim {
    fn new() -> Self {
        let host = Host::builder().config(PATIENT).with_passwords(&PASSWORDS);
        let mut client = host.client();
        unlock_with(&mut client, &[A]).unwrap();
        let mut values = BTreeMap::new();
        for number in 0..40_usize {
            let value = number.to_le_bytes().repeat(1 + number * 37 % 500);
            ask::set(&mut client, &number.to_string(), &value).unwrap();
            values.insert(number.to_string(), value);
        }
        let takes = Duration::from_millis(100);
        Self { host, random: Random::seeded(), values, takes, done: 0, not_done: 0 }
    }

    /// Carries `work` out, and kills the daemon meanwhile, or not at all in the first round.
    fn interrupt<T: Send>(
        &mut self,
        work: impl FnOnce(&mut Client) -> Result<T> + Send,
    ) -> Option<T> {
        let mut client = self.host.client();
        let first = self.done + self.not_done == 0;
        let pid = Pid::from_raw(self.host.pid(Daemon::Secrets));
        let delay = self.random.up_to(self.takes * 3 / 2);
        let start = Instant::now();
        let result = std::thread::scope(|scope| {
            let worker = scope.spawn(move || work(&mut client));
            if !first {
                std::thread::sleep(delay);
                kill(pid, Signal::SIGKILL).unwrap();
            }
            worker.join().unwrap()
        });
        if first {
            self.takes = start.elapsed();
        }
        let told = match result {
            Ok(told) => Some(told),
            Err(Refused::Connection(_)) => None,
            Err(Refused::Fault(fault)) => panic!("{:?}: {fault}", fault.kind),
        };
        *(if told.is_some() { &mut self.done } else { &mut self.not_done }) += 1;
        self.host.kill(Daemon::Secrets);
        if self.random.below(4) == 0 {
            // And once more while it starts.
            let mut child = self.host.daemon_command(Daemon::Secrets).spawn().unwrap();
            std::thread::sleep(self.random.up_to(Duration::from_millis(40)));
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            child.wait().unwrap();
        }
        let started = self.host.try_start(Daemon::Secrets);
        started.unwrap_or_else(|said| panic!("it starts again: {said}"));
        self.no_leftovers();
        told
    }

    fn no_leftovers(&self) {
        let state = self.host.layout.secrets_state().to_owned();
        let installation = state.join("installation");
        let profiles = installation.join("profiles");
        let default = profiles.join("default");
        for directory in [state, installation, profiles, default] {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                let name = entry.file_name();
                assert!(!name.to_string_lossy().starts_with('.'), "{name:?} was left behind");
            }
        }
    }

    fn listed(&self) -> Enrolled {
        factors::list(&mut self.host.client()).unwrap()
    }

    /// Unlocks with these, checks every value and writes one more.
    fn all_is_there(&mut self, given: &[(u32, &str)]) {
        let mut client = self.host.client();
        unlock_with(&mut client, given).unwrap();
        for (name, value) in &self.values {
            assert_eq!(ask::get(&mut client, name).unwrap(), *value, "{name}");
        }
        let (name, value) = ("the last".to_owned(), self.done + 1000 * self.not_done);
        let value = value.to_le_bytes().to_vec();
        ask::set(&mut client, &name, &value).unwrap();
        self.values.insert(name, value);
    }

    /// In some rounds the daemon was faster, and in some it was not.
    fn finish(self) {
        self.host.sesame(["audit", "verify"]).succeed();
        eprintln!("{} done, {} not, in {:?} each", self.done, self.not_done, self.takes);
        assert!(self.done + self.not_done >= ROUNDS);
        assert!(self.not_done >= 5, "the kills come too late: {} of {ROUNDS}", self.not_done);
    }
}

#[test]
fn a_killed_enrolment_is_done_or_not() {
    let mut victim = Victim::new();
    for round in 0..ROUNDS {
        let (label, text) = (format!("of round {round}"), format!("the password of {round}"));
        let enrol = factors::enrolment(&label);
        authorise(&mut victim.host.client(), &enrol, &[A]).unwrap();
        let told = victim.interrupt(|client| factors::enroll(client, password(&label, &text)));
        let factors = victim.listed().factors;
        let there = factors.iter().find(|factor| factor.label == label).map(|factor| factor.id);
        assert!(told.is_none() || told == there, "{told:?} was told, and {there:?} is there");
        if let Some(id) = there {
            victim.all_is_there(&[(id, &text)]);
            let revoke = Change::Revoke { factor: id };
            factors::authorised(&mut victim.host.client(), &revoke, &[A]).unwrap();
        } else {
            assert_eq!(factors.len(), 2);
        }
        victim.all_is_there(&[B]);
    }
    victim.finish();
}

#[test]
fn a_killed_revocation_is_done_or_not() {
    let mut victim = Victim::new();
    let (mut there, text) = (None, "the password that goes");
    for _ in 0..ROUNDS {
        let mut client = victim.host.client();
        let id = match there {
            Some(id) => id,
            None => factors::enroll_password(&mut client, "carol", text, &[A]).unwrap(),
        };
        let revoke = Change::Revoke { factor: id };
        authorise(&mut client, &revoke, &[A]).unwrap();
        let told = victim.interrupt(|client| change(client, &revoke));
        there = victim.listed().factors.iter().map(|factor| factor.id).find(|found| *found == id);
        assert!(told.is_none() || there.is_none(), "it was told that {id} is gone");
        let tried = submit(&mut victim.host.client(), Cause::Unlock, id, text);
        match there {
            Some(_) => assert_eq!(tried.unwrap().missing, []),
            None => assert_eq!(tried.unwrap_err().kind(), Some(FaultKind::NotFound)),
        }
        victim.all_is_there(&[A]);
    }
    victim.finish();
}

#[test]
fn a_killed_change_of_policy_leaves_the_old_set_or_the_new_one() {
    let mut victim = Victim::new();
    for _ in 0..ROUNDS {
        let before = victim.listed().policy.mode;
        let (next, given) = match before {
            AuthMode::All => (AuthMode::Any, &[A, B][..]),
            _ => (AuthMode::All, &[A][..]),
        };
        let to = Change::Policy(mode(next));
        authorise(&mut victim.host.client(), &to, given).unwrap();
        let told = victim.interrupt(|client| change(client, &to));
        let after = victim.listed().policy.mode;
        assert!(after == next || (after == before && told.is_none()), "{told:?} {after:?}");
        let mut client = victim.host.client();
        let progress = submit(&mut client, Cause::Unlock, B.0, B.1).unwrap();
        assert_eq!(progress.missing.is_empty(), after == AuthMode::Any);
        factors::lock(&mut client).unwrap();
        victim.all_is_there(if after == AuthMode::Any { &[A] } else { &[A, B] });
    }
    victim.finish();
}

#[test]
fn a_killed_rotation_leaves_one_whole_vault() {
    let mut victim = Victim::new();
    for _ in 0..ROUNDS {
        let before = victim.listed().generation;
        authorise(&mut victim.host.client(), &Change::RotateKey, &[A]).unwrap();
        let told = victim.interrupt(|client| change(client, &Change::RotateKey));
        let after = victim.listed().generation;
        assert!(after == before + 1 || (after == before && told.is_none()), "{before} {after}");
        victim.all_is_there(&[A]);
    }
    victim.finish();
}

#[test]
fn a_killed_split_is_done_or_not() {
    let mut victim = Victim::new();
    for round in 0..ROUNDS {
        let label = format!("recovery {round}");
        let split = Change::Split { label: &label, threshold: 2, shares: 3 };
        authorise(&mut victim.host.client(), &split, &[A]).unwrap();
        let told = victim.interrupt(|client| factors::split(client, &label, 2, 3));
        let factors = victim.listed().factors;
        let there = factors.iter().find(|factor| factor.label == label).map(|factor| factor.id);
        if let Some(shares) = told {
            let mut client = victim.host.client();
            let id = there.expect("its shares were handed out");
            submit(&mut client, Cause::Unlock, id, &shares[2]).unwrap();
            assert_eq!(submit(&mut client, Cause::Unlock, id, &shares[0]).unwrap().missing, []);
        }
        victim.all_is_there(&[A]);
        if let Some(factor) = there {
            let revoke = Change::Revoke { factor };
            factors::authorised(&mut victim.host.client(), &revoke, &[A]).unwrap();
        }
    }
    victim.finish();
}

#[test]
fn a_killed_backup_leaves_nothing() {
    let mut victim = Victim::new();
    for _ in 0..ROUNDS {
        let told = victim.interrupt(|client| factors::backup(client, None));
        victim.all_is_there(&[A]);
        if let Some(whole) = told {
            assert!(whole.len() > 50_000, "{} bytes", whole.len());
        }
    }
    victim.finish();
}

#[test]
fn a_killed_restoration_makes_a_whole_profile_or_none() {
    let mut victim = Victim::new();
    let backup = factors::backup(&mut victim.host.client(), None).unwrap();
    let values = victim.values.clone();
    for round in 0..ROUNDS {
        let name = format!("copy-{round}");
        let told = victim.interrupt(|client| factors::restore(client, &name, &backup, &[B]));
        let mut client = victim.host.client();
        let profiles = ask::status(&mut client).unwrap().profiles;
        let there = profiles.iter().any(|profile| profile.name == name);
        assert!(there || told.is_none(), "{name} was told to be there");
        if there {
            let source = Source::Profile(Some(&name));
            submit_to(&mut client, source, Cause::Unlock, A.0, A.1).unwrap();
            for (key, value) in &values {
                let purpose = ipc::secrets::Purpose::Read;
                let request =
                    SecretsRequest::SecretGet { profile: Some(&name), name: key, purpose };
                let read = ask::ask(&mut client, &request, |reply| match reply {
                    ipc::secrets::SecretsReply::Value(value) => Some(value.to_vec()),
                    _ => None,
                });
                assert_eq!(read.unwrap(), *value);
            }
        }
        victim.all_is_there(&[A]);
    }
    victim.finish();
}

/// daemon-audit dies as well: then nothing was changed, or all was.
#[test]
fn a_change_whose_trail_is_killed_is_done_or_not() {
    if !is_root_or_skip("four users") {
        return;
    }
    let mut victim = Victim::new();
    for round in 0..ROUNDS {
        let before = victim.listed().generation;
        let mut client = victim.host.client();
        authorise(&mut client, &Change::RotateKey, &[A]).unwrap();
        let pid = Pid::from_raw(victim.host.pid(Daemon::Audit));
        let kill_it = || kill(pid, Signal::SIGKILL).unwrap();
        let delay = victim.random.up_to(victim.takes);
        let result = std::thread::scope(|scope| {
            // Some before, so that both ends are seen however fast this machine is; the others between.
            if round % 5 == 0 {
                kill_it();
            }
            let worker = scope.spawn(move || change(&mut client, &Change::RotateKey));
            if round % 5 != 0 {
                std::thread::sleep(delay);
                kill_it();
            }
            worker.join().unwrap()
        });
        victim.host.kill(Daemon::Audit);
        victim.host.try_start(Daemon::Audit).unwrap();
        let after = victim.listed().generation;
        match result {
            Ok(()) => {
                victim.done += 1;
                assert_eq!(after, before + 1);
            }
            Err(refused) => {
                victim.not_done += 1;
                assert_eq!(refused.kind(), Some(FaultKind::AuditUnavailable), "{refused:?}");
                assert_eq!(after, before, "nothing was done");
            }
        }
        victim.no_leftovers();
        // What was given for a change that came to nothing is there still.
        let cancel = SecretsRequest::FactorCancel { source: Source::Profile(None) };
        ask::done(&mut victim.host.client(), &cancel).unwrap();
        victim.all_is_there(&[A]);
    }
    victim.host.sesame(["audit", "verify"]).succeed();
    assert!(victim.done > 0 && victim.not_done > 0, "{} {}", victim.done, victim.not_done);
}
