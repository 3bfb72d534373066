//! Backups, and profiles made out of them: here, under another name, and elsewhere.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;

use audit_log::{Operation, Outcome};
use ipc::factors::{Cause, Change, Enrolled, Source};
use ipc::secrets::{ProfileState, Purpose, SecretsReply, SecretsRequest};
use ipc::{Client, FaultKind};
use site_config::AuthMode;
use testbed::Host;
use testbed::ask::{self, Refused, ask};
use testbed::factors::{
    self, PATIENT, auth, authorised, authorised_split, enroll_password, give, mode, policy, stage,
    submit_to, unlock_with,
};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
const VALUES: usize = 50;

fn host_of(policy: &site_config::UnlockPolicy) -> Host {
    Host::builder().config(&format!("{PATIENT}{}", auth(policy))).with_passwords(&TWO)
}

/// With values, unlocked.
fn filled(host: &Host, given: &[(u32, &str)]) -> Client {
    let mut client = host.client();
    unlock_with(&mut client, given).unwrap();
    for number in 0..VALUES {
        ask::set(&mut client, &number.to_string(), &value(number)).unwrap();
    }
    client
}

fn value(number: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number * 97 % 4000)
}

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, Refused>) -> FaultKind {
    result.unwrap_err().kind().unwrap()
}

fn get(client: &mut Client, profile: &str, name: &str) -> Result<Vec<u8>, Refused> {
    let profile = Some(profile);
    let request = SecretsRequest::SecretGet { profile, name, purpose: Purpose::Read };
    ask(client, &request, |reply| match reply {
        SecretsReply::Value(value) => Some(value.to_vec()),
        _ => None,
    })
}

fn all_values_are_in(client: &mut Client, profile: &str) {
    for number in 0..VALUES {
        assert_eq!(get(client, profile, &number.to_string()).unwrap(), value(number), "{number}");
    }
}

fn enrolled(client: &mut Client, profile: &str) -> Enrolled {
    factors::list_of(client, Source::Profile(Some(profile))).unwrap()
}

fn names(client: &mut Client) -> Vec<String> {
    let profiles = ask::status(client).unwrap().profiles;
    profiles.into_iter().map(|profile| profile.name).collect()
}

fn unlock_file(host: &Host, profile: &str) -> Vec<u8> {
    let profiles = host.layout.secrets_state().join("installation/profiles");
    fs::read(profiles.join(profile).join("unlock.json")).unwrap()
}

