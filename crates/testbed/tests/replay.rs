//! Older and foreign files put in the place of a profile's own: told apart from a wrong password, and
//! from each other.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::PathBuf;

use ipc::factors::{Cause, Change, Source};
use ipc::secrets::{ProfileState, SecretsRequest};
use ipc::{Client, FaultKind};
use key_hierarchy::{FactorSecret, Metadata, Pieces, WorkingMemory};
use serde_json::{Value, json};
use site_config::{AuthMode, Daemon};
use testbed::Host;
use testbed::ask::{self, Refused};
use testbed::factors::{
    self, PATIENT, auth, authorise, authorised, change, enroll_password, mode, password, policy,
    submit, submit_to, unlock_with,
};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const C: (u32, &str) = (3, "the third password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
const FILES: [&str; 2] = ["unlock.json", "vault.db"];

fn host_of(policy: &site_config::UnlockPolicy) -> Host {
    Host::builder().config(&format!("{PATIENT}{}", auth(policy))).with_passwords(&TWO)
}

fn any() -> Host {
    host_of(&mode(AuthMode::Any))
}

fn profile(host: &Host) -> PathBuf {
    host.layout.secrets_state().join("installation/profiles/default")
}

fn file(host: &Host, name: &str) -> PathBuf {
    profile(host).join(name)
}

fn both(host: &Host) -> [Vec<u8>; 2] {
    FILES.map(|name| fs::read(file(host, name)).unwrap())
}

/// Keeps owner and mode.
fn put(host: &Host, name: &str, bytes: &[u8]) {
    fs::write(file(host, name), bytes).unwrap();
}

fn put_both(host: &Host, files: &[Vec<u8>; 2]) {
    for (name, bytes) in FILES.iter().zip(files) {
        put(host, name, bytes);
    }
}

#[track_caller]
fn tampered<T: std::fmt::Debug>(result: Result<T, Refused>) -> String {
    match result {
        Err(Refused::Fault(fault)) if fault.kind == FaultKind::Tampered => fault.message,
        other => panic!("{other:?}"),
    }
}

fn is_locked(client: &mut Client) -> bool {
    ask::status(client).unwrap().profiles[0].state == ProfileState::Locked
}

/// A change of everybody's state, so that the generation grows.
fn changes() -> [Change<'static>; 3] {
    [
        Change::Rename { factor: 2, label: "robert" },
        Change::Policy(policy("password", 0)),
        Change::RotateKey,
    ]
}

#[test]
fn a_revoked_factor_does_not_open_with_the_old_metadata_put_back() {
    let host = any();
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    ask::set(&mut client, "a", b"1").unwrap();
    let old = both(&host);
    authorised(&mut client, &Change::Revoke { factor: 2 }, &[A]).unwrap();
    ask::set(&mut client, "a", b"2").unwrap();
    factors::lock(&mut client).unwrap();
    let new = both(&host);
    put(&host, "unlock.json", &old[0]);
    for factor in [B, A] {
        let said = tampered(submit(&mut client, Cause::Unlock, factor.0, factor.1));
        assert!(said.contains("does not belong to unlock.json"), "{said}");
        assert!(is_locked(&mut client));
    }
    // Nor while the vault is open.
    put_both(&host, &new);
    unlock_with(&mut client, &[A]).unwrap();
    put(&host, "unlock.json", &old[0]);
    let which = Change::Rename { factor: 1, label: "mallory" };
    authorise(&mut client, &which, &[B]).unwrap();
    tampered(change(&mut client, &which));
    put_both(&host, &new);
    assert_eq!(ask::get(&mut client, "a").unwrap(), b"2");
}

#[test]
fn old_metadata_is_told_by_its_generation_after_each_change() {
    for which in changes() {
        let host = any();
        let mut client = host.client();
        let old = both(&host);
        authorised(&mut client, &which, &[A]).unwrap();
        let new = both(&host);
        for (name, bytes) in FILES.into_iter().zip(&old) {
            put(&host, name, bytes);
            if name == "vault.db" && matches!(which, Change::Rename { .. }) {
                // One step behind is what a power cut in the middle of a change leaves.
                unlock_with(&mut client, &[A]).unwrap();
                factors::lock(&mut client).unwrap();
            } else {
                tampered(submit(&mut client, Cause::Unlock, A.0, A.1));
            }
            assert!(is_locked(&mut client), "{which}: {name}");
            put_both(&host, &new);
        }
        unlock_with(&mut client, &[A]).unwrap();
    }
}

#[test]
fn a_vault_two_changes_old_is_detected() {
    let host = any();
    let mut client = host.client();
    let old = both(&host);
    authorised(&mut client, &Change::Rename { factor: 2, label: "robert" }, &[A]).unwrap();
    authorised(&mut client, &Change::Rename { factor: 2, label: "bob" }, &[A]).unwrap();
    let new = both(&host);
    put(&host, "vault.db", &old[1]);
    let said = tampered(submit(&mut client, Cause::Unlock, A.0, A.1));
    assert!(said.contains("vault.db is of generation"), "{said}");
    put_both(&host, &new);
    unlock_with(&mut client, &[A]).unwrap();
}

#[test]
fn an_old_vault_is_detected_when_a_deactivated_profile_is_activated() {
    let host = any();
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    let deactivate = SecretsRequest::ProfileDeactivate { profile: "default" };
    let activate = SecretsRequest::ProfileActivate { profile: "default" };
    ask::done(&mut client, &deactivate).unwrap();
    let old = both(&host);
    for label in ["robert", "bob"] {
        authorised(&mut client, &Change::Rename { factor: 2, label }, &[A]).unwrap();
    }
    let new = both(&host);
    put(&host, "vault.db", &old[1]);
    tampered(ask::done(&mut client, &activate));
    put_both(&host, &new);
    put(&host, "unlock.json", &old[0]);
    tampered(ask::done(&mut client, &activate));
    put_both(&host, &new);
    ask::done(&mut client, &activate).unwrap();
}

/// In this mode an old file would be one factor less.
#[test]
fn a_factor_that_is_demanded_is_demanded_with_the_old_metadata_put_back_too() {
    let host = host_of(&mode(AuthMode::All));
    let mut client = host.client();
    let old = both(&host);
    enroll_password(&mut client, "carol", C.1, &[A, B]).unwrap();
    let new = both(&host);
    put(&host, "unlock.json", &old[0]);
    submit(&mut client, Cause::Unlock, A.0, A.1).unwrap();
    tampered(submit(&mut client, Cause::Unlock, B.0, B.1));
    assert!(is_locked(&mut client));
    put_both(&host, &new);
    unlock_with(&mut client, &[A, B, C]).unwrap();
}

/// Whether somebody who has the disk, this metadata and these passwords reads the vault there is now.
fn opens(host: &Host, metadata: &[u8], given: &[(u32, &str)]) -> bool {
    let metadata = Metadata::parse_any(metadata).unwrap();
    let derivation = metadata.enrolment().derivation();
    let mut pieces = Pieces::new();
    for (id, text) in given {
        let parameters = &metadata.enrolment().factor(*id).unwrap().parameters;
        let mut memory = WorkingMemory::default();
        let secret = FactorSecret::new(parameters, derivation, text.as_bytes(), &mut memory);
        pieces.extend(metadata.piece(*id, &secret.unwrap()).unwrap().map(|piece| (*id, piece)));
    }
    let key = metadata.open(&pieces).unwrap().vault_key(derivation, "default");
    let digits: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let copy = host.dir().join("copy.db");
    fs::copy(file(host, "vault.db"), &copy).unwrap();
    let database = rusqlite::Connection::open(copy).unwrap();
    let read = format!(
        "PRAGMA cipher_log_level = NONE; PRAGMA key = \"x'{digits}'\"; SELECT count(*) FROM secret;"
    );
    database.execute_batch(&read).is_ok()
}

/// Where fewer or other factors got in before, an old copy of the metadata opens nothing newer, not
/// even for somebody who needs no daemon.
#[test]
fn an_old_copy_opens_no_vault_that_demands_more() {
    let all: &[(u32, &str)] = &[A, B];
    for (unlock, given, which, opened) in [
        (AuthMode::Any, &all[..1], Change::Rename { factor: 2, label: "robert" }, true),
        (AuthMode::Any, &all[..1], factors::enrolment("carol"), true),
        (AuthMode::All, all, factors::enrolment("carol"), false),
        (AuthMode::Any, &all[..1], Change::Revoke { factor: 2 }, false),
        (AuthMode::Any, &all[..1], Change::Policy(mode(AuthMode::All)), false),
        (AuthMode::Any, &all[..1], Change::RotateKey, false),
    ] {
        let host = host_of(&mode(unlock));
        let mut client = host.client();
        let old = both(&host);
        assert!(opens(&host, &old[0], given), "{which}: before");
        authorise(&mut client, &which, given).unwrap();
        match which {
            Change::Enroll { label, .. } => {
                factors::enroll(&mut client, password(label, C.1)).unwrap();
            }
            other => change(&mut client, &other).unwrap(),
        }
        assert_eq!(opens(&host, &old[0], given), opened, "{which} in mode {unlock}");
    }
}

/// Each edit is one that would let fewer factors in, or other ones.
#[test]
fn an_edited_policy_is_told_from_a_wrong_factor() {
    let host = host_of(&policy("", 2));
    let mut client = host.client();
    let id = enroll_password(&mut client, "carol", C.1, &[A, B]).unwrap();
    assert_eq!(id, C.0);
    let whole: Value = serde_json::from_slice(&both(&host)[0]).unwrap();
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut edited = whole.clone();
        change(&mut edited["enrolment"]);
        assert_ne!(edited, whole, "the edit changed nothing");
        put(&host, "unlock.json", &serde_json::to_vec_pretty(&edited).unwrap());
    };
    let edits: [&dyn Fn(&mut Value); 7] = [
        &|it| it["policy"]["additional_required"] = json!(1),
        &|it| it["policy"] = json!({"mode": "any", "required": [], "additional_required": 0}),
        &|it| it["policy"] = json!({"mode": "all", "required": [], "additional_required": 0}),
        &|it| it["generation"] = json!(7),
        &|it| it["factors"][0]["label"] = json!("mallory"),
        &|it| it["factors"][0]["machine"] = json!(true),
        &|it| it["next_id"] = json!(17),
    ];
    for (number, change) in edits.into_iter().enumerate() {
        edit(change);
        let tried = submit(&mut client, Cause::Unlock, A.0, A.1);
        let said = tampered(tried);
        assert!(said.contains("edited") || said.contains("damaged"), "{number}: {said}");
        assert!(is_locked(&mut client));
        let outcome = host.sesame(["unlock", "--password-stdin"]).stdin(A.1).run();
        assert_eq!(outcome.code, 26, "{number}: {}", outcome.error());
    }
    // What cannot be told from a wrong password, and opens nothing.
    let swapped: &dyn Fn(&mut Value) = &|it| {
        let check = it["factors"][0]["check"].take();
        it["factors"][0]["check"] = it["factors"][1]["check"].take();
        it["factors"][1]["check"] = check;
    };
    edit(swapped);
    let refused = submit(&mut client, Cause::Unlock, A.0, A.1).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::WrongFactor));
    put(&host, "unlock.json", &serde_json::to_vec_pretty(&whole).unwrap());
    unlock_with(&mut client, &[B, C]).unwrap();
}

