//! Recovery shares: split, proved one by one, and put together by their custodians.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use audit_log::{Operation, Outcome};
use ipc::factors::{Cause, Change, Need, Source};
use ipc::secrets::{ProfileState, SecretsRequest};
use ipc::{Client, FaultKind, Identity, Suite};
use nix::unistd::Uid;
use site_config::{AuthMode, Daemon, Role};
use testbed::Host;
use testbed::ask::{self, Refused, ask};
use testbed::factors::{
    self, PATIENT, authorise, authorised, authorised_split, mode, policy, split_locked, submit,
    unlock_with, verify_share,
};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
const RECOVERY: u32 = 3;

fn host() -> Host {
    Host::builder().config(PATIENT).with_passwords(&TWO)
}

fn state(client: &mut Client) -> ProfileState {
    ask::status(client).unwrap().profiles[0].state
}

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, Refused>) -> FaultKind {
    result.unwrap_err().kind().unwrap()
}

/// Gives a locked share.
fn submit_locked(client: &mut Client, share: &[u8], passphrase: &str) -> Result<(), Refused> {
    let request = SecretsRequest::FactorSubmit {
        source: Source::Profile(None),
        cause: Cause::Unlock,
        factors: vec![RECOVERY],
        evidence: share,
        passphrase: Some(passphrase.as_bytes()),
    };
    ask(client, &request, |reply| factors::progress(reply).map(drop))
}

#[test]
fn any_three_of_five_shares_open_and_two_do_not() {
    let host = host();
    let mut client = host.client();
    let shares = authorised_split(&mut client, "recovery", (3, 5), &[A]).unwrap();
    assert_eq!(shares.len(), 5);
    for (number, share) in (1..).zip(&shares) {
        assert_eq!(verify_share(&mut client, share, None).unwrap(), (RECOVERY, number));
    }
    assert_eq!(state(&mut client), ProfileState::Locked, "to prove them opens nothing");
    for choice in [[0, 1, 2], [4, 2, 0], [1, 4, 3], [2, 3, 4]] {
        let mut told = Vec::new();
        for at in choice {
            assert_eq!(state(&mut client), ProfileState::Locked);
            let progress = submit(&mut client, Cause::Unlock, RECOVERY, &shares[at]).unwrap();
            told.push((progress.given, progress.shares, progress.missing));
        }
        let number = |at: usize| u8::try_from(choice[at] + 1).unwrap();
        let still = vec![Need { count: 1, of: vec![1, 2, RECOVERY] }];
        let mut two = vec![number(0), number(1)];
        two.sort_unstable();
        let none: Vec<u32> = Vec::new();
        assert_eq!(told[0], (none.clone(), vec![(RECOVERY, vec![number(0)])], still.clone()));
        assert_eq!(told[1], (none, vec![(RECOVERY, two)], still));
        assert_eq!(told[2], (vec![RECOVERY], vec![], vec![]));
        assert_eq!(state(&mut client), ProfileState::Active);
        factors::lock(&mut client).unwrap();
    }
    // One share many times is one share.
    for _ in 0..4 {
        let progress = submit(&mut client, Cause::Unlock, RECOVERY, &shares[3]).unwrap();
        assert_eq!(progress.shares, [(RECOVERY, vec![4])]);
    }
    assert_eq!(state(&mut client), ProfileState::Locked);
}

#[test]
fn a_share_that_is_not_of_this_split_is_told_and_counts_for_nothing() {
    let hosts = [host(), host()];
    let mut clients = hosts.each_ref().map(Host::client);
    let [client, other] = &mut clients;
    let shares = authorised_split(client, "recovery", (3, 5), &[A]).unwrap();
    let second = authorised_split(client, "second", (2, 3), &[A]).unwrap();
    let foreign = authorised_split(other, "recovery", (3, 5), &[A]).unwrap();
    let flipped = |share: &[u8], at: usize| {
        let mut share = share.to_vec();
        share[at] ^= 1;
        share
    };
    let wrong: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("text", b"correct horse battery".to_vec()),
        ("cut", shares[0][..46].to_vec()),
        ("long", [&shares[0][..], b"x"].concat()),
        ("foreign", foreign[0].clone()),
        ("of the other split", second[0].clone()),
        ("another number", flipped(&shares[0], 13)),
        ("another threshold", flipped(&shares[0], 14)),
        ("a flipped part", flipped(&shares[0], 20)),
        ("a flipped end", flipped(&shares[0], 46)),
    ];
    submit(client, Cause::Unlock, RECOVERY, &shares[1]).unwrap();
    for (name, share) in &wrong {
        let refused = submit(client, Cause::Unlock, RECOVERY, share).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{name}: {refused:?}");
        if *name != "of the other split" {
            let refused = kind(verify_share(client, share, None));
            assert_eq!(refused, FaultKind::InvalidInput, "{name}");
        }
        let pending = factors::list(client).unwrap().pending.unwrap();
        assert_eq!(pending.progress.shares, [(RECOVERY, vec![2])], "{name}");
    }
    assert_eq!(verify_share(client, &second[0], None).unwrap(), (4, 1));
    for share in [&shares[4], &shares[2]] {
        submit(client, Cause::Unlock, RECOVERY, share).unwrap();
    }
    assert_eq!(state(client), ProfileState::Active);
}

