//! Factors that are given one by one, by several people: what is kept of them, for how long, and what
//! it opens.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::thread::sleep;
use std::time::Duration;

use audit_log::{Operation, Outcome};
use ipc::factors::{Cause, Change, Need, Progress};
use ipc::secrets::{ProfileState, SecretsReply, SecretsRequest};
use ipc::{Client, FaultKind};
use site_config::{AuthMode, Daemon};
use testbed::ask::{self, Refused, ask};
use testbed::factors::{self, PATIENT, auth, mode, password, policy, submit, unlock_with};
use testbed::{Host, snapshot};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const C: (u32, &str) = (3, "the third password");
const THREE: [(&str, &str); 3] = [("alice", A.1), ("bob", B.1), ("carol", C.1)];

fn host_of(policy: &site_config::UnlockPolicy) -> Host {
    Host::builder().config(&format!("{PATIENT}{}", auth(policy))).with_passwords(&THREE)
}

fn state(client: &mut Client) -> ProfileState {
    ask::status(client).unwrap().profiles[0].state
}

fn kind<T>(result: Result<T, Refused>) -> Option<FaultKind> {
    result.err().and_then(|refused| refused.kind())
}

fn need(count: u8, of: &[u32]) -> Need {
    Need { count, of: of.to_vec() }
}

/// Factors and what is missing, without the time that is left.
fn told(progress: &Progress) -> (&[u32], &[Need]) {
    (&progress.given, &progress.missing)
}

#[test]
fn in_mode_any_each_factor_opens_alone() {
    let host = host_of(&mode(AuthMode::Any));
    let mut client = host.client();
    assert_eq!(factors::list(&mut client).unwrap().needs, [need(1, &[1, 2, 3])]);
    for factor in [A, B, C] {
        let progress = submit(&mut client, Cause::Unlock, factor.0, factor.1).unwrap();
        assert_eq!(told(&progress), (&[factor.0][..], &[][..]));
        assert_eq!(state(&mut client), ProfileState::Active);
        factors::lock(&mut client).unwrap();
    }
    for (factor, other) in [(A.0, B.1), (B.0, C.1), (C.0, "something else")] {
        let refused = kind(submit(&mut client, Cause::Unlock, factor, other));
        assert_eq!(refused, Some(FaultKind::WrongFactor));
        assert_eq!(state(&mut client), ProfileState::Locked);
    }
}

#[test]
fn in_mode_all_two_people_on_two_connections_give_them_in_any_order() {
    let host = host_of(&mode(AuthMode::All));
    let (mut one, mut two) = (host.client(), host.client());
    let needs = factors::list(&mut one).unwrap().needs;
    assert_eq!(needs, [need(1, &[1]), need(1, &[2]), need(1, &[3])]);
    for order in [[A, B, C], [C, A, B], [B, C, A]] {
        let [first, second, third] = order;
        let progress = submit(&mut one, Cause::Unlock, first.0, first.1).unwrap();
        assert_eq!(progress.given, [first.0]);
        assert_eq!(progress.missing.len(), 2);
        let progress = submit(&mut two, Cause::Unlock, second.0, second.1).unwrap();
        let mut given = [first.0, second.0];
        given.sort_unstable();
        assert_eq!(told(&progress), (&given[..], &[need(1, &[third.0])][..]));
        assert_eq!(state(&mut one), ProfileState::Locked, "two of three");
        assert_eq!(kind(ask::get(&mut one, "x")), Some(FaultKind::Locked));
        // Not even by whoever connects only now.
        let progress = submit(&mut host.client(), Cause::Unlock, third.0, third.1).unwrap();
        assert_eq!(told(&progress), (&[1, 2, 3][..], &[][..]));
        assert_eq!(state(&mut one), ProfileState::Active);
        factors::lock(&mut two).unwrap();
    }
}

#[test]
fn in_mode_policy_the_required_kinds_and_so_many_others_are_needed() {
    let host = host_of(&policy("", 2));
    let mut client = host.client();
    assert_eq!(factors::list(&mut client).unwrap().needs, [need(2, &[1, 2, 3])]);
    for (first, second) in [(A, B), (B, C), (C, A)] {
        let progress = submit(&mut client, Cause::Unlock, first.0, first.1).unwrap();
        let others: Vec<u32> = [1, 2, 3].into_iter().filter(|id| *id != first.0).collect();
        assert_eq!(told(&progress), (&[first.0][..], &[need(1, &others)][..]));
        assert_eq!(state(&mut client), ProfileState::Locked);
        let progress = submit(&mut client, Cause::Unlock, second.0, second.1).unwrap();
        assert_eq!(progress.missing, []);
        assert_eq!(state(&mut client), ProfileState::Active);
        factors::lock(&mut client).unwrap();
    }
}

