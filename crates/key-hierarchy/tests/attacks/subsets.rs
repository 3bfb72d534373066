//! Too few factors: whatever code runs, there is no key.

use std::collections::BTreeSet;

use site_config::{AuthMode, FactorKind};

use crate::attacker::{Attacker, Prize, derive};
use crate::common::{DERIVATIONS, PROFILE, Plan, Scene, policy, simple, subsets};

use FactorKind::{Fido2, Password, Share, SshAgent, Tpm, Yubikey};

/// Every subset of the factors attacks; those that satisfy the policy with nobody to spare must get the
/// master key by the same code, those that don't must get nothing, not even another's piece.
fn besiege(policy: site_config::UnlockPolicy, factors: &[(FactorKind, bool)], least: usize) {
    for derivation in DERIVATIONS {
        let scene = Plan { derivation, policy, factors: factors.to_vec() }.set();
        let mut attacker = Attacker::new(&scene.file(), &scene.evidence, scene.vault_key());
        let (mut won, mut lost) = (0, 0);
        for crew in subsets(scene.evidence.keys().copied()) {
            if !scene.plan.is_satisfied_by(&crew) {
                assert_eq!(attacker.attack(&crew), None, "{policy}: {crew:?}");
                lost += 1;
            } else if is_tight(&scene, &crew) {
                let Some(Prize::Master(master)) = attacker.attack(&crew) else {
                    panic!("{policy}: the attacker is not able: {crew:?}");
                };
                let vault_key = derive(derivation, &format!("pds v2 vault-key {PROFILE}"), &master);
                assert_eq!(vault_key, scene.vault_key(), "{policy}: {crew:?}");
                won += 1;
            }
        }
        assert!(won > 0 && lost > 0, "{policy}: {won} won, {lost} lost");
        let tried = attacker.tried();
        assert!(tried >= least, "{policy}: {tried} keys were tried");
    }
}

/// With each of them gone it would not suffice.
fn is_tight(scene: &Scene, crew: &BTreeSet<u32>) -> bool {
    crew.iter().all(|gone| {
        let rest = crew.iter().copied().filter(|id| id != gone).collect();
        !scene.plan.is_satisfied_by(&rest)
    })
}

fn people<const N: usize>(kinds: [FactorKind; N]) -> Vec<(FactorKind, bool)> {
    kinds.map(|kind| (kind, false)).to_vec()
}

fn with_machine<const N: usize>(kinds: [FactorKind; N]) -> Vec<(FactorKind, bool)> {
    [people(kinds), vec![(Tpm, true)]].concat()
}

#[test]
fn any_takes_one_factor_and_nothing_without_any() {
    besiege(simple(AuthMode::Any), &people([Password, SshAgent, Share]), 100);
}

#[test]
fn any_on_a_bound_machine_takes_the_machine_too() {
    besiege(simple(AuthMode::Any), &with_machine([Password, Fido2, Share]), 2000);
}

#[test]
fn all_of_two_takes_both() {
    besiege(simple(AuthMode::All), &people([Password, Password]), 700);
}

#[test]
fn all_of_four_takes_all_four() {
    besiege(simple(AuthMode::All), &people([Password, SshAgent, Fido2, Share]), 7000);
}

#[test]
fn all_on_a_bound_machine_takes_the_machine_too() {
    besiege(simple(AuthMode::All), &with_machine([Password, Yubikey]), 2000);
}

#[test]
fn a_required_kind_is_not_made_up_for_by_any_number_of_others() {
    besiege(policy(&[Password], 1), &people([Password, SshAgent, Tpm, Fido2]), 2000);
}

#[test]
fn each_of_two_required_kinds_takes_one_of_its_kind() {
    let factors = people([Password, Tpm, Password, Tpm, Share]);
    besiege(policy(&[Password, Tpm], 0), &factors, 2500);
}

#[test]
fn two_of_four_takes_two() {
    besiege(policy(&[], 2), &people([Password, SshAgent, Tpm, Share]), 2500);
}

#[test]
fn three_of_four_takes_three() {
    besiege(policy(&[], 3), &people([Password, SshAgent, Tpm, Share]), 5000);
}

#[test]
fn one_of_two_passwords_and_two_of_three_others_are_both_needed() {
    let factors = people([Password, Password, SshAgent, Fido2, Yubikey]);
    besiege(policy(&[Password], 2), &factors, 9000);
}

#[test]
fn a_threshold_on_a_bound_machine_takes_the_machine_too() {
    besiege(policy(&[Password], 2), &with_machine([Password, SshAgent, Fido2, Share]), 20_000);
}
