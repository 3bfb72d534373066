//! Changes of factors and policy: each needs the policy satisfied anew, for exactly itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use audit_log::{Operation, Outcome};
use ipc::factors::{Cause, Change, NewFactor, Source};
use ipc::secrets::{ProfileState, SecretsRequest};
use ipc::{Client, FaultKind, Identity, Suite};
use key_hierarchy::Parameters;
use key_hierarchy::parameters::SshAgentParameters;
use nix::unistd::Uid;
use site_config::{AuthMode, Daemon, FactorKind, Role};
use testbed::ask::{self, Refused};
use testbed::factors::{
    self, PATIENT, auth, authorise, authorised, change, enroll_password, mode, password, policy,
    submit, unlock_with,
};
use testbed::{Host, snapshot};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const C: (u32, &str) = (3, "the third password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
const VALUES: u32 = 20;

fn host_in(unlock: AuthMode) -> Host {
    let config = format!("{PATIENT}{}", auth(&mode(unlock)));
    Host::builder().config(&config).with_passwords(&TWO)
}

fn kind<T>(result: Result<T, Refused>) -> Option<FaultKind> {
    result.err().and_then(|refused| refused.kind())
}

fn unlock_file(host: &Host) -> PathBuf {
    host.layout.secrets_state().join("installation/profiles/default/unlock.json")
}

/// The profile as it lies on disk, without the counts of wrong tries.
fn profile(host: &Host) -> (Vec<u8>, Vec<PathBuf>) {
    let files = snapshot(&host.layout.secrets_state().join("installation"));
    (files[&unlock_file(host)].clone(), files.into_keys().collect())
}

fn every_change() -> [Change<'static>; 6] {
    [
        factors::enrolment("carol"),
        Change::Revoke { factor: 2 },
        Change::Rename { factor: 2, label: "robert" },
        Change::Policy(policy("", 2)),
        Change::Split { label: "recovery", threshold: 2, shares: 3 },
        Change::RotateKey,
    ]
}

/// Tries to carry a change out; an enrolment with [`C`].
fn carry_out(client: &mut Client, which: &Change<'_>) -> Result<(), Refused> {
    match which {
        Change::Enroll { label, .. } => factors::enroll(client, password(label, C.1)).map(drop),
        other => change(client, other),
    }
}

#[test]
fn an_unlocked_profile_authorises_no_change() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    for unlocked in [false, true] {
        if unlocked {
            unlock_with(&mut client, &[A]).unwrap();
        }
        let before = profile(&host);
        for which in every_change() {
            let refused = carry_out(&mut client, &which).unwrap_err();
            assert_eq!(refused.kind(), Some(FaultKind::Incomplete), "{which}: {refused:?}");
        }
        assert!(profile(&host) == before);
    }
}

#[test]
fn one_factor_too_few_authorises_no_change() {
    let host = host_in(AuthMode::All);
    let mut client = host.client();
    unlock_with(&mut client, &[A, B]).unwrap();
    let before = profile(&host);
    for which in every_change() {
        let text = which.to_string();
        let progress = submit(&mut client, Cause::Change(&text), B.0, B.1).unwrap();
        assert_eq!(progress.missing.len(), 1);
        // Shares that nobody holds yet must not be demanded.
        let expected = match which {
            Change::Split { .. } => FaultKind::InvalidInput,
            _ => FaultKind::Incomplete,
        };
        assert_eq!(kind(carry_out(&mut client, &which)), Some(expected), "{which}");
        factors::lock(&mut client).unwrap();
    }
    assert!(profile(&host) == before);
}

