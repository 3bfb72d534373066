//! What others published: their keys, notes, checkpoints and signatures.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use data_encoding::HEXLOWER;
use secret_memory::Secret;

use crate::checkpoint::SignedCheckpoint;
use crate::cosignature::message;
use crate::keys::Role;
use crate::note::{Note, Signature};
use crate::sign::{SigningKeys, verifies};
use crate::verifier_key::{SignatureType, VerifierKey};

/// The signature of this key, with its time.
fn split(signature: &Signature) -> (u64, &[u8]) {
    let (time, signature) = signature.bytes().split_first_chunk().unwrap();
    (u64::from_be_bytes(*time), signature)
}

fn of<'a>(signatures: &'a [Signature], key: &VerifierKey) -> &'a Signature {
    let same = |s: &&Signature| (s.name(), s.id()) == (key.name(), key.id());
    signatures.iter().find(same).unwrap()
}

/// The example of C2SP signed-note.
#[test]
fn the_note_of_the_specification_verifies() {
    let key: VerifierKey =
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse().unwrap();
    let text = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnag\
                v1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_string(), text);
    let signature = of(note.signatures(), &key).bytes();
    assert!(key.signed(note.text().as_bytes(), signature));
    assert!(!key.signed(b"This is another message.\n", signature));
}

/// A checkpoint of a public test log, with the Ed25519 signatures of the log and of four witnesses
/// that Google, Mullvad and others run; their keys are on the pages of each of them. Its first
/// signature is of a type that we don't know (RFC 6962, in static-ct-api).
#[test]
fn a_checkpoint_of_a_public_log_verifies() {
    let bytes = include_bytes!("../tests/vectors/arche2025h1.checkpoint");
    let signed = SignedCheckpoint::parse(bytes).unwrap();
    assert_eq!(signed.to_string().as_bytes(), bytes);
    let key = |text: &str| text.parse::<VerifierKey>().unwrap();
    let log = key("arche2025h1.staging.ct.transparency.dev+ba2f06c0+\
                   AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f");
    let text = signed.checkpoint().text();
    assert!(log.signed(text.as_bytes(), of(signed.signatures(), &log).bytes()));
    for witness in [
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "transparency.dev/DEV:witness-little-garden+d8042a87+\
         BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
        "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
        "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    ] {
        let key = key(witness);
        let (time, signature) = split(of(signed.signatures(), &key));
        assert_eq!(time, 1_779_573_024, "{witness}");
        assert!(key.signed(&message(&key, signed.checkpoint(), time), signature), "{witness}");
        assert!(!key.signed(&message(&key, signed.checkpoint(), time + 1), signature));
        assert!(!log.signed(&message(&key, signed.checkpoint(), time), signature));
    }
}

/// A checkpoint that another implementation signed with ML-DSA-44, at time 0: from
/// FiloSottile/torchwood, cmd/litewitness/testdata/mldsa.txt (ISC licence).
#[test]
fn an_ml_dsa_44_checkpoint_of_torchwood_verifies() {
    let key = include_str!("../tests/vectors/torchwood.vkey");
    let key: VerifierKey = key.trim_end().parse().unwrap();
    let bytes = include_bytes!("../tests/vectors/torchwood.checkpoint");
    let signed = SignedCheckpoint::parse(bytes).unwrap();
    let (time, signature) = split(of(signed.signatures(), &key));
    assert_eq!(time, 0);
    let message = |size_more, time| {
        let mut checkpoint = signed.checkpoint().clone();
        checkpoint.size += size_more;
        message(&key, &checkpoint, time)
    };
    assert!(key.signed(&message(0, 0), signature));
    assert!(verifies(&key, &message(0, 0), signature));
    assert!(!key.signed(&message(1, 0), signature));
    assert!(!key.signed(&message(0, 1), signature));
}

/// The lines of a file of vectors, each as its values.
fn vectors<const N: usize>(text: &str) -> impl Iterator<Item = [Vec<u8>; N]> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let values = line.split(' ').map(|hex| HEXLOWER.decode(hex.as_bytes()).unwrap());
        values.collect::<Vec<_>>().try_into().unwrap()
    })
}

fn from_seed(seed: &[u8]) -> SigningKeys {
    let seed = || Secret::copy_of(seed.try_into().unwrap());
    SigningKeys::from_seeds(seed(), seed(), "test".parse().unwrap(), Role::Log).unwrap()
}

#[test]
fn ml_dsa_44_keys_are_those_of_nist() {
    let text = include_str!("../tests/vectors/ml-dsa-44-keygen.txt");
    let mut count = 0;
    for [seed, public_key] in vectors(text) {
        assert_eq!(from_seed(&seed).public().ml_dsa_44().public_key(), public_key);
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn ml_dsa_44_signatures_are_those_of_wycheproof() {
    let text = include_str!("../tests/vectors/ml-dsa-44-sign.txt");
    let mut count = 0;
    for [seed, public_key, message, signature] in vectors(text) {
        let keys = from_seed(&seed);
        let key = keys.public().ml_dsa_44();
        assert_eq!(key.public_key(), public_key);
        assert_eq!(keys.raw(SignatureType::CosignatureMlDsa44, &message).unwrap(), signature);
        assert!(key.signed(&message, &signature) && verifies(key, &message, &signature));
        count += 1;
    }
    assert_eq!(count, 5);
}

/// RFC 8032 §7.1, TEST 3.
#[test]
fn an_ed25519_signature_is_that_of_the_rfc() {
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let keys = from_seed(&hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"));
    let public = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    assert_eq!(keys.public().ed25519().public_key(), public);
    let signature = hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
         18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    assert_eq!(keys.raw(SignatureType::Ed25519, &[0xaf, 0x82]).unwrap(), signature);
    assert!(keys.public().ed25519().signed(&[0xaf, 0x82], &signature));
}
