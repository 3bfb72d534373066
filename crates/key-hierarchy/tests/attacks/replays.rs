//! Old files, and pieces of old files.

use std::collections::BTreeSet;

use key_hierarchy::{FactorError, MasterKey, Metadata};
use serde_json::Value;
use site_config::{AuthMode, FactorKind};

use crate::attacker::{Attacker, Prize, derive};
use crate::common::{
    DERIVATIONS, PROFILE, Plan, Refused, Scene, binding, piece, pieces, policy, simple, unlock,
    vault_key,
};

fn scene(policy: site_config::UnlockPolicy) -> Scene {
    let kinds = [FactorKind::Password, FactorKind::SshAgent, FactorKind::SshAgent];
    let factors = kinds.map(|kind| (kind, false)).to_vec();
    Plan { derivation: DERIVATIONS[0], policy, factors }.set()
}

fn json(metadata: &Metadata) -> Value {
    serde_json::from_slice(&metadata.render()).unwrap()
}

/// Every text of the file that stands for bytes of a wrap, a ciphertext or a MAC.
fn blobs(metadata: &Metadata) -> BTreeSet<String> {
    fn collect(value: &Value, blobs: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => drop(blobs.insert(text.clone())),
            Value::Object(fields) => fields.values().for_each(|value| collect(value, blobs)),
            _ => {}
        }
    }
    let mut blobs = BTreeSet::new();
    let file = json(metadata);
    for field in ["pieces", "master", "mac"] {
        collect(&file[field], &mut blobs);
    }
    blobs
}

#[test]
fn a_change_under_the_same_master_key_uses_nothing_again() {
    for policy in [simple(AuthMode::Any), simple(AuthMode::All), policy(&[], 2)] {
        let scene = scene(policy);
        let again = Metadata::seal(scene.metadata.enrolment().clone(), &scene.master).unwrap();
        assert_eq!(again.enrolment().generation(), scene.metadata.enrolment().generation() + 1);
        let (old, new) = (blobs(&scene.metadata), blobs(&again));
        // Of each piece four texts, three of the master key's wrap, and the MAC.
        assert_eq!((old.len(), new.len()), (16, 16));
        assert!(old.is_disjoint(&new));
        for (id, answer) in &scene.evidence {
            let old = piece(&scene.metadata, *id, answer).unwrap().unwrap();
            let new = piece(&again, *id, answer).unwrap().unwrap();
            assert_ne!(old, new, "{policy}: the piece of factor {id}");
        }
        let opened = unlock(&again, &scene.evidence).unwrap();
        assert_eq!(vault_key(&opened, DERIVATIONS[0]), scene.vault_key());
    }
}

#[test]
fn old_pieces_do_not_open_a_newer_file() {
    for policy in [simple(AuthMode::Any), simple(AuthMode::All), policy(&[], 2)] {
        let scene = scene(policy);
        let again = Metadata::seal(scene.metadata.enrolment().clone(), &scene.master).unwrap();
        let old = pieces(&scene.metadata, &scene.evidence).unwrap();
        assert!(again.open(&old).is_err(), "{policy}");
        assert!(scene.metadata.open(&old).is_ok(), "{policy}");
    }
}

#[test]
fn parts_of_an_old_file_in_a_newer_one_are_refused() {
    let scene = scene(policy(&[], 2));
    let newer = Metadata::seal(scene.metadata.enrolment().clone(), &scene.master).unwrap();
    let (old, new) = (json(&scene.metadata), json(&newer));
    let paths = [
        "/pieces/1",
        "/pieces/2",
        "/pieces/3",
        "/pieces/1/wrapped",
        "/pieces/1/encapsulated",
        "/pieces",
        "/master",
        "/mac",
        "/enrolment/generation",
        "/enrolment",
    ];
    for path in paths {
        let mut edited = new.clone();
        *edited.pointer_mut(path).unwrap() = old.pointer(path).unwrap().clone();
        let bytes = serde_json::to_vec(&edited).unwrap();
        let metadata = Metadata::parse(&bytes, &binding()).unwrap();
        assert_ne!(metadata, newer, "{path}");
        assert!(unlock(&metadata, &scene.evidence).is_err(), "{path}");
    }
}