#[test]
fn an_authorisation_is_for_one_change_and_no_other() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    let before = profile(&host);
    for given in every_change() {
        authorise(&mut client, &given, &[A]).unwrap();
        let others = [
            factors::enrolment("mallory"),
            Change::Revoke { factor: 1 },
            Change::Rename { factor: 1, label: "robert" },
            Change::Rename { factor: 2, label: "rob" },
            Change::Policy(mode(AuthMode::All)),
            Change::Policy(policy("", 1)),
            Change::Split { label: "recovery", threshold: 2, shares: 4 },
            Change::Split { label: "other", threshold: 2, shares: 3 },
        ];
        for other in others.into_iter().chain(every_change()).filter(|other| *other != given) {
            let refused = kind(carry_out(&mut client, &other));
            assert_eq!(refused, Some(FaultKind::Incomplete), "{given} allowed {other}");
        }
        assert!(profile(&host) == before, "{given}");
        factors::lock(&mut client).unwrap();
    }
    for operation in [
        Operation::FactorEnroll,
        Operation::FactorRevoke,
        Operation::FactorRename,
        Operation::FactorPolicy,
        Operation::ShareSplit,
        Operation::KeyRotate,
    ] {
        assert!(host.entries_of(operation, Outcome::Authorised).is_empty(), "{operation}");
    }
}

/// An enrolment that was authorised for a password is for nothing else of that label.
#[test]
fn an_enrolment_is_authorised_with_its_kind() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    let authorised = factors::enrolment("carol");
    authorise(&mut client, &authorised, &[A]).unwrap();
    let agent = SshAgentParameters { public_key: "ssh-ed25519 AAAA".into(), challenge: [7; 32] };
    let parameters = serde_json::to_string(&Parameters::SshAgent(agent)).unwrap();
    let other = NewFactor {
        label: "carol",
        kind: FactorKind::SshAgent,
        parameters: &parameters,
        machine: false,
        evidence: &[1; 64],
    };
    assert_eq!(kind(factors::enroll(&mut client, other)), Some(FaultKind::Incomplete));
    assert_eq!(factors::enroll(&mut client, password("carol", C.1)).unwrap(), 3);
}

/// People give their factors to whoever asked, and not to whoever is quicker.
#[test]
fn a_change_is_carried_out_by_whoever_asked_for_it() {
    let mut host = Host::builder()
        .config(&format!("{PATIENT}{}", auth(&mode(AuthMode::All))))
        .with_passwords(&TWO);
    let other = Identity::generate().unwrap();
    host.add_peer("other", Role::Operator, Uid::effective().as_raw(), *other.public());
    host.stop();
    host.start();
    let mut client = host.client();
    let mut other = host.connect_as(Daemon::Secrets, &other, Suite::ALL[0]).unwrap();
    let change_of_label = Change::Rename { factor: 1, label: "anne" };
    for which in [Change::RotateKey, change_of_label] {
        let text = which.to_string();
        let begin = SecretsRequest::FactorBegin { source: Source::Profile(None), change: &text };
        let progress = ask::ask(&mut client, &begin, factors::progress).unwrap();
        assert_eq!((progress.given.len(), progress.missing.len()), (0, 2));
        let pending = factors::list(&mut other).unwrap().pending.unwrap();
        assert_eq!((pending.change.as_deref(), &*pending.owner), (Some(&*text), "tester"));
        authorise(&mut other, &which, &[A, B]).unwrap();
        let refused = change(&mut other, &which).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::NotCleared), "{refused:?}");
        assert_eq!(kind(ask::ask(&mut other, &begin, |_| Some(()))), Some(FaultKind::NotCleared));
        change(&mut client, &which).unwrap();
    }
    assert_eq!(factors::list(&mut client).unwrap().factors[0].label, "anne");
}