#[test]
fn files_of_another_profile_or_installation_are_refused() {
    let hosts = [any(), any()];
    let mut clients = hosts.each_ref().map(Host::client);
    let foreign = both(&hosts[1]);
    let own = both(&hosts[0]);
    for names in [&FILES[..1], &FILES[1..], &FILES[..]] {
        for (name, bytes) in FILES.iter().zip(&foreign).filter(|(name, _)| names.contains(name)) {
            put(&hosts[0], name, bytes);
        }
        tampered(submit(&mut clients[0], Cause::Unlock, A.0, A.1));
        put_both(&hosts[0], &own);
    }
    let [first, _] = &mut clients;
    let factors = vec![password("alice", A.1), password("bob", B.1)];
    ask::done(first, &SecretsRequest::ProfileCreate { profile: "other", factors }).unwrap();
    let other = hosts[0].layout.secrets_state().join("installation/profiles/other");
    let others = FILES.map(|name| fs::read(other.join(name)).unwrap());
    for names in [&FILES[..1], &FILES[1..], &FILES[..]] {
        for (name, bytes) in FILES.iter().zip(&others).filter(|(name, _)| names.contains(name)) {
            put(&hosts[0], name, bytes);
        }
        for (name, bytes) in FILES.iter().zip(&own).filter(|(name, _)| names.contains(name)) {
            fs::write(other.join(name), bytes).unwrap();
        }
        for source in [Source::Profile(None), Source::Profile(Some("other"))] {
            tampered(submit_to(first, source, Cause::Unlock, A.0, A.1));
        }
        put_both(&hosts[0], &own);
        for (name, bytes) in FILES.iter().zip(&others) {
            fs::write(other.join(name), bytes).unwrap();
        }
    }
    unlock_with(first, &[B]).unwrap();
    submit_to(first, Source::Profile(Some("other")), Cause::Unlock, B.0, B.1).unwrap();
}