/// The file can't say that there is a newer one; whoever keeps the vault compares the generations.
#[test]
fn a_whole_old_file_opens_and_is_told_by_its_generation() {
    let scene = scene(simple(AuthMode::Any));
    let newer = Metadata::seal(scene.metadata.enrolment().clone(), &scene.master).unwrap();
    assert!(unlock(&scene.metadata, &scene.evidence).is_ok());
    assert!(scene.metadata.enrolment().generation() < newer.enrolment().generation());
}

#[test]
fn a_removed_factor_and_the_old_file_give_the_old_master_key_and_nothing_new() {
    for policy in [simple(AuthMode::Any), simple(AuthMode::All), policy(&[], 2)] {
        let scene = scene(policy);
        let mut enrolment = scene.metadata.enrolment().clone();
        enrolment.remove(3).unwrap();
        let new_master = MasterKey::generate().unwrap();
        let newer = Metadata::seal(enrolment, &new_master).unwrap();
        let new_vault_key = vault_key(&new_master, DERIVATIONS[0]);

        // He kept the old file, and whoever was needed beside him told him all once.
        let everybody = scene.evidence.keys().copied().collect();
        let mut then = Attacker::new(&scene.file(), &scene.evidence, scene.vault_key());
        let Some(Prize::Master(old_master)) = then.attack(&everybody) else {
            panic!("{policy}: the old file opens to its own factors")
        };
        let old_pieces = then.pieces(&everybody);
        assert_eq!(old_pieces.len(), 3);
        let old_vault_key =
            derive(DERIVATIONS[0], &format!("pds v2 vault-key {PROFILE}"), &old_master);
        assert_eq!(old_vault_key, scene.vault_key());
        assert_ne!(old_vault_key, new_vault_key);

        let him = scene.some(&BTreeSet::from([3]));
        let mut now = Attacker::new(&newer.render(), &him, new_vault_key);
        now.learn([old_master, old_vault_key]);
        now.learn(old_pieces.into_values());
        assert_eq!(now.attack(&BTreeSet::from([3])), None, "{policy}");
        assert!(now.tried() > 100, "{policy}: {} keys were tried", now.tried());

        assert!(matches!(piece(&newer, 3, &him[&3]), Err(FactorError::NoFactor(3))));
        for id in 1..=2 {
            let answered = piece(&newer, id, &him[&3]);
            assert!(matches!(answered, Err(FactorError::Wrong)), "{policy}: as factor {id}");
        }
        let rest = scene.some(&BTreeSet::from([1, 2]));
        let opened = unlock(&newer, &rest).unwrap();
        assert_eq!(vault_key(&opened, DERIVATIONS[0]), new_vault_key, "{policy}");
    }
}

#[test]
fn a_factor_that_was_absent_at_a_change_opens_what_it_made() {
    let scene = scene(simple(AuthMode::Any));
    let opener = scene.some(&BTreeSet::from([1]));
    let master = unlock(&scene.metadata, &opener).unwrap();
    let mut enrolment = scene.metadata.enrolment().clone();
    enrolment.policy = policy(&[FactorKind::Password], 1);
    enrolment.rename(2, "renamed".try_into().unwrap()).unwrap();
    let newer = Metadata::seal(enrolment, &master).unwrap();
    for absent in [2, 3] {
        let opened = unlock(&newer, &scene.some(&BTreeSet::from([1, absent]))).unwrap();
        assert_eq!(vault_key(&opened, DERIVATIONS[0]), scene.vault_key());
    }
    assert!(matches!(unlock(&newer, &opener), Err(Refused::Open(_))));
}