#[test]
fn an_authorisation_is_used_up_by_its_change() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    for which in [Change::RotateKey, Change::Policy(mode(AuthMode::Any))] {
        authorised(&mut client, &which, &[A]).unwrap();
        assert_eq!(kind(change(&mut client, &which)), Some(FaultKind::Incomplete), "{which}");
    }
    let id = enroll_password(&mut client, "carol", C.1, &[A]).unwrap();
    authorised(&mut client, &Change::Revoke { factor: id }, &[A]).unwrap();
    let again = factors::enroll(&mut client, password("carol", C.1));
    assert_eq!(kind(again), Some(FaultKind::Incomplete));
    // An id is never given to another factor.
    assert_eq!(enroll_password(&mut client, "carol", C.1, &[A]).unwrap(), id + 1);
}

#[test]
fn a_lock_a_restart_and_the_deadline_end_an_authorisation() {
    let config = format!("{PATIENT}deadline_seconds = 10\n");
    let mut host = Host::builder().config(&config).with_passwords(&TWO);
    let ends: [fn(&mut Host); 3] = [
        |host| factors::lock(&mut host.client()).unwrap(),
        |host| {
            host.kill(Daemon::Secrets);
            host.try_start(Daemon::Secrets).unwrap();
        },
        |_| sleep(Duration::from_millis(10_500)),
    ];
    for end in ends {
        let which = Change::Revoke { factor: 2 };
        authorise(&mut host.client(), &which, &[A]).unwrap();
        end(&mut host);
        assert_eq!(kind(change(&mut host.client(), &which)), Some(FaultKind::Incomplete));
    }
    assert_eq!(factors::list(&mut host.client()).unwrap().factors.len(), 2);
}

