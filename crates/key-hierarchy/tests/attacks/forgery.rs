//! Files that somebody made, or made anew, who does not satisfy the policy.

use std::collections::BTreeSet;

use key_hierarchy::{MasterKey, Metadata, OpenError};
use secret_memory::Secret;
use serde_json::Value;
use site_config::{AuthMode, FactorKind};

use crate::attacker::bound_to;
use crate::common::{DERIVATIONS, Plan, binding, piece, pieces, policy, simple, unlock, vault_key};

/// Sealing to a public key needs no secret, so one who has too few factors can seal pieces that he
/// knows to everybody under a policy of his. With the master key's wrap it does not fit.
#[test]
fn pieces_that_an_insider_sealed_do_not_open_the_true_master_key() {
    for derivation in DERIVATIONS {
        let kinds = [FactorKind::Password, FactorKind::SshAgent, FactorKind::Share];
        let factors = kinds.map(|kind| (kind, false)).to_vec();
        let scene = Plan { derivation, policy: policy(&[FactorKind::Password], 1), factors }.set();
        let known = piece(&scene.metadata, 2, &scene.evidence[&2]).unwrap().unwrap();
        let mut file: Value = serde_json::from_slice(&scene.file()).unwrap();
        let policies = [policy(&[FactorKind::Password], 1), simple(AuthMode::Any), policy(&[], 1)];
        for policy in policies {
            file["enrolment"]["policy"] = serde_json::to_value(policy).unwrap();
            let draft = parsed(&file);
            for factor in draft.enrolment().factors() {
                let bound_to = bound_to(&draft, Some(factor.id));
                let sealed =
                    factor.public_key.seal(derivation, &Secret::copy_of(&known), &bound_to);
                file["pieces"][factor.id.to_string()] =
                    serde_json::to_value(sealed.unwrap()).unwrap();
            }
            let forged = parsed(&file);
            let opened = pieces(&forged, &scene.evidence).unwrap();
            assert_eq!(opened.len(), 3, "his pieces open to everybody");
            assert!(matches!(forged.open(&opened), Err(OpenError::Edited)), "{policy}");
        }
    }
}

/// The limit of this crate: whoever has the file can make another one, with a factor of his own, that
/// opens to the same people. What comes out is a master key of his, never the profile's; so whoever
/// opens a vault or changes it must see that the key is the vault's.
#[test]
fn a_file_that_was_forged_whole_opens_to_the_forger_s_own_master_key_only() {
    for (policy, kinds) in [
        (simple(AuthMode::Any), vec![FactorKind::Password]),
        (simple(AuthMode::All), vec![FactorKind::Password, FactorKind::Fido2]),
        (policy(&[FactorKind::Password], 1), vec![FactorKind::Password, FactorKind::Fido2]),
    ] {
        let factors = kinds.into_iter().map(|kind| (kind, false)).collect();
        let scene = Plan { derivation: DERIVATIONS[0], policy, factors }.set();
        let public = Metadata::parse(&scene.file(), &binding()).unwrap().enrolment().clone();
        let his = MasterKey::generate().unwrap();
        let forged = Metadata::seal(public, &his).unwrap();
        let opened = unlock(&forged, &scene.evidence).unwrap();
        assert_eq!(vault_key(&opened, DERIVATIONS[0]), vault_key(&his, DERIVATIONS[0]));
        assert_ne!(vault_key(&opened, DERIVATIONS[0]), scene.vault_key());
    }
}

/// The master key under a KEK of the forger's, all else as it was: the pieces tell another KEK.
#[test]
fn a_master_key_that_was_wrapped_by_somebody_else_is_refused() {
    let factors = vec![(FactorKind::Password, false), (FactorKind::Tpm, true)];
    let plan = Plan { derivation: DERIVATIONS[1], policy: simple(AuthMode::Any), factors };
    let scene = plan.set();
    let his = MasterKey::generate().unwrap();
    let forged = Metadata::seal(scene.plan.enrol().0, &his).unwrap();
    let mut file: Value = serde_json::from_slice(&scene.file()).unwrap();
    let other: Value = serde_json::from_slice(&forged.render()).unwrap();
    for fields in [&["master"][..], &["mac"], &["master", "mac"]] {
        let mut edited = file.clone();
        for field in fields {
            edited[*field] = other[*field].clone();
        }
        let opened = unlock(&parsed(&edited), &scene.evidence);
        assert!(opened.is_err(), "{fields:?}");
    }
    // One factor's piece from his file is not enough either.
    file["pieces"]["1"] = other["pieces"]["1"].clone();
    let honest: BTreeSet<u32> = scene.evidence.keys().copied().collect();
    assert!(unlock(&parsed(&file), &scene.some(&honest)).is_err());
}

fn parsed(file: &Value) -> Metadata {
    Metadata::parse(&serde_json::to_vec(file).unwrap(), &binding()).unwrap()
}
