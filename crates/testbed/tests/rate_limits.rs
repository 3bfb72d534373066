//! Wrong tries: counted for each factor, before they are made, and slowed down for that factor alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use audit_log::{Operation, Outcome};
use ipc::factors::{Cause, Change, Source};
use ipc::secrets::SecretsRequest;
use ipc::{Client, Fault, FaultKind};
use site_config::{AuthMode, Daemon};
use testbed::Host;
use testbed::ask::{Refused, ask};
use testbed::factors::{self, auth, authorised, mode, submit, unlock_with};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
/// Long enough for no test to wait for its end.
const SLOW: &str = "[unlock]\nfree_attempts = 1\nbackoff_base_seconds = 60\n";

fn slow(unlock: AuthMode) -> Host {
    Host::builder().config(&format!("{SLOW}{}", auth(&mode(unlock)))).with_passwords(&TWO)
}

fn wrong(client: &mut Client, factor: u32) -> Fault {
    match submit(client, Cause::Unlock, factor, "not the password") {
        Err(Refused::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// Wrong tries of each factor, and whether it waits.
fn standings(client: &mut Client) -> Vec<(u32, bool)> {
    let factors = factors::list(client).unwrap().factors;
    factors.iter().map(|factor| (factor.failures, factor.retry_after_seconds > 0)).collect()
}

fn several(ids: &[u32], evidence: &str, client: &mut Client) -> Result<(), Refused> {
    let request = SecretsRequest::FactorSubmit {
        source: Source::Profile(None),
        cause: Cause::Unlock,
        factors: ids.to_vec(),
        evidence: evidence.as_bytes(),
        passphrase: None,
    };
    ask(client, &request, |_| Some(()))
}

fn attempts_file(host: &Host) -> PathBuf {
    host.layout.secrets_state().join("installation/profiles/default/attempts.json")
}

#[test]
fn wrong_tries_of_one_factor_do_not_slow_another() {
    let host = slow(AuthMode::Any);
    let mut client = host.client();
    assert_eq!(wrong(&mut client, 1).kind, FaultKind::WrongFactor);
    let fault = wrong(&mut client, 1);
    assert_eq!((fault.kind, fault.retry_after_seconds), (FaultKind::WrongFactor, Some(60)));
    assert_eq!(wrong(&mut client, 1).kind, FaultKind::RateLimited);
    assert_eq!(standings(&mut client), [(2, true), (0, false)]);
    unlock_with(&mut client, &[B]).unwrap();
    assert_eq!(standings(&mut client), [(2, true), (0, false)], "B clears nothing of A");
    let refused = submit(&mut client, Cause::Unlock, A.0, A.1).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::RateLimited), "the right one has to wait too");
    // Whatever it is given for.
    let change = Change::RotateKey.to_string();
    let refused = submit(&mut client, Cause::Change(&change), A.0, A.1).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::RateLimited));
    assert_eq!(
        factors::test(&mut client, 1, A.1).unwrap_err().kind(),
        Some(FaultKind::RateLimited)
    );
}

#[test]
fn a_test_and_a_submission_count_alike() {
    let host = slow(AuthMode::Any);
    let mut client = host.client();
    let refused = factors::test(&mut client, 1, "not the password").unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::WrongFactor));
    assert_eq!(wrong(&mut client, 1).retry_after_seconds, Some(60));
    assert_eq!(standings(&mut client), [(2, true), (0, false)]);
}

/// A password that may be any of several is a try of each.
#[test]
fn a_try_of_several_counts_for_each_and_a_right_one_clears_its_own() {
    let host = slow(AuthMode::All);
    let mut client = host.client();
    assert!(several(&[1, 2], "not the password", &mut client).is_err());
    assert_eq!(standings(&mut client), [(1, false), (1, false)]);
    several(&[1, 2], A.1, &mut client).unwrap();
    assert_eq!(standings(&mut client), [(0, false), (1, false)], "the other is as before");
    assert_eq!(wrong(&mut client, 2).retry_after_seconds, Some(60));
    assert_eq!(standings(&mut client), [(0, false), (2, true)]);
    // Who guesses at several waits for the slowest.
    factors::lock(&mut client).unwrap();
    let refused = several(&[1, 2], A.1, &mut client).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::RateLimited));
    submit(&mut client, Cause::Unlock, A.0, A.1).unwrap();
}

/// A password that was typed for several is not one more try of those that it isn't.
#[test]
fn a_right_factor_does_not_make_another_wait_again() {
    let config = "[unlock]\nfree_attempts = 0\nbackoff_base_seconds = 2\n";
    let config = format!("{config}{}", auth(&mode(AuthMode::All)));
    let host = Host::builder().config(&config).with_passwords(&TWO);
    let mut client = host.client();
    assert_eq!(wrong(&mut client, 2).retry_after_seconds, Some(2));
    sleep(Duration::from_millis(2100));
    several(&[1, 2], A.1, &mut client).unwrap();
    assert_eq!(standings(&mut client), [(0, false), (1, false)]);
    submit(&mut client, Cause::Unlock, B.0, B.1).unwrap();
}

