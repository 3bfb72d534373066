//! Algorithms are what a profile was made with, whatever the configuration says today; what is new
//! uses today's.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;

use ipc::Client;
use ipc::factors::Change;
use ipc::secrets::SecretsRequest;
use serde_json::Value;
use testbed::Host;
use testbed::ask;
use testbed::factors::{
    self, PATIENT, authorised, authorised_split, enroll_password, password, split_locked, submit,
    unlock_with, verify_share,
};

const A: (u32, &str) = (1, "the first password");

fn config(kdf: &str, hkdf: &str) -> String {
    format!("{PATIENT}[crypto]\nkdf = \"{kdf}\"\nhkdf = \"{hkdf}\"\n")
}

fn reconfigure(host: &mut Host, text: &str) -> Client {
    host.stop();
    fs::write(host.layout.config_file(), text).unwrap();
    host.start();
    host.client()
}

/// The derivation of a profile, and each factor's KDF; none of what is not a password.
fn used(host: &Host, profile: &str) -> (String, Vec<String>) {
    let profiles = host.layout.secrets_state().join("installation/profiles");
    let text = fs::read(profiles.join(profile).join("unlock.json")).unwrap();
    let enrolment = serde_json::from_slice::<Value>(&text).unwrap()["enrolment"].take();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let factors = enrolment["factors"].as_array().unwrap();
    let kdfs = factors
        .iter()
        .map(|factor| word(&factor["parameters"]["password"]["kdf"]["algorithm"]))
        .collect();
    (word(&enrolment["derivation"]), kdfs)
}

#[test]
fn every_set_opens_and_changes_under_every_other() {
    let sets = [
        ("argon2id", "blake3"),
        ("argon2id", "hkdf-sha256"),
        ("pbkdf2-sha256", "blake3"),
        ("pbkdf2-sha256", "hkdf-sha256"),
    ];
    for (made, made_with) in sets.into_iter().enumerate() {
        let (kdf, hkdf) = made_with;
        let mut host = Host::builder().config(&config(kdf, hkdf)).with_passwords(&[("alice", A.1)]);
        let mut client = host.client();
        unlock_with(&mut client, &[A]).unwrap();
        ask::set(&mut client, "a", kdf.as_bytes()).unwrap();
        assert_eq!(used(&host, "default"), (hkdf.to_owned(), vec![kdf.to_owned()]));
        let mut kdfs = vec![kdf.to_owned()];
        for (later, changed_with) in sets.into_iter().enumerate().filter(|(at, _)| *at != made) {
            let mut client = reconfigure(&mut host, &config(changed_with.0, changed_with.1));
            unlock_with(&mut client, &[A]).unwrap();
            assert_eq!(ask::get(&mut client, "a").unwrap(), kdf.as_bytes());
            let (label, text) = (format!("of set {later}"), format!("the password of {later}"));
            let id = enroll_password(&mut client, &label, &text, &[A]).unwrap();
            kdfs.push(changed_with.0.to_owned());
            authorised(&mut client, &Change::RotateKey, &[(id, &text)]).unwrap();
            factors::lock(&mut client).unwrap();
            unlock_with(&mut client, &[(id, &text)]).unwrap();
            assert_eq!(ask::get(&mut client, "a").unwrap(), kdf.as_bytes());
            // For its whole life one derivation; the new factor has today's KDF.
            assert_eq!(used(&host, "default"), (hkdf.to_owned(), kdfs.clone()));
            let profile = format!("later-{later}");
            let factors = vec![password("alice", A.1)];
            let create = SecretsRequest::ProfileCreate { profile: &profile, factors };
            ask::done(&mut client, &create).unwrap();
            let expected = (changed_with.1.to_owned(), vec![changed_with.0.to_owned()]);
            assert_eq!(used(&host, &profile), expected);
        }
        host.sesame(["audit", "verify"]).succeed();
    }
}

#[test]
fn the_profiles_of_algorithms_are_switched_with_shares_and_a_backup() {
    let leading = format!("{PATIENT}[crypto]\nprofile = \"leading-edge\"\n");
    let governance = format!("{PATIENT}[crypto]\nprofile = \"governance-compatible\"\n");
    for (made_with, opened_with) in [(&leading, &governance), (&governance, &leading)] {
        let mut host = Host::builder().config(made_with).with_passwords(&[("alice", A.1)]);
        let mut client = host.client();
        unlock_with(&mut client, &[A]).unwrap();
        ask::set(&mut client, "a", b"value").unwrap();
        let shares = authorised_split(&mut client, "recovery", (2, 3), &[A]).unwrap();
        let locked = Change::Split { label: "locked", threshold: 2, shares: 2 };
        factors::authorise(&mut client, &locked, &[A]).unwrap();
        let passphrases = ["of one custodian", "of the other"];
        let locked = split_locked(&mut client, "locked", 2, 2, &passphrases).unwrap();
        let backup = factors::backup(&mut client, None).unwrap();
        let before = used(&host, "default");

        let mut client = reconfigure(&mut host, opened_with);
        for share in &shares[1..] {
            submit(&mut client, ipc::factors::Cause::Unlock, 2, share).unwrap();
        }
        assert_eq!(ask::get(&mut client, "a").unwrap(), b"value");
        for (share, passphrase) in locked.iter().zip(passphrases) {
            verify_share(&mut client, share, Some(passphrase.as_bytes())).unwrap();
        }
        factors::restore(&mut client, "copy", &backup, &[A]).unwrap();
        assert_eq!(used(&host, "copy"), before, "a copy is made as its origin was");
        host.sesame(["audit", "verify"]).succeed();
    }
}
