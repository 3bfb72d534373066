//! The policy tree, for policies and factors of all sorts.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;

use key_hierarchy::policy_tree::{Leaf, Pieces, Tree, Unsatisfiable};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use secret_memory::Secret;
use site_config::{AuthMode, FactorKind, FactorKinds, UnlockPolicy};

/// What the words of a policy demand, without any group.
fn satisfies(policy: &UnlockPolicy, leaves: &[Leaf], given: &BTreeSet<u32>) -> bool {
    let is_given = |leaf: &&Leaf| given.contains(&leaf.id);
    let machines = leaves.iter().filter(|leaf| leaf.machine).all(|leaf| is_given(&leaf));
    let voters: Vec<&Leaf> = leaves.iter().filter(|leaf| !leaf.machine).collect();
    let votes: Vec<FactorKind> =
        voters.iter().copied().filter(is_given).map(|leaf| leaf.kind).collect();
    let others = votes.iter().filter(|kind| !policy.required.contains(**kind)).count();
    let enough = match policy.mode {
        AuthMode::Any => !votes.is_empty(),
        AuthMode::All => !voters.is_empty() && votes.len() == voters.len(),
        AuthMode::Policy => {
            !votes.is_empty()
                && policy.required.iter().all(|kind| votes.contains(&kind))
                && others >= usize::from(policy.additional_required)
        }
    };
    machines && enough
}

fn policies() -> impl Strategy<Value = UnlockPolicy> {
    let fields = (select(AuthMode::ALL), subsequence(FactorKind::ALL, 0..=3), 0..5_u8);
    fields.prop_filter_map("no policy", |(mode, required, additional_required)| {
        let required: FactorKinds = required.into_iter().collect();
        UnlockPolicy::new(mode, required, additional_required).ok()
    })
}

/// One to nine factors; ids in any order, with gaps.
fn factors() -> impl Strategy<Value = Vec<Leaf>> {
    let ids = proptest::collection::btree_set(1..1000_u32, 1..=9);
    let ids = ids.prop_map(Vec::from_iter).prop_shuffle();
    let leaf = (select(FactorKind::ALL), prop::bool::weighted(0.15));
    (ids, proptest::collection::vec(leaf, 9)).prop_map(|(ids, leaves)| {
        let leaves = ids.into_iter().zip(leaves);
        leaves.map(|(id, (kind, machine))| Leaf { id, kind, machine }).collect()
    })
}