#[test]
fn a_backup_becomes_a_profile_of_another_name_with_everything_in_it() {
    let mut host = host_of(&policy("", 2));
    let mut client = filled(&host, &[A, B]);
    let backup = factors::backup(&mut client, None).unwrap();
    // What comes later is not in it.
    ask::set(&mut client, "late", b"x").unwrap();
    factors::restore(&mut client, "copy", &backup, &[B, A]).unwrap();
    assert_eq!(names(&mut client), ["copy", "default"]);
    assert_eq!(kind(get(&mut client, "copy", "0")), FaultKind::Locked);
    give(&mut client, Source::Profile(Some("copy")), Cause::Unlock, &[A, B]).unwrap();
    all_values_are_in(&mut client, "copy");
    assert_eq!(kind(get(&mut client, "copy", "late")), FaultKind::NotFound);
    let (origin, copy) = (enrolled(&mut client, "default"), enrolled(&mut client, "copy"));
    assert_eq!(copy.policy, origin.policy);
    assert_eq!(copy.factors, origin.factors);
    assert_eq!(copy.generation, origin.generation + 1);
    // Under a master key of its own: what changes one leaves the other alone.
    authorised(&mut client, &Change::RotateKey, &[A, B]).unwrap();
    factors::lock(&mut client).unwrap();
    host.stop();
    host.start();
    let mut client = host.client();
    give(&mut client, Source::Profile(Some("copy")), Cause::Unlock, &[A, B]).unwrap();
    all_values_are_in(&mut client, "copy");
    unlock_with(&mut client, &[A, B]).unwrap();
    all_values_are_in(&mut client, "default");
    assert_eq!(host.entries_of(Operation::VaultBackup, Outcome::Done).len(), 1);
    assert_eq!(host.entries_of(Operation::VaultRestore, Outcome::Done).len(), 1);
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn a_backup_is_restored_on_another_installation_with_its_own_factors_and_shares() {
    let hosts = [host_of(&mode(AuthMode::Any)), host_of(&mode(AuthMode::All))];
    let mut client = filled(&hosts[0], &[A]);
    let shares = authorised_split(&mut client, "recovery", (2, 3), &[A]).unwrap();
    let backup = factors::backup(&mut client, None).unwrap();
    let mut client = hosts[1].client();
    for profile in ["moved", "again"] {
        stage(&mut client, profile, &backup).unwrap();
        let source = Source::Restore(profile);
        let listed = factors::list_of(&mut client, source).unwrap();
        assert_eq!(listed.policy, mode(AuthMode::Any), "the origin's");
        let text = factors::restoration(&mut client, profile).unwrap();
        for share in &shares[..2] {
            submit_to(&mut client, source, Cause::Change(&text), 3, share).unwrap();
        }
        ask::done(&mut client, &SecretsRequest::VaultRestore { profile }).unwrap();
        let source = Source::Profile(Some(profile));
        submit_to(&mut client, source, Cause::Unlock, 3, &shares[2]).unwrap();
        submit_to(&mut client, source, Cause::Unlock, 3, &shares[0]).unwrap();
        all_values_are_in(&mut client, profile);
        let request = SecretsRequest::ShareVerify {
            profile: Some(profile),
            share: &shares[1],
            passphrase: None,
        };
        ask(&mut client, &request, |_| Some(())).unwrap();
    }
    let restored = hosts[1].entries_of(Operation::VaultRestore, Outcome::Done);
    let origin = ask::status(&mut hosts[0].client()).unwrap().installation.unwrap().id;
    assert!(restored.iter().all(|entry| entry.detail["origin"] == origin.to_string()));
}

#[test]
fn without_its_factors_a_backup_becomes_nothing() {
    let hosts = [host_of(&policy("", 2)), host_of(&mode(AuthMode::Any))];
    let mut client = filled(&hosts[0], &[A, B]);
    let backup = factors::backup(&mut client, None).unwrap();
    let mut client = hosts[1].client();
    let (profile, source) = ("moved", Source::Restore("moved"));
    let restore = SecretsRequest::VaultRestore { profile };
    assert_eq!(kind(ask::done(&mut client, &restore)), FaultKind::NotFound);
    stage(&mut client, profile, &backup).unwrap();
    assert_eq!(kind(ask::done(&mut client, &restore)), FaultKind::Incomplete);
    let text = factors::restoration(&mut client, profile).unwrap();
    let cause = Cause::Change(&text);
    for wrong in [B.1, "the password of the other host"] {
        assert_eq!(kind(submit_to(&mut client, source, cause, 1, wrong)), FaultKind::WrongFactor);
    }
    let listed = factors::list_of(&mut client, source).unwrap();
    assert_eq!(listed.factors[0].failures, 2, "they are counted");
    submit_to(&mut client, source, cause, 1, A.1).unwrap();
    assert_eq!(kind(ask::done(&mut client, &restore)), FaultKind::Incomplete, "one too few");
    let unlock = submit_to(&mut client, source, Cause::Unlock, 2, B.1);
    assert_eq!(kind(unlock), FaultKind::InvalidInput, "it is no profile yet");
    // Factors of the profile here say nothing about the backup.
    unlock_with(&mut client, &[A]).unwrap();
    assert_eq!(kind(ask::done(&mut client, &restore)), FaultKind::Incomplete);
    submit_to(&mut client, source, cause, 2, B.1).unwrap();
    // Another backup in its place: what was given no longer counts.
    stage(&mut client, profile, &factors::backup(&mut filled(&hosts[0], &[A, B]), None).unwrap())
        .unwrap();
    authorised(&mut hosts[0].client(), &Change::RotateKey, &[A, B]).unwrap();
    let other = factors::backup(&mut hosts[0].client(), None).unwrap();
    stage(&mut client, profile, &other).unwrap();
    assert_eq!(kind(ask::done(&mut client, &restore)), FaultKind::Incomplete);
    let other = factors::restoration(&mut client, profile).unwrap();
    assert_ne!(other, text, "what is approved is one backup");
    give(&mut client, source, Cause::Change(&other), &[A, B]).unwrap();
    ask::done(&mut client, &restore).unwrap();
    assert_eq!(names(&mut client), ["default", "moved"]);
    assert_eq!(kind(ask::done(&mut client, &restore)), FaultKind::Exists);
}

#[test]
fn nothing_is_restored_over_a_profile() {
    let host = host_of(&mode(AuthMode::Any));
    let mut client = filled(&host, &[A]);
    let backup = factors::backup(&mut client, None).unwrap();
    let before = unlock_file(&host, "default");
    for profile in ["default", "Default!", ".x", "../x", ""] {
        let refused = kind(stage(&mut client, profile, &backup));
        assert!(matches!(refused, FaultKind::Exists | FaultKind::InvalidInput), "{profile}");
    }
    assert_eq!(unlock_file(&host, "default"), before);
    stage(&mut client, "copy", &backup).unwrap();
    // The name is taken in between.
    let factors = vec![factors::password("x", "some other password")];
    ask::done(&mut client, &SecretsRequest::ProfileCreate { profile: "copy", factors }).unwrap();
    let text = factors::restoration(&mut client, "copy").unwrap();
    give(&mut client, Source::Restore("copy"), Cause::Change(&text), &[A]).unwrap();
    let restore = SecretsRequest::VaultRestore { profile: "copy" };
    assert_eq!(kind(ask::done(&mut client, &restore)), FaultKind::Exists);
    give(&mut client, Source::Profile(Some("copy")), Cause::Unlock, &[(1, "some other password")])
        .unwrap();
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_is_left() {
    let mut host = host_of(&mode(AuthMode::Any));
    let mut client = filled(&host, &[A]);
    let whole = factors::backup(&mut client, None).unwrap();
    let profiles = host.layout.secrets_state().join("installation/profiles");
    let flips = [0, 16, 20, 30, 500, whole.len() / 2, whole.len() - 33, whole.len() - 1];
    let mut damaged: Vec<Vec<u8>> = flips
        .into_iter()
        .map(|at| {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            flipped
        })
        .collect();
    for length in [1, 15, 24, 60, 5000, whole.len() / 2, whole.len() - 1] {
        damaged.push(whole[..length].to_vec());
    }
    damaged.push([&whole[..], b"x"].concat());
    damaged.push(vec![b'x'; 100_000]);
    for (number, bytes) in damaged.iter().enumerate() {
        let result = factors::restore(&mut client, "copy", bytes, &[A]);
        assert_eq!(kind(result), FaultKind::Tampered, "{number}");
        assert_eq!(names(&mut client), ["default"], "{number}");
        let request = SecretsRequest::VaultRestore { profile: "copy" };
        let again = kind(ask::done(&mut client, &request));
        assert!(matches!(again, FaultKind::Tampered | FaultKind::NotFound), "{number} {again:?}");
    }
    factors::restore(&mut client, "copy", &whole, &[A]).unwrap();
    assert_eq!(names(&mut client), ["copy", "default"]);
    // What was begun and is not wanted any more goes away, damaged or not.
    let names = || fs::read_dir(&profiles).unwrap().count();
    let there = names();
    stage(&mut client, "other", &damaged[0]).unwrap();
    assert_eq!(names(), there + 1);
    let cancel = SecretsRequest::FactorCancel { source: Source::Restore("other") };
    ask::done(&mut client, &cancel).unwrap();
    assert_eq!(names(), there);
    assert_eq!(kind(ask::done(&mut client, &cancel)), FaultKind::NotFound);
    // What was begun and never finished goes away with the daemon.
    stage(&mut client, "half", &whole[..whole.len() / 2]).unwrap();
    host.stop();
    host.start();
    let left: Vec<_> =
        fs::read_dir(&profiles).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn pieces_that_do_not_follow_each_other_are_refused() {
    let host = host_of(&mode(AuthMode::Any));
    let mut client = filled(&host, &[A]);
    let whole = factors::backup(&mut client, None).unwrap();
    let write = |client: &mut Client, offset: usize, bytes: &[u8]| {
        let offset = offset as u64;
        ask::done(client, &SecretsRequest::VaultRestoreWrite { profile: "copy", offset, bytes })
    };
    let (first, rest) = whole.split_at(50_000);
    let early = write(&mut client, 50_000, &rest[..10_000]).unwrap_err();
    assert!(early.kind().is_some_and(|kind| kind != FaultKind::Internal), "{early:?}");
    write(&mut client, 0, first).unwrap();
    for offset in [1, 49_999, 50_001, 1 << 30] {
        let refused = kind(write(&mut client, offset, b"x"));
        assert_eq!(refused, FaultKind::InvalidInput, "{offset}");
    }
    factors::restore(&mut client, "copy", &whole, &[A]).unwrap();
    assert_eq!(names(&mut client), ["copy", "default"]);
    let piece = |client: &mut Client, offset| {
        let request = SecretsRequest::VaultBackup { profile: None, offset };
        ask(client, &request, |reply| match reply {
            SecretsReply::Piece { total, bytes } => Some((total, bytes.len())),
            _ => None,
        })
    };
    // Nobody made one.
    assert!(piece(&mut client, 1).is_err());
    assert_eq!(host.entries_of(Operation::VaultBackup, Outcome::Done).len(), 1);
}

#[test]
fn a_locked_profile_is_not_backed_up() {
    let host = host_of(&mode(AuthMode::Any));
    let mut client = filled(&host, &[A]);
    factors::lock(&mut client).unwrap();
    assert_eq!(kind(factors::backup(&mut client, None)), FaultKind::Locked);
    assert_eq!(ask::status(&mut client).unwrap().profiles[0].state, ProfileState::Locked);
    assert_eq!(host.entries_of(Operation::VaultBackup, Outcome::Refused).len(), 1);
}

/// A backup is a copy of a state: who was revoked later is in it still, and in nothing newer.
#[test]
fn a_backup_has_the_factors_of_its_time() {
    let host = host_of(&mode(AuthMode::Any));
    let mut client = filled(&host, &[A]);
    let backup = factors::backup(&mut client, None).unwrap();
    authorised(&mut client, &Change::Revoke { factor: 2 }, &[A]).unwrap();
    let id = enroll_password(&mut client, "carol", "the third password", &[A]).unwrap();
    factors::restore(&mut client, "old", &backup, &[B]).unwrap();
    let labels = |client: &mut Client, profile| -> Vec<String> {
        enrolled(client, profile).factors.into_iter().map(|factor| factor.label).collect()
    };
    assert_eq!(labels(&mut client, "old"), ["alice", "bob"]);
    assert_eq!(labels(&mut client, "default"), ["alice", "carol"]);
    assert_eq!(id, 3);
}

/// What the site demands of every profile it demands of a restored one.
#[test]
fn a_backup_whose_policy_the_site_forbids_is_not_restored() {
    let origin = host_of(&mode(AuthMode::Any));
    let mut client = filled(&origin, &[A]);
    let backup = factors::backup(&mut client, None).unwrap();
    let mut host = Host::builder().provision();
    let locked = "[[policy]]\nkey = \"auth.mode\"\nvalue = \"all\"\nsource = \"the site\"\n";
    fs::write(host.layout.policy_file(), locked).unwrap();
    host.start();
    let mut client = host.client();
    let passwords = TWO.map(|(label, text)| factors::password(label, text));
    factors::init(&mut client, passwords.into()).unwrap();
    let refused = factors::restore(&mut client, "weak", &backup, &[A]).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{refused:?}");
    assert_eq!(names(&mut client), ["default"]);
    // And a profile that is there does not change to it.
    let to = Change::Policy(mode(AuthMode::Any));
    factors::authorise(&mut client, &to, &[A, B]).unwrap();
    let refused = factors::change(&mut client, &to).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::InvalidInput));
    let Refused::Fault(fault) = refused else { panic!("a fault") };
    assert!(fault.message.contains("the site"), "{fault}");
}
