//! Factors, as requests and replies of daemon-secrets carry them.

use std::fmt;

use serde::{Deserialize, Serialize};
use site_config::{FactorKind, UnlockPolicy};

/// A factor to be enrolled.
#[derive(Serialize, Deserialize)]
pub struct NewFactor<'a> {
    /// What it is called.
    pub label: &'a str,
    /// What it is.
    pub kind: FactorKind,
    /// Its public parameters, as JSON of `key_hierarchy::Parameters`. Empty for a password, whose
    /// parameters the daemon makes.
    pub parameters: &'a str,
    /// Whether it binds the profile to this machine.
    pub machine: bool,
    /// What it answered.
    #[serde(with = "serde_bytes")]
    pub evidence: &'a [u8],
}

/// What factors are given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source<'a> {
    /// A profile; the default one when `None`.
    Profile(Option<&'a str>),
    /// The backup that is to become the profile of this name.
    Restore(&'a str),
}

/// What factors are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause<'a> {
    /// To unlock.
    Unlock,
    /// For one change, by the text of its [`Change`].
    Change(&'a str),
}

/// A change that needs the policy satisfied anew. What is authorised is its text, which whoever gives
/// a factor sees; whoever asked for it carries it out, once, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Add a factor.
    Enroll {
        /// What it is.
        kind: FactorKind,
        /// What it is called.
        label: &'a str,
        /// Whether it binds the profile to a machine.
        machine: bool,
    },
    /// Remove a factor.
    Revoke {
        /// Which.
        factor: u32,
    },
    /// Call a factor something else.
    Rename {
        /// Which.
        factor: u32,
        /// What it is to be called.
        label: &'a str,
    },
    /// Another policy.
    Policy(UnlockPolicy),
    /// A new recovery factor.
    Split {
        /// What it is called.
        label: &'a str,
        /// How many shares give it.
        threshold: u8,
        /// How many there are.
        shares: u8,
    },
    /// A new master key.
    RotateKey,
    /// A backup becomes a profile.
    Restore {
        /// Its name.
        profile: &'a str,
        /// The BLAKE3 of the backup's file, as `sesame vault backup` shows it.
        backup: [u8; 32],
    },
}

impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enroll { kind, label, machine: false } => write!(f, "enrol {kind} {label:?}"),
            Self::Enroll { kind, label, machine: true } => {
                write!(f, "enrol {kind} {label:?}, to be demanded whatever the policy says")
            }
            Self::Revoke { factor } => write!(f, "revoke factor {factor}"),
            Self::Rename { factor, label } => write!(f, "rename factor {factor} to {label:?}"),
            Self::Policy(policy) => write!(f, "change the policy to: {policy}"),
            Self::Split { label, threshold, shares } => {
                write!(f, "split recovery {label:?}, {threshold} of {shares}")
            }
            Self::RotateKey => f.write_str("rotate the master key"),
            Self::Restore { profile, backup } => {
                f.write_str("restore the backup ")?;
                backup.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, " as profile {profile}")
            }
        }
    }
}

/// A profile's factors and policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The profile.
    pub profile: String,
    /// How the factors combine.
    pub policy: UnlockPolicy,
    /// How often this changed.
    pub generation: u64,
    /// The factors, by ascending id.
    pub factors: Vec<EnrolledFactor>,
    /// What is being collected.
    pub pending: Option<Pending>,
    /// What is needed to unlock when nothing was given yet.
    pub needs: Vec<Need>,
    /// Of a backup that is to become a profile: the BLAKE3 of its file.
    pub backup: Option<[u8; 32]>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledFactor {
    /// Its number.
    pub id: u32,
    /// What it is called.
    pub label: String,
    /// What it is.
    pub kind: FactorKind,
    /// Whether it binds the profile to a machine.
    pub machine: bool,
    /// JSON of `key_hierarchy::Parameters`.
    pub parameters: String,
    /// Wrong tries since the last success.
    pub failures: u32,
    /// Seconds until the next try counts.
    pub retry_after_seconds: u64,
}

/// What is being collected for a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The text of the change; `None` for an unlock.
    pub change: Option<String>,
    /// The peer who asked for it, who alone can carry it out; empty for an unlock.
    pub owner: String,
    /// Where it stands.
    pub progress: Progress,
}

/// Where a collection stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The factors that were given.
    pub given: Vec<u32>,
    /// Shares that were given of factors that need more of them: which factor, and their numbers.
    pub shares: Vec<(u32, Vec<u8>)>,
    /// What is still needed; empty when it suffices.
    pub missing: Vec<Need>,
    /// How long what was given is kept.
    pub seconds_left: u64,
}

/// So many of these factors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// How many.
    pub count: u8,
    /// Of which factors, by id.
    pub of: Vec<u32>,
}