/// Whoever holds a share holds no more than that.
#[test]
fn custodians_give_shares_from_connections_of_their_own_and_get_nothing_else() {
    let mut host = Host::builder().config(PATIENT).provision();
    let own = Uid::effective().as_raw();
    let custodians: Vec<Identity> =
        (0..3).map(|_| Identity::generate().expect("random bytes")).collect();
    for (number, identity) in custodians.iter().enumerate() {
        host.add_peer(&format!("custodian-{number}"), Role::Custodian, own, *identity.public());
    }
    host.start();
    let mut operator = host.client();
    let factors = TWO.map(|(label, text)| factors::password(label, text)).into();
    factors::init(&mut operator, factors).unwrap();
    let shares = authorised_split(&mut operator, "recovery", (3, 3), &[A]).unwrap();
    unlock_with(&mut operator, &[A]).unwrap();
    ask::set(&mut operator, "a", b"value").unwrap();
    factors::lock(&mut operator).unwrap();
    let connect = |identity| host.connect_as(Daemon::Secrets, identity, Suite::ALL[0]).unwrap();
    let mut clients: Vec<Client> = custodians.iter().map(connect).collect();
    for (client, share) in clients.iter_mut().zip(&shares) {
        assert_eq!(verify_share(client, share, None).unwrap().0, RECOVERY);
        factors::list(client).unwrap();
        submit(client, Cause::Unlock, RECOVERY, share).unwrap();
    }
    assert_eq!(state(&mut operator), ProfileState::Active);
    assert_eq!(ask::get(&mut operator, "a").unwrap(), b"value");

    let client = &mut clients[0];
    assert_eq!(factors::test(client, A.0, A.1).unwrap(), A.0);
    let refused = [
        kind(ask::get(client, "a")),
        kind(ask::set(client, "a", b"other")),
        kind(factors::change(client, &Change::RotateKey)),
        kind(factors::change(client, &Change::Revoke { factor: 1 })),
        kind(factors::split(client, "mine", 2, 3)),
        kind(factors::enroll(client, factors::password("mine", "my own password"))),
        kind(factors::backup(client, None)),
        kind(factors::stage(client, "copy", b"x")),
    ];
    assert_eq!(refused, [FaultKind::NotCleared; 8]);
    // What a custodian gives towards a change is an operator's to carry out.
    let refused = authorise(client, &Change::RotateKey, &[A]);
    assert_eq!(kind(refused), FaultKind::NotFound, "nobody asks for it");
    let text = Change::RotateKey.to_string();
    let source = Source::Profile(None);
    let begin = SecretsRequest::FactorBegin { source, change: &text };
    ask(&mut operator, &begin, |reply| factors::progress(reply).map(drop)).unwrap();
    assert_eq!(kind(ask(client, &begin, |_| Some(()))), FaultKind::NotCleared);
    authorise(client, &Change::RotateKey, &[A]).unwrap();
    factors::change(&mut operator, &Change::RotateKey).unwrap();
    assert_eq!(ask::get(&mut operator, "a").unwrap(), b"value");
    factors::lock(client).unwrap();
    assert_eq!(state(&mut operator), ProfileState::Locked);
    let tries = host.entries_of(Operation::FactorTry, Outcome::Done);
    let mut names: Vec<_> =
        tries.iter().filter_map(|entry| entry.actor.as_ref()?.name.as_deref()).collect();
    names.dedup();
    let expected = ["tester", "custodian-0", "custodian-1", "custodian-2", "custodian-0"];
    assert_eq!(names, expected, "each try has its own actor");
}

#[test]
fn a_locked_share_needs_its_own_passphrase_and_wrong_ones_are_counted() {
    let host = host();
    let mut client = host.client();
    let passphrases = ["of the first custodian", "of the second custodian", ""];
    let which = Change::Split { label: "recovery", threshold: 2, shares: 3 };
    authorise(&mut client, &which, &[A]).unwrap();
    let shares = split_locked(&mut client, "recovery", 2, 3, &passphrases).unwrap();
    let refused = verify_share(&mut client, &shares[0], None);
    assert_eq!(kind(refused), FaultKind::InvalidInput, "it says that it is locked");
    for wrong in [passphrases[1], "", "of nobody"] {
        let refused = verify_share(&mut client, &shares[0], Some(wrong.as_bytes()));
        assert_eq!(kind(refused), FaultKind::WrongFactor, "{wrong:?}");
    }
    let recovery = factors::list(&mut client).unwrap().factors.pop().unwrap();
    assert_eq!((recovery.id, recovery.failures), (RECOVERY, 3));
    let right = Some(passphrases[0].as_bytes());
    assert_eq!(verify_share(&mut client, &shares[0], right).unwrap(), (RECOVERY, 1));
    assert_eq!(factors::list(&mut client).unwrap().factors[2].failures, 0);
    assert_eq!(verify_share(&mut client, &shares[2], None).unwrap(), (RECOVERY, 3));
    assert_eq!(kind(submit_locked(&mut client, &shares[1], "wrong")), FaultKind::WrongFactor);
    submit_locked(&mut client, &shares[1], passphrases[1]).unwrap();
    assert_eq!(state(&mut client), ProfileState::Locked);
    submit(&mut client, Cause::Unlock, RECOVERY, &shares[2]).unwrap();
    assert_eq!(state(&mut client), ProfileState::Active);
}

