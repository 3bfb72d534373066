//! Who may unlock a profile: its factors and its policy. Nothing of it is secret.

use serde::{Deserialize, Serialize};
use site_config::UnlockPolicy;
use uuid::Uuid;

use crate::derive::Derivation;
use crate::factor::{Factor, FactorSecret, Label};
use crate::kdf::KdfError;
use crate::parameters::Parameters;
use crate::policy_tree::{Leaf, Tree, Unsatisfiable};

/// The most factors of a profile.
pub const MAX_FACTORS: usize = 16;

/// Where a profile belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The installation.
    pub installation: Uuid,
    /// The profile's name.
    pub profile: String,
}

/// The public half of a profile's metadata; all of it is associated data of everything secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Where the profile belongs.
    pub binding: Binding,
    /// Grows with every change, so that an older file can be told.
    pub(crate) generation: u64,
    /// Which factors it takes.
    pub policy: UnlockPolicy,
    /// Which function derives this profile's keys, for its whole life.
    derivation: Derivation,
    next_id: u32,
    factors: Vec<Factor>,
}

/// A change of an enrolment that can't be.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// The profile has as many factors as it can have.
    #[error("a profile has at most {MAX_FACTORS} factors")]
    TooMany,
    /// There is a factor of that label.
    #[error("there is a factor {0:?} already")]
    LabelTaken(Label),
    /// No such factor.
    #[error("there is no factor {0}")]
    NoFactor(u32),
    /// The policy could not be satisfied any more.
    #[error(transparent)]
    Unsatisfiable(#[from] Unsatisfiable),
    /// The factor's keys could not be made.
    #[error(transparent)]
    Kdf(#[from] KdfError),
}

impl Enrolment {
    /// Nobody yet.
    #[must_use]
    pub const fn new(binding: Binding, derivation: Derivation, policy: UnlockPolicy) -> Self {
        Self { binding, generation: 0, policy, derivation, next_id: 1, factors: Vec::new() }
    }

    /// How often it was sealed.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Which function derives this profile's keys.
    #[must_use]
    pub const fn derivation(&self) -> Derivation {
        self.derivation
    }

    /// The factors, by ascending id.
    #[must_use]
    pub fn factors(&self) -> &[Factor] {
        &self.factors
    }

    /// The factor of this id.
    #[must_use]
    pub fn factor(&self, id: u32) -> Option<&Factor> {
        self.factors.iter().find(|factor| factor.id == id)
    }

    /// How the factors combine.
    ///
    /// # Errors
    /// [`Unsatisfiable`].
    pub fn tree(&self) -> Result<Tree, Unsatisfiable> {
        let leaves: Vec<Leaf> = self.factors.iter().map(Factor::leaf).collect();
        Tree::new(&self.policy, &leaves)
    }

    /// Adds a factor and returns its id.
    ///
    /// # Errors
    /// [`EnrolmentError`].
    pub fn add(
        &mut self,
        label: Label,
        machine: bool,
        parameters: Parameters,
        secret: &FactorSecret,
    ) -> Result<u32, EnrolmentError> {
        if self.factors.len() >= MAX_FACTORS {
            return Err(EnrolmentError::TooMany);
        }
        self.label_is_free(&label)?;
        let id = self.next_id;
        let factor = Factor::new(id, label, machine, parameters, self.derivation, secret)?;
        self.factors.push(factor);
        self.next_id += 1;
        Ok(id)
    }

    /// Removes a factor.
    ///
    /// # Errors
    /// [`EnrolmentError::NoFactor`].
    pub fn remove(&mut self, id: u32) -> Result<Factor, EnrolmentError> {
        let position = self.factors.iter().position(|factor| factor.id == id);
        position.map(|at| self.factors.remove(at)).ok_or(EnrolmentError::NoFactor(id))
    }

    /// Calls a factor something else.
    ///
    /// # Errors
    /// [`EnrolmentError::NoFactor`], [`EnrolmentError::LabelTaken`].
    pub fn rename(&mut self, id: u32, label: Label) -> Result<(), EnrolmentError> {
        self.label_is_free(&label)?;
        let factor = self.factors.iter_mut().find(|factor| factor.id == id);
        factor.ok_or(EnrolmentError::NoFactor(id))?.label = label;
        Ok(())
    }

    fn label_is_free(&self, label: &Label) -> Result<(), EnrolmentError> {
        match self.factors.iter().find(|factor| factor.label == *label) {
            Some(_) => Err(EnrolmentError::LabelTaken(label.clone())),
            None => Ok(()),
        }
    }

    /// Whether a file can hold this: what the methods above keep true.
    pub(crate) fn is_consistent(&self) -> bool {
        let factors = &self.factors;
        let ascending = factors.windows(2).all(|pair| pair[0].id < pair[1].id);
        let labels = (1..)
            .zip(factors)
            .all(|(next, factor)| factors[next..].iter().all(|other| other.label != factor.label));
        let last = factors.last().map_or(0, |factor| factor.id);
        factors.len() <= MAX_FACTORS
            && ascending
            && labels
            && last < self.next_id
            && self.next_id < u32::MAX / 2
            && self.generation < u64::MAX / 2
            && self.tree().is_ok()
    }
}