fn ids(leaves: &[Leaf]) -> BTreeSet<u32> {
    leaves.iter().map(|leaf| leaf.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn there_is_a_tree_exactly_when_all_factors_together_satisfy_the_policy(
        policy in policies(),
        leaves in factors(),
    ) {
        let tree = Tree::new(&policy, &leaves);
        prop_assert_eq!(tree.is_ok(), satisfies(&policy, &leaves, &ids(&leaves)));
    }

    #[test]
    fn every_member_is_in_one_group_and_gets_a_piece(
        policy in policies(),
        leaves in factors(),
    ) {
        let Ok(tree) = Tree::new(&policy, &leaves) else { return Ok(()) };
        let groups = tree.missing(&BTreeSet::new());
        let in_groups: Vec<u32> =
            groups.iter().flat_map(|group| &group.members).copied().collect();
        let members = tree.members();
        prop_assert_eq!(in_groups.len(), members.len(), "one is in two groups: {:?}", groups);
        prop_assert_eq!(&BTreeSet::from_iter(in_groups), &members);
        let (dealt, material) = tree.deal().unwrap();
        prop_assert_eq!(&BTreeSet::from_iter(dealt.into_keys()), &members);
        prop_assert_eq!(material.len(), 32 * groups.len());
        for group in groups {
            prop_assert!(group.need >= 1 && usize::from(group.need) <= group.members.len());
            prop_assert!(group.members.is_sorted());
        }
        // Who is left out is of no use: a kind that the policy does not ask for.
        for leaf in leaves.iter().filter(|leaf| !members.contains(&leaf.id)) {
            prop_assert!(!leaf.machine && policy.mode == AuthMode::Policy);
            prop_assert!(policy.additional_required == 0 && !policy.required.contains(leaf.kind));
        }
    }

    #[test]
    fn some_factors_give_what_was_dealt_exactly_when_they_satisfy_the_policy(
        policy in policies(),
        leaves in factors(),
        choices in proptest::collection::vec(any::<u16>(), 12),
    ) {
        let Ok(tree) = Tree::new(&policy, &leaves) else { return Ok(()) };
        let (dealt, material) = tree.deal().unwrap();
        for choice in choices {
            let chosen = (0..).zip(&leaves).filter(|(bit, _)| choice >> bit & 1 == 1);
            let given: BTreeSet<u32> = chosen.map(|(_, leaf)| leaf.id).collect();
            let held = dealt.iter().filter(|(id, _)| given.contains(id));
            let pieces: Pieces =
                held.map(|(id, piece)| (*id, Secret::copy_of(piece.expose()))).collect();
            let combined = tree.combine(&pieces).unwrap();
            let missing = tree.missing(&given);
            prop_assert_eq!(missing.is_empty(), satisfies(&policy, &leaves, &given));
            prop_assert_eq!(missing.is_empty(), combined.is_some());
            if let Some(combined) = combined {
                prop_assert_eq!(combined.expose(), material.expose());
            }
            // What is said to be missing is enough, and one less of it is not.
            let mut complete = given.clone();
            for group in &missing {
                prop_assert!(group.members.iter().all(|id| !given.contains(id)));
                complete.extend(group.members.iter().take(group.need.into()));
            }
            prop_assert!(tree.missing(&complete).is_empty());
            if let Some(group) = missing.first() {
                complete.remove(&group.members[0]);
                prop_assert!(!tree.missing(&complete).is_empty());
            }
        }
    }

    #[test]
    fn no_two_deals_have_anything_in_common(policy in policies(), leaves in factors()) {
        let Ok(tree) = Tree::new(&policy, &leaves) else { return Ok(()) };
        let [(one, first), (other, second)] = [tree.deal().unwrap(), tree.deal().unwrap()];
        for (id, piece) in &one {
            prop_assert_ne!(piece.expose(), other[id].expose());
        }
        for (one, other) in first.expose().chunks(32).zip(second.expose().chunks(32)) {
            prop_assert_ne!(one, other);
        }
    }
}

#[test]
fn what_can_never_be_satisfied_says_what_is_missing() {
    let leaf = |id, kind, machine| Leaf { id, kind, machine };
    let password = leaf(1, FactorKind::Password, false);
    let machine = leaf(2, FactorKind::Tpm, true);
    let policy = |required: &[FactorKind], additional_required| {
        let required = required.iter().copied().collect();
        UnlockPolicy::new(AuthMode::Policy, required, additional_required).unwrap()
    };
    let tree = |policy, leaves: &[Leaf]| Tree::new(&policy, leaves).map(drop);
    let any = UnlockPolicy::new(AuthMode::Any, FactorKinds::EMPTY, 0).unwrap();
    assert_eq!(tree(any, &[]), Err(Unsatisfiable::NoFactor));
    // A machine is nobody.
    assert_eq!(tree(any, &[machine]), Err(Unsatisfiable::NoFactor));
    let tpm = policy(&[FactorKind::Tpm], 0);
    assert_eq!(tree(tpm, &[password, machine]), Err(Unsatisfiable::NoneOfKind(FactorKind::Tpm)));
    let error = tree(policy(&[FactorKind::Password], 1), &[password, machine]);
    assert_eq!(error, Err(Unsatisfiable::TooFewOthers { need: 1, there: 0 }));
    assert_eq!(
        error.unwrap_err().to_string(),
        "the policy demands 1 of the other factors, and 0 are enrolled"
    );
}