/// An old policy that is put back must not authorise a new one.
#[test]
fn old_metadata_authorises_no_change() {
    for which in changes() {
        let host = any();
        let mut client = host.client();
        let old = both(&host);
        authorised(&mut client, &Change::Policy(mode(AuthMode::All)), &[A]).unwrap();
        let new = both(&host);
        put(&host, "unlock.json", &old[0]);
        authorise(&mut client, &which, &[B]).unwrap();
        tampered(change(&mut client, &which));
        assert_eq!(fs::read(file(&host, "unlock.json")).unwrap(), old[0], "{which}");
        put_both(&host, &new);
        factors::lock(&mut client).unwrap();
        unlock_with(&mut client, &[A, B]).unwrap();
    }
}

/// Whoever tries while a profile changes is told to try again, and not that somebody tampered.
#[test]
fn an_unlock_during_a_rotation_is_not_taken_for_tampering() {
    let host = any();
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    for number in 0..300 {
        ask::set(&mut client, &number.to_string(), &[7; 20_000]).unwrap();
    }
    factors::lock(&mut client).unwrap();
    for round in 0..15 {
        authorise(&mut client, &Change::RotateKey, &[A]).unwrap();
        let mut other = host.client();
        std::thread::scope(|scope| {
            let unlocking = scope.spawn(move || {
                loop {
                    match submit(&mut other, Cause::Unlock, B.0, B.1) {
                        Err(refused) if refused.kind() == Some(FaultKind::Busy) => {}
                        Err(Refused::Fault(fault)) => panic!("{round}: {:?}: {fault}", fault.kind),
                        Err(refused) => panic!("{round}: {refused:?}"),
                        Ok(_) => return,
                    }
                }
            });
            std::thread::sleep(std::time::Duration::from_millis(round));
            match change(&mut client, &Change::RotateKey) {
                Ok(()) => {}
                Err(refused) => assert_eq!(refused.kind(), Some(FaultKind::Incomplete)),
            }
            unlocking.join().unwrap();
        });
        assert!(!is_locked(&mut client));
        factors::lock(&mut client).unwrap();
    }
    assert!(!host.log(Daemon::Secrets).contains("panic"));
}