#[test]
fn what_is_given_twice_counts_once() {
    let host = host_of(&policy("", 2));
    let (mut one, mut two) = (host.client(), host.client());
    for client in [&mut one, &mut two] {
        for _ in 0..3 {
            let progress = submit(client, Cause::Unlock, A.0, A.1).unwrap();
            assert_eq!(told(&progress), (&[1][..], &[need(1, &[2, 3])][..]));
        }
    }
    assert_eq!(state(&mut one), ProfileState::Locked);
    // Several passwords at once: the one that is there already is not the other.
    let request = SecretsRequest::FactorSubmit {
        source: ipc::factors::Source::Profile(None),
        cause: Cause::Unlock,
        factors: vec![1, 2, 3],
        evidence: A.1.as_bytes(),
        passphrase: None,
    };
    let progress = ask(&mut one, &request, factors::progress).unwrap();
    assert_eq!(told(&progress), (&[1][..], &[need(1, &[2, 3])][..]));
    submit(&mut two, Cause::Unlock, C.0, C.1).unwrap();
    assert_eq!(state(&mut one), ProfileState::Active);
}

#[test]
fn a_wrong_factor_takes_nothing_back_of_what_was_given() {
    let host = host_of(&mode(AuthMode::All));
    let mut client = host.client();
    submit(&mut client, Cause::Unlock, A.0, A.1).unwrap();
    let wrong = submit(&mut client, Cause::Unlock, B.0, "not the second");
    assert_eq!(kind(wrong), Some(FaultKind::WrongFactor));
    let pending = factors::list(&mut client).unwrap().pending.unwrap();
    assert_eq!((pending.change, told(&pending.progress).0), (None, &[1][..]));
    unlock_with(&mut client, &[B, C]).unwrap();
    assert_eq!(state(&mut client), ProfileState::Active);
    assert_eq!(factors::list(&mut client).unwrap().pending, None);
}

#[test]
fn the_deadline_forgets_what_was_given() {
    let config = format!("{PATIENT}deadline_seconds = 10\n{}", auth(&mode(AuthMode::All)));
    let host = Host::builder().config(&config).with_passwords(&THREE);
    let mut client = host.client();
    let progress = submit(&mut client, Cause::Unlock, A.0, A.1).unwrap();
    assert!((8..=10).contains(&progress.seconds_left), "{progress:?}");
    sleep(Duration::from_secs(4));
    // It runs from the first factor, not from the last.
    let progress = submit(&mut client, Cause::Unlock, B.0, B.1).unwrap();
    assert!(progress.seconds_left <= 6, "{progress:?}");
    sleep(Duration::from_secs(progress.seconds_left + 1));
    assert_eq!(factors::list(&mut client).unwrap().pending, None);
    let progress = submit(&mut client, Cause::Unlock, C.0, C.1).unwrap();
    assert_eq!(told(&progress), (&[3][..], &[need(1, &[1]), need(1, &[2])][..]));
    assert_eq!(state(&mut client), ProfileState::Locked);
}

#[test]
fn a_lock_and_a_restart_forget_what_was_given() {
    let mut host = host_of(&mode(AuthMode::All));
    let locks: [fn(&mut Host); 4] = [
        |host| factors::lock(&mut host.client()).unwrap(),
        |host| {
            let request = SecretsRequest::Lock { profile: Some("default") };
            ask::done(&mut host.client(), &request).unwrap();
        },
        |host| {
            host.kill(Daemon::Secrets);
            host.try_start(Daemon::Secrets).unwrap();
        },
        |host| {
            host.stop();
            host.start();
        },
    ];
    for (number, forget) in locks.into_iter().enumerate() {
        let mut client = host.client();
        unlock_two_of_three(&mut client);
        forget(&mut host);
        let mut client = host.client();
        assert_eq!(factors::list(&mut client).unwrap().pending, None, "{number}");
        let progress = submit(&mut client, Cause::Unlock, C.0, C.1).unwrap();
        assert_eq!(progress.missing, [need(1, &[1]), need(1, &[2])], "{number}");
        assert_eq!(state(&mut client), ProfileState::Locked, "{number}");
        factors::lock(&mut client).unwrap();
    }
}

fn unlock_two_of_three(client: &mut Client) {
    for (id, text) in [A, B] {
        submit(client, Cause::Unlock, id, text).unwrap();
    }
    assert_eq!(state(client), ProfileState::Locked);
}

#[test]
fn factors_are_given_for_one_thing_at_a_time() {
    let host = host_of(&mode(AuthMode::All));
    let mut client = host.client();
    let (revoke, rotate) =
        (Change::Revoke { factor: 3 }.to_string(), Change::RotateKey.to_string());
    let causes = [Cause::Unlock, Cause::Change(&revoke), Cause::Change(&rotate)];
    for pending in causes {
        submit(&mut client, pending, A.0, A.1).unwrap();
        for other in causes.into_iter().filter(|cause| *cause != pending) {
            let before = host.entries().len();
            assert_eq!(kind(submit(&mut client, other, B.0, B.1)), Some(FaultKind::Busy));
            assert_eq!(host.entries().len(), before, "nothing was tried");
        }
        let listed = factors::list(&mut client).unwrap().pending.unwrap();
        let text = match pending {
            Cause::Unlock => None,
            Cause::Change(text) => Some(text.to_owned()),
        };
        assert_eq!((listed.change, listed.progress.given), (text, vec![1]));
        factors::lock(&mut client).unwrap();
    }
}