#[test]
fn the_wait_survives_kills_locks_changes_and_rotations() {
    let mut host = slow(AuthMode::Any);
    let mut client = host.client();
    for _ in 0..2 {
        wrong(&mut client, 1);
    }
    let waits = |client: &mut Client, after: &str| {
        let refused = submit(client, Cause::Unlock, A.0, A.1).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::RateLimited), "after {after}");
        assert_eq!(standings(client)[0], (2, true), "after {after}");
    };
    factors::lock(&mut client).unwrap();
    waits(&mut client, "a lock");
    host.kill(Daemon::Secrets);
    host.try_start(Daemon::Secrets).unwrap();
    let mut client = host.client();
    waits(&mut client, "kill -9");
    authorised(&mut client, &Change::RotateKey, &[B]).unwrap();
    waits(&mut client, "a rotation");
    authorised(&mut client, &Change::Rename { factor: 1, label: "anne" }, &[B]).unwrap();
    waits(&mut client, "a new label");
    let id = factors::enroll_password(&mut client, "carol", "the third password", &[B]).unwrap();
    authorised(&mut client, &Change::Revoke { factor: id }, &[B]).unwrap();
    waits(&mut client, "a revocation");
    host.kill(Daemon::Secrets);
    host.try_start(Daemon::Secrets).unwrap();
    let mut client = host.client();
    waits(&mut client, "all that and kill -9");
    // Who can write the daemon's files can take the count away, and then the trail has the tries.
    host.kill(Daemon::Secrets);
    fs::write(attempts_file(&host), "not what was written").unwrap();
    host.try_start(Daemon::Secrets).unwrap();
    let mut client = host.client();
    let refused = submit(&mut client, Cause::Unlock, B.0, B.1).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::RateLimited), "nobody knows any more");
    let failed = host.entries_of(Operation::FactorTry, Outcome::Failed);
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[1].detail["failures"], "2");
    assert_eq!(failed[1].detail["factor"], "1");
}

/// A new factor never inherits a count.
#[test]
fn a_factor_that_comes_after_another_starts_with_no_wrong_tries() {
    let host = slow(AuthMode::Any);
    let mut client = host.client();
    let id = factors::enroll_password(&mut client, "carol", "the third password", &[A]).unwrap();
    for _ in 0..2 {
        wrong(&mut client, id);
    }
    authorised(&mut client, &Change::Revoke { factor: id }, &[A]).unwrap();
    let next = factors::enroll_password(&mut client, "carol", "the third password", &[A]).unwrap();
    assert_eq!(standings(&mut client)[2], (0, false));
    unlock_with(&mut client, &[(next, "the third password")]).unwrap();
}

/// Tries as fast as they can come: none counts before the instant that was promised.
#[test]
fn of_a_hundred_wrong_tries_none_counts_within_the_wait() {
    let config = "[unlock]\nfree_attempts = 2\nbackoff_base_seconds = 1\nbackoff_max_seconds = 1\n";
    let host = Host::builder().config(config).with_passwords(&TWO);
    let mut client = host.client();
    let (mut made, mut refused) = (0_u32, 0_u32);
    let mut not_before = Instant::now();
    while made + refused < 100 {
        let asked = Instant::now();
        let fault = wrong(&mut client, 1);
        match fault.kind {
            FaultKind::WrongFactor => {
                made += 1;
                // The daemon's wait began when it counted the try: after it was asked.
                assert!(Instant::now() >= not_before, "try {made} came too soon");
                if made > 2 {
                    not_before = asked + Duration::from_secs(1);
                }
            }
            FaultKind::RateLimited => {
                refused += 1;
                sleep(Duration::from_millis(60));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(made >= 4 && refused > 60, "{made} made, {refused} refused");
    assert_eq!(standings(&mut client)[0].0, made, "refusals are not counted");
    assert_eq!(host.entries_of(Operation::FactorTry, Outcome::Failed).len(), made as usize);
    assert_eq!(host.entries_of(Operation::FactorTry, Outcome::Refused).len(), refused as usize);
}

/// What could not be tried is not held against anybody.
#[test]
fn a_share_that_is_no_share_is_not_counted() {
    let host = slow(AuthMode::Any);
    let mut client = host.client();
    factors::authorised_split(&mut client, "recovery", (2, 3), &[A]).unwrap();
    for _ in 0..5 {
        let refused = submit(&mut client, Cause::Unlock, 3, "no share").unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::InvalidInput));
    }
    assert_eq!(standings(&mut client)[2], (0, false));
}