#[test]
fn each_change_does_what_it_says_while_active_deactivated_and_locked() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    let mut expected = factors::list(&mut client).unwrap();
    let value = |number: u32| format!("value {number} ").repeat(100).into_bytes();
    for number in 0..VALUES {
        ask::set(&mut client, &number.to_string(), &value(number)).unwrap();
    }
    type Put = fn(&mut Client);
    let states: [(ProfileState, Put); 3] = [
        (ProfileState::Active, |_| {}),
        (ProfileState::Unlocked, |client| {
            let request = SecretsRequest::ProfileDeactivate { profile: "default" };
            ask::done(client, &request).unwrap();
        }),
        (ProfileState::Locked, |client| factors::lock(client).unwrap()),
    ];
    for (state, enter) in states {
        enter(&mut client);
        let now = |client: &mut Client| ask::status(client).unwrap().profiles[0].state;
        assert_eq!(now(&mut client), state);
        let id = enroll_password(&mut client, "carol", C.1, &[A]).unwrap();
        authorised(&mut client, &Change::Rename { factor: id, label: "caroline" }, &[B]).unwrap();
        let listed = factors::list(&mut client).unwrap();
        assert_eq!(listed.factors[2].label, "caroline");
        authorised(&mut client, &Change::RotateKey, &[(id, C.1)]).unwrap();
        authorised(&mut client, &Change::Revoke { factor: id }, &[(id, C.1)]).unwrap();
        let wrong = kind(submit(&mut client, Cause::Unlock, id, C.1));
        assert_eq!(wrong, Some(FaultKind::NotFound));
        let listed = factors::list(&mut client).unwrap();
        expected.generation += 4;
        assert_eq!(listed, expected, "two factors again, and four changes");
        assert_eq!(now(&mut client), state, "a change neither locks nor unlocks");
        match state {
            ProfileState::Active => {}
            ProfileState::Unlocked => {
                let request = SecretsRequest::ProfileActivate { profile: "default" };
                ask::done(&mut client, &request).unwrap();
            }
            ProfileState::Locked => unlock_with(&mut client, &[B]).unwrap(),
        }
        for number in 0..VALUES {
            assert_eq!(ask::get(&mut client, &number.to_string()).unwrap(), value(number));
        }
        ask::set(&mut client, "new", format!("{state:?}").as_bytes()).unwrap();
    }
    factors::lock(&mut client).unwrap();
    unlock_with(&mut client, &[A]).unwrap();
    assert_eq!(ask::get(&mut client, "new").unwrap(), b"Locked");
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn values_survive_every_change_and_a_restart() {
    let mut host = host_in(AuthMode::Any);
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    let value = |number: u32| number.to_le_bytes().repeat(1 + (number as usize * 997) % 9000);
    for number in 0..60 {
        ask::set(&mut client, &number.to_string(), &value(number)).unwrap();
    }
    let mut last = enroll_password(&mut client, "carol", C.1, &[A]).unwrap();
    for round in 0..4 {
        authorised(&mut client, &Change::RotateKey, &[A]).unwrap();
        authorised(&mut client, &Change::Revoke { factor: last }, &[B]).unwrap();
        last = enroll_password(&mut client, "carol", C.1, &[A]).unwrap();
        if round % 2 == 1 {
            host.stop();
            host.start();
            client = host.client();
            unlock_with(&mut client, &[(last, C.1)]).unwrap();
        }
        for number in 0..60 {
            assert_eq!(ask::get(&mut client, &number.to_string()).unwrap(), value(number));
        }
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn a_new_policy_shuts_the_old_set_out_and_lets_the_new_one_in() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    let locked_after = |client: &mut Client, given: &[(u32, &str)]| {
        for (id, text) in given {
            assert_ne!(submit(client, Cause::Unlock, *id, text).unwrap().missing, []);
        }
        assert_eq!(ask::status(client).unwrap().profiles[0].state, ProfileState::Locked);
        factors::lock(client).unwrap();
    };
    let opened_by = |client: &mut Client, given: &[(u32, &str)]| {
        unlock_with(client, given).unwrap();
        assert_eq!(ask::status(client).unwrap().profiles[0].state, ProfileState::Active);
        factors::lock(client).unwrap();
    };
    opened_by(&mut client, &[A]);
    authorised(&mut client, &Change::Policy(mode(AuthMode::All)), &[B]).unwrap();
    locked_after(&mut client, &[A]);
    locked_after(&mut client, &[B]);
    opened_by(&mut client, &[B, A]);
    authorised(&mut client, &Change::Policy(policy("password", 0)), &[A, B]).unwrap();
    opened_by(&mut client, &[B]);
    let impossible = [policy("tpm", 0), policy("", 3), policy("password", 1)];
    for policy in impossible {
        let text = Change::Policy(policy).to_string();
        submit(&mut client, Cause::Change(&text), A.0, A.1).unwrap();
        let refused = change(&mut client, &Change::Policy(policy));
        assert_eq!(kind(refused), Some(FaultKind::InvalidInput), "{policy}");
        factors::lock(&mut client).unwrap();
    }
    opened_by(&mut client, &[A]);
    let changed = host.entries_of(Operation::FactorPolicy, Outcome::Done);
    let told: Vec<_> = changed
        .iter()
        .map(|entry| (entry.detail["before"].as_str(), entry.subject.as_deref().unwrap()))
        .collect();
    assert_eq!(told, [("any one factor", "all factors"), ("all factors", "password")]);
}

#[test]
fn the_last_factor_that_the_policy_needs_is_not_revoked() {
    let host = host_in(AuthMode::All);
    let mut client = host.client();
    authorised(&mut client, &Change::Revoke { factor: 2 }, &[A, B]).unwrap();
    let which = Change::Revoke { factor: 1 };
    authorise(&mut client, &which, &[A]).unwrap();
    assert_eq!(kind(change(&mut client, &which)), Some(FaultKind::InvalidInput));
    factors::lock(&mut client).unwrap();
    unlock_with(&mut client, &[A]).unwrap();
}

/// Whoever may ask for an enrolment must not learn from it whether a password is right: those answers
/// are neither counted nor recorded.
#[test]
fn an_enrolment_that_nobody_authorised_tells_nothing_about_other_factors() {
    let host = host_in(AuthMode::All);
    let mut client = host.client();
    unlock_with(&mut client, &[A, B]).unwrap();
    for guess in ["not the password", A.1, B.1] {
        let refused = factors::enroll(&mut client, password("mallory", guess));
        assert_eq!(kind(refused), Some(FaultKind::Incomplete), "{guess}");
    }
    submit(&mut client, Cause::Change("enrol password \"mallory\""), A.0, A.1).unwrap();
    for guess in ["not the password", B.1] {
        let refused = factors::enroll(&mut client, password("mallory", guess));
        assert_eq!(kind(refused), Some(FaultKind::Incomplete), "{guess}");
    }
}

/// And with one a password that is enrolled is told, and recorded; any other is a new factor, and that
/// was the change that was allowed.
#[test]
fn an_authorised_enrolment_tells_that_a_password_is_taken_and_it_is_recorded() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    authorise(&mut client, &factors::enrolment("mallory"), &[A]).unwrap();
    let refused = factors::enroll(&mut client, password("mallory", B.1));
    assert_eq!(kind(refused), Some(FaultKind::Exists));
    assert_eq!(host.entries_of(Operation::FactorEnroll, Outcome::Failed).len(), 1);
    assert_eq!(factors::list(&mut client).unwrap().factors.len(), 2);
    assert_eq!(factors::enroll(&mut client, password("mallory", "a guess of it")).unwrap(), 3);
    let refused = factors::enroll(&mut client, password("mallory", B.1));
    assert_eq!(kind(refused), Some(FaultKind::Incomplete), "it is used up");
}

