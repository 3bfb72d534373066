//! What daemon-secrets answers.

use hardening::posture::Check;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clearance::Operation;
use crate::fault::Fault;

/// A request to daemon-secrets. A `profile` of `None` means the default profile.
#[derive(Serialize, Deserialize)]
pub enum SecretsRequest<'a> {
    /// Installation, profiles, what is unlocked.
    Status,
    /// The daemon's own security posture.
    Posture,
    /// A new installation with its first profile.
    Init {
        /// Namespace of the organisation.
        org: Option<&'a str>,
        /// Whether to bind to this machine's id.
        bind_machine: bool,
        /// Name of the first profile.
        profile: &'a str,
        /// Its first factor.
        #[serde(with = "serde_bytes")]
        password: &'a [u8],
    },
    /// Destroy the installation.
    Wipe {
        /// Which; it must be this one.
        installation: Uuid,
    },
    /// Reconstruct a profile's master key and open its vault.
    Unlock {
        /// Which profile.
        profile: Option<&'a str>,
        /// The factor.
        #[serde(with = "serde_bytes")]
        password: &'a [u8],
    },
    /// Forget a profile's keys, or everybody's.
    Lock {
        /// Which profile; all when `None`.
        profile: Option<&'a str>,
    },
    /// A further profile with a password of its own.
    ProfileCreate {
        /// Its name.
        profile: &'a str,
        /// Its first factor.
        #[serde(with = "serde_bytes")]
        password: &'a [u8],
    },
    /// Open the vault of an unlocked profile.
    ProfileActivate {
        /// Which profile.
        profile: &'a str,
    },
    /// Close the vault of a profile and keep its keys.
    ProfileDeactivate {
        /// Which profile.
        profile: &'a str,
    },
    /// Make a profile the one that is meant when none is named.
    ProfileDefault {
        /// Which profile.
        profile: &'a str,
    },
    /// Write a secret.
    SecretSet {
        /// Which profile.
        profile: Option<&'a str>,
        /// Its name.
        name: &'a str,
        /// Its value.
        #[serde(with = "serde_bytes")]
        value: &'a [u8],
    },
    /// Read a secret.
    SecretGet {
        /// Which profile.
        profile: Option<&'a str>,
        /// Its name.
        name: &'a str,
        /// What for.
        purpose: Purpose,
    },
    /// Names of secrets in order, as many as fit into a reply.
    SecretList {
        /// Which profile.
        profile: Option<&'a str>,
        /// Only names behind this one.
        after: Option<&'a str>,
    },
    /// Remove a secret.
    SecretDelete {
        /// Which profile.
        profile: Option<&'a str>,
        /// Its name.
        name: &'a str,
    },
}

/// What a secret is read for, as the client says; it goes into the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To be shown or piped.
    Read,
    /// To be handed to a program by `sesame run`.
    Run,
}

impl SecretsRequest<'_> {
    /// The row of the clearance table.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::Status => Operation::Status,
            Self::Posture => Operation::Posture,
            Self::Init { .. } => Operation::Init,
            Self::Wipe { .. } => Operation::Wipe,
            Self::Unlock { .. } => Operation::Unlock,
            Self::Lock { .. } => Operation::Lock,
            Self::ProfileCreate { .. } => Operation::ProfileCreate,
            Self::ProfileActivate { .. } => Operation::ProfileActivate,
            Self::ProfileDeactivate { .. } => Operation::ProfileDeactivate,
            Self::ProfileDefault { .. } => Operation::ProfileDefault,
            Self::SecretSet { .. } => Operation::SecretSet,
            Self::SecretGet { .. } => Operation::SecretGet,
            Self::SecretList { .. } => Operation::SecretList,
            Self::SecretDelete { .. } => Operation::SecretDelete,
        }
    }
}

/// What daemon-secrets replies.
#[derive(Serialize, Deserialize)]
pub enum SecretsReply<'a> {
    /// Done; nothing to say.
    Done,
    /// To `Status`.
    Status(Status),
    /// To `Posture`.
    Posture(Vec<Check>),
    /// To `Init`.
    Initialised {
        /// The new installation.
        installation: Uuid,
        /// Whether this finished an `init` that had been interrupted.
        resumed: bool,
    },
    /// To `SecretGet`.
    Value(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// To `SecretSet`: whether there was a value before.
    Written {
        /// Whether an earlier value was replaced.
        replaced: bool,
    },
    /// To `SecretList`, sorted; empty at the end.
    Names(Vec<String>),
    /// It was not done.
    Fault(Fault),
}

/// Installation and profiles, as `sesame status` shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// The installation; `None` before `init`.
    pub installation: Option<InstallationStatus>,
    /// Every profile, sorted by name.
    pub profiles: Vec<ProfileStatus>,
    /// Seconds of idleness after which everything is locked; 0 for never.
    pub auto_lock_seconds: u64,
}

/// What is public about an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationStatus {
    /// Its id.
    pub id: Uuid,
    /// Its namespace.
    pub org: Option<String>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Whether it is bound to this machine.
    pub machine_bound: bool,
}

/// Where a profile stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileStatus {
    /// Its name.
    pub name: String,
    /// Whether it is meant when no profile is named.
    pub default: bool,
    /// Locked, unlocked or active.
    pub state: ProfileState,
    /// The enrolled factors, such as `password`.
    pub factors: Vec<String>,
    /// Wrong tries since the last success.
    pub failures: u32,
    /// Seconds until the next try counts.
    pub retry_after_seconds: u64,
}

/// What daemon-secrets holds of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileState {
    /// Nothing.
    Locked,
    /// Its keys; the vault is closed.
    Unlocked,
    /// Its keys, and the vault is open.
    Active,
}

impl ProfileState {
    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Unlocked => "unlocked",
            Self::Active => "active",
        }
    }
}