#[test]
fn a_split_that_can_not_be_is_refused_and_nothing_changes() {
    let host = host();
    let mut client = host.client();
    let before = factors::list(&mut client).unwrap();
    for (threshold, shares) in [(0, 3), (1, 3), (4, 3), (2, 0), (2, 33), (33, 33), (255, 255)] {
        let refused = authorised_split(&mut client, "recovery", (threshold, shares), &[A]);
        assert_eq!(kind(refused), FaultKind::InvalidInput, "{threshold} of {shares}");
        factors::lock(&mut client).unwrap();
    }
    for label in ["", " x", "alice"] {
        let refused = kind(authorised_split(&mut client, label, (2, 3), &[A]));
        assert!(matches!(refused, FaultKind::InvalidInput | FaultKind::Exists), "{label:?}");
        factors::lock(&mut client).unwrap();
    }
    let which = Change::Split { label: "recovery", threshold: 2, shares: 3 };
    authorise(&mut client, &which, &[A]).unwrap();
    let two = split_locked(&mut client, "recovery", 2, 3, &["one", "two"]);
    assert_eq!(kind(two), FaultKind::InvalidInput);
    factors::lock(&mut client).unwrap();
    assert_eq!(factors::list(&mut client).unwrap(), before);
    let shares = authorised_split(&mut client, "recovery", (32, 32), &[A]).unwrap();
    for share in &shares {
        submit(&mut client, Cause::Unlock, RECOVERY, share).unwrap();
    }
    assert_eq!(state(&mut client), ProfileState::Active);
}

#[test]
fn shares_outlive_a_rotation_and_end_with_the_revocation_of_their_factor() {
    let host = host();
    let mut client = host.client();
    let shares = authorised_split(&mut client, "recovery", (2, 3), &[A]).unwrap();
    authorised(&mut client, &Change::RotateKey, &[A]).unwrap();
    authorised(&mut client, &Change::Policy(policy("password,share", 0)), &[B]).unwrap();
    let needs = factors::list(&mut client).unwrap().needs;
    let expected = [Need { count: 1, of: vec![1, 2] }, Need { count: 1, of: vec![RECOVERY] }];
    assert_eq!(needs, expected);
    submit(&mut client, Cause::Unlock, RECOVERY, &shares[0]).unwrap();
    submit(&mut client, Cause::Unlock, RECOVERY, &shares[2]).unwrap();
    assert_eq!(state(&mut client), ProfileState::Locked, "the password is missing");
    submit(&mut client, Cause::Unlock, B.0, B.1).unwrap();
    assert_eq!(state(&mut client), ProfileState::Active);
    // A change is authorised with shares as well.
    let to = Change::Policy(mode(AuthMode::Any));
    let text = to.to_string();
    for share in &shares[1..] {
        submit(&mut client, Cause::Change(&text), RECOVERY, share).unwrap();
    }
    submit(&mut client, Cause::Change(&text), A.0, A.1).unwrap();
    factors::change(&mut client, &to).unwrap();
    authorised(&mut client, &Change::Revoke { factor: RECOVERY }, &[A]).unwrap();
    let refused = submit(&mut client, Cause::Unlock, RECOVERY, &shares[0]);
    assert_eq!(kind(refused), FaultKind::NotFound);
    assert_eq!(kind(verify_share(&mut client, &shares[0], None)), FaultKind::InvalidInput);
}

/// `factor test` is for what proves itself; a share is proved by `share verify`.
#[test]
fn a_share_is_no_answer_to_a_test() {
    let host = host();
    let mut client = host.client();
    let shares = authorised_split(&mut client, "recovery", (2, 3), &[A]).unwrap();
    let request =
        SecretsRequest::FactorTest { profile: None, factors: vec![RECOVERY], evidence: &shares[0] };
    assert_eq!(kind(ask(&mut client, &request, |_| Some(()))), FaultKind::InvalidInput);
    assert_eq!(factors::test(&mut client, A.0, A.1).unwrap(), A.0);
    assert_eq!(kind(factors::test(&mut client, A.0, B.1)), FaultKind::WrongFactor);
    assert_eq!(state(&mut client), ProfileState::Locked);
    assert_eq!(factors::list(&mut client).unwrap().pending, None, "a test collects nothing");
}