#[test]
fn only_what_a_change_says_of_itself_can_be_authorised() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    let long = "x".repeat(20_000);
    for odd in ["revoke factor 2\n\x1b[2J", "\u{9b}2J", long.as_str()] {
        let progress = submit(&mut client, Cause::Change(odd), A.0, A.1);
        let shown: String = odd.chars().take(20).collect();
        assert_eq!(kind(progress), Some(FaultKind::InvalidInput), "{shown:?}");
        assert_eq!(factors::list(&mut client).unwrap().pending, None, "{shown:?}");
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn a_change_of_a_profile_that_is_not_there_is_refused() {
    let host = host_in(AuthMode::Any);
    let mut client = host.client();
    let source = Source::Profile(Some("nobody"));
    let given = factors::submit_to(&mut client, source, Cause::Unlock, 1, A.1);
    assert_eq!(kind(given), Some(FaultKind::NotFound));
    let source = Source::Restore("nobody");
    let given = factors::submit_to(&mut client, source, Cause::Change("x"), 1, A.1);
    assert_eq!(kind(given), Some(FaultKind::NotFound));
    for request in [
        SecretsRequest::KeyRotate { profile: Some("nobody") },
        SecretsRequest::FactorRevoke { profile: Some("nobody"), factor: 1 },
        SecretsRequest::VaultRestore { profile: "nobody" },
        SecretsRequest::VaultBackup { profile: Some("nobody"), offset: 0 },
    ] {
        assert_eq!(kind(ask::done(&mut client, &request)), Some(FaultKind::NotFound));
    }
}

#[test]
fn what_was_given_for_an_older_file_counts_for_nothing() {
    let host = host_in(AuthMode::All);
    let mut client = host.client();
    let before = fs::read(unlock_file(&host)).unwrap();
    authorised(&mut client, &Change::Rename { factor: 1, label: "anne" }, &[A, B]).unwrap();
    submit(&mut client, Cause::Unlock, A.0, A.1).unwrap();
    let after = fs::read(unlock_file(&host)).unwrap();
    fs::write(unlock_file(&host), &before).unwrap();
    let progress = submit(&mut client, Cause::Unlock, B.0, B.1).unwrap();
    assert_eq!(progress.given, [2], "the other was given to another file");
    fs::write(unlock_file(&host), &after).unwrap();
    factors::lock(&mut client).unwrap();
    unlock_with(&mut client, &[A, B]).unwrap();
}
