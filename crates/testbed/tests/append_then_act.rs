//! An entry first, then the act: whatever keeps daemon-audit from writing keeps daemon-secrets from
//! doing anything. The one exception is `lock`, which is the brake.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/trouble.rs"]
mod trouble;

use std::collections::BTreeMap;
use std::path::PathBuf;

use audit_log::{Operation, Outcome};
use ipc::secrets::{ProfileState, Status};
use testbed::mounted::ReadOnly;
use testbed::{Host, PASSWORD, ask, is_root_or_skip, snapshot};
use trouble::{TROUBLES, Trouble, Victim};

/// What daemon-secrets has on its disk, and says of itself.
fn state(host: &Host) -> (BTreeMap<PathBuf, Vec<u8>>, Status) {
    let status = ask::status(&mut host.client());
    (snapshot(host.layout.secrets_state()), status.unwrap())
}

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
        let wipe =
            format!("wipe --i-understand {}", state(&victim.host).1.installation.unwrap().id);
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
        let before = state(&victim.host);
        // All at once: of a daemon that hangs each of them finds out for itself.
        std::thread::scope(|scope| {
            for (line, stdin) in lines {
                let host = &victim.host;
                scope.spawn(move || assert_refused(host, line, stdin));
            }
        });
        assert!(state(&victim.host) == before, "{trouble:?}: something was done");

        let exported = victim.host.dir().join("exported");
        // `sesame` itself would wait for a minute.
        if trouble != Trouble::Hung {
            let code = if trouble == Trouble::Dead { 3 } else { 22 };
            victim.host.sesame(["audit", "export"]).args([&exported]).fail(code);
            assert!(!exported.exists(), "{trouble:?}");
        }

        victim.host.sesame(["lock"]).succeed();
        let profiles = state(&victim.host).1.profiles;
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
