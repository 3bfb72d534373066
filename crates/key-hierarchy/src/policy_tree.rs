//! The unlock policy as mathematics: a key in parts that only the right factors put together.
//!
//! Every policy is an AND of groups, each with a threshold, and every factor is in exactly one group:
//!
//! - `any`: one group, 1 of all factors.
//! - `all`: a group of one for each factor.
//! - `policy`: a group for each required kind, 1 of its factors; and one of the others, so many of them.
//! - Whatever the mode, a group of one for each factor that binds the profile to a machine.
//!
//! Each group has a random key of its own, split among its members by [`threshold`]. The KEK derives
//! from all groups' keys in their order, so with one factor too few it does not exist anywhere.

use std::collections::{BTreeMap, BTreeSet};

use secret_memory::{OutOfSecretMemory, Secret, SecretBytes};
use site_config::{AuthMode, FactorKind, UnlockPolicy};

use crate::kdf::{KdfError, random_key};
use crate::threshold;

/// Each factor's piece, by the factor's id.
pub type Pieces = BTreeMap<u32, Secret<32>>;

/// What the tree has to know of a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its id.
    pub id: u32,
    /// Its kind.
    pub kind: FactorKind,
    /// Whether it binds the profile to a machine: demanded in every mode.
    pub machine: bool,
}

/// So many of these factors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub need: u8,
    /// Of which factors, by id, ascending.
    pub members: Vec<u32>,
}

/// The groups, in the order in which their keys are combined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree(Vec<Group>);

/// A policy that the enrolled factors can never satisfy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsatisfiable {
    /// No factor.
    #[error("there is no factor")]
    NoFactor,
    /// A required kind that nobody enrolled.
    #[error("the policy demands a {0}, and none is enrolled")]
    NoneOfKind(FactorKind),
    /// Fewer others than are demanded.
    #[error("the policy demands {need} of the other factors, and {there} are enrolled")]
    TooFewOthers {
        /// How many are demanded.
        need: u8,
        /// How many are enrolled.
        there: usize,
    },
}

impl Tree {
    /// The tree of a policy over these factors.
    ///
    /// # Errors
    /// [`Unsatisfiable`].
    pub fn new(policy: &UnlockPolicy, leaves: &[Leaf]) -> Result<Self, Unsatisfiable> {
        let ids = |wanted: &dyn Fn(&Leaf) -> bool| {
            let mut ids: Vec<u32> =
                leaves.iter().filter(|leaf| wanted(leaf)).map(|leaf| leaf.id).collect();
            ids.sort_unstable();
            ids
        };
        let voters = ids(&|leaf| !leaf.machine);
        if voters.is_empty() {
            return Err(Unsatisfiable::NoFactor);
        }
        let one_of = |members| Group { need: 1, members };
        let mut groups = Vec::new();
        match policy.mode {
            AuthMode::Any => groups.push(one_of(voters)),
            AuthMode::All => groups.extend(voters.into_iter().map(|id| one_of(vec![id]))),
            AuthMode::Policy => {
                for kind in policy.required.iter() {
                    let members = ids(&|leaf| !leaf.machine && leaf.kind == kind);
                    if members.is_empty() {
                        return Err(Unsatisfiable::NoneOfKind(kind));
                    }
                    groups.push(one_of(members));
                }
                let need = policy.additional_required;
                let others = ids(&|leaf| !leaf.machine && !policy.required.contains(leaf.kind));
                if others.len() < usize::from(need) {
                    return Err(Unsatisfiable::TooFewOthers { need, there: others.len() });
                }
                if need > 0 {
                    groups.push(Group { need, members: others });
                }
            }
        }
        groups.extend(ids(&|leaf| leaf.machine).into_iter().map(|id| one_of(vec![id])));
        Ok(Self(groups))
    }

    /// Every factor that has a piece. Those that the policy has no use for have none.
    #[must_use]
    pub fn members(&self) -> BTreeSet<u32> {
        self.0.iter().flat_map(|group| &group.members).copied().collect()
    }

    /// What is still needed beside the factors that were given: no group when they suffice.
    #[must_use]
    pub fn missing(&self, given: &BTreeSet<u32>) -> Vec<Group> {
        let missing = self.0.iter().filter_map(|group| {
            let (had, members): (Vec<u32>, Vec<u32>) =
                group.members.iter().partition(|id| given.contains(id));
            let need = usize::from(group.need).checked_sub(had.len()).filter(|need| *need > 0)?;
            Some(Group { need: u8::try_from(need).unwrap_or(u8::MAX), members })
        });
        missing.collect()
    }

    /// New keys for all groups: a piece for each factor that is in one, and what the KEK derives from.
    ///
    /// # Errors
    /// [`KdfError::Random`], [`KdfError::Memory`].
    pub fn deal(&self) -> Result<(Pieces, SecretBytes), KdfError> {
        let mut pieces = Pieces::new();
        let mut material = SecretBytes::with_capacity(32 * self.0.len()).map_err(memory)?;
        for group in &self.0 {
            let key = random_key()?;
            let members = u8::try_from(group.members.len()).map_err(|_| KdfError::Parameters)?;
            let parts =
                threshold::split(&key, group.need, members).map_err(|_| KdfError::Parameters)?;
            pieces.extend(group.members.iter().copied().zip(parts));
            material.extend_from_slice(key.expose()).map_err(memory)?;
        }
        Ok((pieces, material))
    }

    /// What the KEK derives from, out of enough pieces. `None` when they are too few.
    ///
    /// # Errors
    /// [`KdfError::Memory`].
    pub fn combine(&self, pieces: &Pieces) -> Result<Option<SecretBytes>, KdfError> {
        let mut material = SecretBytes::with_capacity(32 * self.0.len()).map_err(memory)?;
        for group in &self.0 {
            let parts: Vec<(u8, &Secret<32>)> = (1..)
                .zip(&group.members)
                .filter_map(|(number, id)| Some((number, pieces.get(id)?)))
                .take(group.need.into())
                .collect();
            let Some(key) = threshold::combine(group.need, &parts) else { return Ok(None) };
            material.extend_from_slice(key.expose()).map_err(memory)?;
        }
        Ok(Some(material))
    }
}

fn memory(_: OutOfSecretMemory) -> KdfError {
    KdfError::OutOfMemory
}
