//! Factors, pieces, shares and master keys: nothing of them in ordinary memory, whatever was done with
//! them (fault 7 of the predecessor).

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;

use ipc::factors::{Cause, Change};
use ipc::secrets::{Purpose, SecretsReply, SecretsRequest};
use ipc::{Client, codec};
use key_hierarchy::{FactorSecret, Metadata, Pieces, WorkingMemory};
use site_config::AuthMode;
use testbed::ask::ask;
use testbed::factors::{
    self, PATIENT, auth, authorise, authorised, change, give, mode, password, policy, split_locked,
    stage, submit,
};
use testbed::hunt::{Hunt, random_text};
use testbed::{Host, is_root_or_skip};

const NOTHING: Vec<String> = Vec::new();

/// What the daemon computes of the default profile with these passwords, computed once more from what
/// lies on the disk: the stretched passwords, the pieces, the keys.
fn with_keys(mut hunt: Hunt, host: &Host, name: &str, given: &[(u32, &str)]) -> Hunt {
    let file = host.layout.secrets_state().join("installation/profiles/default/unlock.json");
    let metadata = Metadata::parse_any(&fs::read(file).unwrap()).unwrap();
    let enrolment = metadata.enrolment();
    let (derivation, profile) = (enrolment.derivation(), "default");
    let mut pieces = Pieces::new();
    for (id, text) in given {
        let factor = enrolment.factor(*id).unwrap();
        let mut memory = WorkingMemory::default();
        if let key_hierarchy::Parameters::Password(password) = &factor.parameters {
            let stretched = password.kdf.stretch(text.as_bytes(), &mut memory).unwrap();
            hunt =
                hunt.with(&format!("{name}: the stretched password of {id}"), stretched.expose());
        }
        let secret =
            FactorSecret::new(&factor.parameters, derivation, text.as_bytes(), &mut memory)
                .unwrap();
        let piece = metadata.piece(*id, &secret).unwrap().unwrap();
        hunt = hunt.with(&format!("{name}: the piece of {id}"), piece.expose());
        pieces.insert(*id, piece);
    }
    match metadata.open(&pieces) {
        Ok(master) => hunt
            .with(
                &format!("{name}: the vault's key"),
                master.vault_key(derivation, profile).expose(),
            )
            .with(&format!("{name}: the rows' key"), master.row_key(derivation, profile).expose()),
        Err(_) => hunt,
    }
}

fn get(client: &mut Client, name: &str) -> Vec<u8> {
    let request = SecretsRequest::SecretGet { profile: None, name, purpose: Purpose::Read };
    let reply = client.call(&request).unwrap();
    match codec::decode(reply.expose()) {
        Ok(SecretsReply::Value(value)) => value.to_vec(),
        _ => panic!("no value"),
    }
}

#[test]
fn what_was_given_of_several_factors_is_nowhere_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    for unlock in [policy("", 2), mode(AuthMode::All), policy("password", 0)] {
        let texts = [random_text(48), random_text(48), random_text(48)];
        let labels = ["alice", "bob", "carol"];
        let passwords: Vec<(&str, &str)> =
            labels.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let host = Host::builder()
            .config(&format!("{PATIENT}{}", auth(&unlock)))
            .with_passwords(&passwords);
        let mut hunt = Hunt::default();
        for (label, text) in &passwords {
            hunt = hunt.with(&format!("the password of {label}"), text.as_bytes());
        }
        let given: Vec<(u32, &str)> = (1..).zip(texts.iter().map(String::as_str)).collect();
        let hunt = with_keys(hunt, &host, "before", &given);
        let mut client = host.client();
        assert_eq!(hunt.finds(&host), NOTHING, "after init, {unlock}");
        submit(&mut client, Cause::Unlock, 1, &texts[0]).unwrap();
        assert_eq!(hunt.finds(&host), NOTHING, "after one factor, {unlock}");
        submit(&mut client, Cause::Unlock, 2, random_text(48)).unwrap_err();
        assert_eq!(hunt.finds(&host), NOTHING, "after a wrong one, {unlock}");
        submit(&mut client, Cause::Unlock, 2, &texts[1]).unwrap();
        submit(&mut client, Cause::Unlock, 3, &texts[2]).unwrap();
        assert_eq!(hunt.finds(&host), NOTHING, "after all of them, {unlock}");
        factors::test(&mut client, 3, &texts[2]).unwrap();
        assert_eq!(hunt.finds(&host), NOTHING, "after a test, {unlock}");
        factors::lock(&mut client).unwrap();
        assert_eq!(hunt.finds(&host), NOTHING, "after a lock, {unlock}");
        assert_eq!(factors::list(&mut client).unwrap().pending, None);
    }
}

