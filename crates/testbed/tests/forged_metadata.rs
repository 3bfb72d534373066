//! A whole `unlock.json` that somebody made up. Nothing in it is secret but what is sealed to the public
//! keys of the honest factors, and those open what is sealed to them, whoever sealed it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;

use ipc::FaultKind;
use ipc::factors::Change;
use ipc::secrets::SecretsRequest;
use key_hierarchy::parameters::PasswordParameters;
use key_hierarchy::{
    FactorSecret, KdfParameters, Label, MasterKey, Metadata, Parameters, WorkingMemory,
};
use site_config::AuthMode;
use testbed::Host;
use testbed::ask;
use testbed::factors::{self, PATIENT, auth, authorise, mode, unlock_with};

const HONEST: (u32, &str) = (1, "the honest password");
const FORGER: &str = "the forger's password";

/// The file with one factor more, sealed for a master key of the forger's.
fn forged(file: &[u8]) -> Vec<u8> {
    let mut enrolment = Metadata::parse_any(file).unwrap().enrolment().clone();
    let kdf =
        KdfParameters::Argon2id { memory_kib: 64, iterations: 1, parallelism: 1, salt: [7; 16] };
    let parameters = Parameters::Password(PasswordParameters { kdf });
    let secret = FactorSecret::new(
        &parameters,
        enrolment.derivation(),
        FORGER.as_bytes(),
        &mut WorkingMemory::new(),
    );
    let label = Label::try_from("mallory").unwrap();
    enrolment.add(label, false, parameters, &secret.unwrap()).unwrap();
    Metadata::seal(enrolment, &MasterKey::generate().unwrap()).unwrap().render()
}

#[test]
fn a_forged_file_is_told_from_the_one_that_an_open_profile_was_unlocked_with() {
    let config = format!("{PATIENT}{}", auth(&mode(AuthMode::Any)));
    let host = Host::builder().config(&config).with_passwords(&[("alice", HONEST.1)]);
    let mut client = host.client();
    unlock_with(&mut client, &[HONEST]).unwrap();
    ask::set(&mut client, "a", b"value").unwrap();
    let path = host.layout.secrets_state().join("installation/profiles/default/unlock.json");
    let true_file = fs::read(&path).unwrap();
    fs::write(&path, forged(&true_file)).unwrap();

    let refused = unlock_with(&mut client, &[HONEST]).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::Tampered), "unlock");
    let changes = [
        (Change::RotateKey, SecretsRequest::KeyRotate { profile: None }),
        (
            Change::Rename { factor: 1, label: "other" },
            SecretsRequest::FactorRename { profile: None, factor: 1, label: "other" },
        ),
    ];
    for (change, request) in changes {
        authorise(&mut client, &change, &[HONEST]).unwrap();
        let refused = ask::done(&mut client, &request).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::Tampered), "{change}");
        ask::done(
            &mut client,
            &SecretsRequest::FactorCancel { source: ipc::factors::Source::Profile(None) },
        )
        .unwrap();
    }
    assert_eq!(ask::get(&mut client, "a").unwrap(), b"value");

    // Locked, the true vault does not open with the forger's key.
    factors::lock(&mut client).unwrap();
    for given in [HONEST, (2, FORGER)] {
        let refused = unlock_with(&mut client, &[given]).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::Tampered), "{given:?}");
    }
    fs::write(&path, true_file).unwrap();
    unlock_with(&mut client, &[HONEST]).unwrap();
    assert_eq!(ask::get(&mut client, "a").unwrap(), b"value");
}