#[test]
fn what_was_given_can_be_taken_back_and_that_is_recorded() {
    let host = host_of(&mode(AuthMode::All));
    let (mut one, mut two) = (host.client(), host.client());
    let revoke = Change::Revoke { factor: 3 }.to_string();
    let cancel = SecretsRequest::FactorCancel { source: ipc::factors::Source::Profile(None) };
    for (cause, text) in [(Cause::Unlock, "unlock"), (Cause::Change(&revoke), &revoke)] {
        submit(&mut one, cause, A.0, A.1).unwrap();
        ask::done(&mut two, &cancel).unwrap();
        assert_eq!(factors::list(&mut one).unwrap().pending, None);
        let progress = submit(&mut one, cause, B.0, B.1).unwrap();
        assert_eq!(told(&progress).0, [2], "the other was taken back");
        let cancelled = host.entries_of(Operation::FactorCancel, Outcome::Done);
        assert_eq!(cancelled.last().unwrap().detail["for"], text);
        ask::done(&mut one, &cancel).unwrap();
    }
    // What is unlocked stays unlocked.
    unlock_with(&mut one, &[A, B, C]).unwrap();
    ask::done(&mut two, &cancel).unwrap();
    assert_eq!(state(&mut one), ProfileState::Active);
}

/// Fault 4 of the predecessor was an init that left half of itself behind.
#[test]
fn an_init_whose_factors_can_not_satisfy_the_policy_leaves_nothing_behind() {
    for policy in
        [policy("tpm", 0), policy("", 3), policy("password,fido2", 0), policy("password", 1)]
    {
        let mut host = Host::builder().config(&auth(&policy)).provision();
        host.start();
        let state = snapshot(host.layout.secrets_state());
        let trail = snapshot(host.layout.audit_state());
        let factors = vec![password("alice", A.1), password("bob", B.1)];
        let refused = factors::init(&mut host.client(), factors).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{refused:?}");
        assert!(snapshot(host.layout.secrets_state()) == state, "{policy}");
        assert!(snapshot(host.layout.audit_state()) == trail, "{policy}");
        assert_eq!(ask::status(&mut host.client()).unwrap().installation, None);
        host.stop();
        host.start();
        assert_eq!(ask::status(&mut host.client()).unwrap().installation, None, "{policy}");
    }
}

#[test]
fn what_can_not_be_enrolled_is_refused_before_anything_is_stored() {
    let mut host = Host::builder().provision();
    host.start();
    let mut client = host.client();
    let long = "x".repeat(65);
    let bad = [
        vec![],
        vec![password("alice", "short")],
        vec![password("", A.1)],
        vec![password(" alice", A.1)],
        vec![password("a\nb", A.1)],
        vec![password(&long, A.1)],
        vec![password("alice", A.1), password("alice", B.1)],
        vec![password("alice", A.1), password("bob", A.1)],
        (0..17).map(|number| password(&THREE[0].0[..1 + number % 5], A.1)).collect(),
    ];
    for factors in bad {
        let labels: Vec<String> = factors.iter().map(|factor| factor.label.to_owned()).collect();
        let refused = factors::init(&mut client, factors).unwrap_err();
        let kind = refused.kind();
        assert!(
            matches!(kind, Some(FaultKind::InvalidInput | FaultKind::Exists)),
            "{labels:?}: {refused:?}"
        );
        assert_eq!(ask::status(&mut client).unwrap().installation, None);
    }
    assert!(host.entries().is_empty());
}

/// A submission that names what isn't there, or several that are not passwords.
#[test]
fn a_submission_that_can_not_be_is_neither_tried_nor_counted() {
    let host = host_of(&mode(AuthMode::Any));
    let mut client = host.client();
    let before = host.entries().len();
    let odd: [(&[u32], FaultKind); 5] = [
        (&[], FaultKind::InvalidInput),
        // Each would be stretched, and nobody else could try anything meanwhile.
        (&[1; 100], FaultKind::InvalidInput),
        (&[1, 2, 3, 1], FaultKind::InvalidInput),
        (&[4], FaultKind::NotFound),
        (&[1, 2, 9], FaultKind::NotFound),
    ];
    for (ids, expected) in odd {
        let request = SecretsRequest::FactorSubmit {
            source: ipc::factors::Source::Profile(None),
            cause: Cause::Unlock,
            factors: ids.to_vec(),
            evidence: A.1.as_bytes(),
            passphrase: None,
        };
        assert_eq!(
            kind(ask(&mut client, &request, |_: SecretsReply<'_>| Some(()))),
            Some(expected)
        );
    }
    assert_eq!(host.entries().len(), before);
    assert!(factors::list(&mut client).unwrap().factors.iter().all(|factor| factor.failures == 0));
}