#[test]
fn rotations_shares_and_backups_leave_nothing_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let (first, second, third) = (random_text(48), random_text(48), random_text(48));
    let a = (1, first.as_str());
    let passwords = [("alice", first.as_str()), ("bob", second.as_str())];
    let host = Host::builder().config(PATIENT).with_passwords(&passwords);
    let mut client = host.client();
    give(&mut client, ipc::factors::Source::Profile(None), Cause::Unlock, &[a]).unwrap();
    let value = random_text(64);
    let write = SecretsRequest::SecretSet {
        profile: None,
        name: "a",
        value: value.as_bytes(),
        only_new: false,
    };
    ask(&mut client, &write, |_| Some(())).unwrap();
    let mut hunt = Hunt::default()
        .with("the value", value.as_bytes())
        .with("the first password", first.as_bytes())
        .with("the second password", second.as_bytes())
        .with("the third password", third.as_bytes());
    hunt = with_keys(hunt, &host, "at first", &[a]);
    authorise(&mut client, &Change::RotateKey, &[a]).unwrap();
    assert_eq!(hunt.finds(&host), NOTHING, "after an authorisation");
    change(&mut client, &Change::RotateKey).unwrap();
    hunt = with_keys(hunt, &host, "rotated", &[a]);
    assert_eq!(hunt.finds(&host), NOTHING, "after a rotation");

    let id = factors::enroll_password(&mut client, "carol", &third, &[a]).unwrap();
    hunt = with_keys(hunt, &host, "enrolled", &[a]);
    hunt = with_keys(hunt, &host, "enrolled", &[(id, &third)]);
    assert_eq!(hunt.finds(&host), NOTHING, "after an enrolment");
    authorised(&mut client, &Change::Revoke { factor: id }, &[a]).unwrap();
    hunt = with_keys(hunt, &host, "revoked", &[a]);
    assert_eq!(hunt.finds(&host), NOTHING, "after a revocation");

    let which = Change::Split { label: "recovery", threshold: 2, shares: 3 };
    authorise(&mut client, &which, &[a]).unwrap();
    let passphrases = [random_text(32), String::new(), String::new()];
    let locks = passphrases.each_ref().map(String::as_str);
    let shares = split_locked(&mut client, "recovery", 2, 3, &locks).unwrap();
    for (number, share) in (1..).zip(&shares) {
        // Behind the header, which is not secret.
        hunt = hunt.with(&format!("share {number}"), &share[15..47]);
    }
    hunt = hunt.with("a custodian's passphrase", passphrases[0].as_bytes());
    assert_eq!(hunt.finds(&host), NOTHING, "after a split");
    let passphrase = Some(passphrases[0].as_bytes());
    factors::verify_share(&mut client, &shares[0], passphrase).unwrap();
    factors::verify_share(&mut client, &shares[1], None).unwrap();
    assert_eq!(hunt.finds(&host), NOTHING, "after shares were proved");
    factors::lock(&mut client).unwrap();
    let recovery = id + 1;
    submit(&mut client, Cause::Unlock, recovery, &shares[1]).unwrap();
    assert_eq!(hunt.finds(&host), NOTHING, "after one share");
    submit(&mut client, Cause::Unlock, recovery, &shares[2]).unwrap();
    assert_eq!(get(&mut client, "a"), value.as_bytes());
    assert_eq!(hunt.finds(&host), NOTHING, "after an unlock with shares");

    let backup = factors::backup(&mut client, None).unwrap();
    stage(&mut client, "copy", &backup).unwrap();
    let text = factors::restoration(&mut client, "copy").unwrap();
    give(&mut client, ipc::factors::Source::Restore("copy"), Cause::Change(&text), &[a]).unwrap();
    assert_eq!(hunt.finds(&host), NOTHING, "before a backup is restored");
    ask(&mut client, &SecretsRequest::VaultRestore { profile: "copy" }, |_| Some(())).unwrap();
    assert_eq!(hunt.finds(&host), NOTHING, "after a backup was restored");
    let factors = vec![password("alice", &first)];
    let create = SecretsRequest::ProfileCreate { profile: "more", factors };
    ask(&mut client, &create, |_| Some(())).unwrap();
    factors::lock(&mut client).unwrap();
    assert_eq!(hunt.finds(&host), NOTHING, "at the end");
}
