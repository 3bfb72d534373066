//! What daemon-secrets answers.

use hardening::posture::Check;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use site_config::UnlockPolicy;
use uuid::Uuid;

use crate::clearance::Operation;
use crate::factors::{Cause, Enrolled, NewFactor, Progress, Source};
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
        /// What to bind it to.
        binding: BindTo,
        /// Name of the first profile.
        profile: &'a str,
        /// Its first factors.
        #[serde(borrow)]
        factors: Vec<NewFactor<'a>>,
    },
    /// Destroy the installation.
    Wipe {
        /// Which; it must be this one.
        installation: Uuid,
    },
    /// Forget a profile's keys, or everybody's.
    Lock {
        /// Which profile; all when `None`.
        profile: Option<&'a str>,
    },
    /// A further profile with factors of its own.
    ProfileCreate {
        /// Its name.
        profile: &'a str,
        /// Its first factors.
        #[serde(borrow)]
        factors: Vec<NewFactor<'a>>,
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
        /// Whether there must be none of that name.
        only_new: bool,
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
    /// A profile's factors and policy, and what is being collected.
    FactorList {
        /// Of what.
        source: Source<'a>,
    },
    /// Ask for a change, by its text, that others give factors for.
    FactorBegin {
        /// Of what.
        source: Source<'a>,
        /// The text of its `Change`.
        change: &'a str,
    },
    /// Give a factor towards an unlock or a change. What suffices for an unlock unlocks.
    FactorSubmit {
        /// Of what.
        source: Source<'a>,
        /// What for.
        cause: Cause<'a>,
        /// Which factor; several when it is not known which of these passwords it is.
        factors: Vec<u32>,
        /// What the factor answered: a password, a signature, a share, and so on.
        #[serde(with = "serde_bytes")]
        evidence: &'a [u8],
        /// With a share that is locked: its custodian's passphrase.
        #[serde(with = "serde_bytes")]
        passphrase: Option<&'a [u8]>,
    },
    /// Forget what was given; a backup that was to become a profile too.
    FactorCancel {
        /// Of what.
        source: Source<'a>,
    },
    /// Prove that a factor still works, and nothing else.
    FactorTest {
        /// Which profile.
        profile: Option<&'a str>,
        /// Which factor.
        factors: Vec<u32>,
        /// What the factor answered.
        #[serde(with = "serde_bytes")]
        evidence: &'a [u8],
    },
    /// Add a factor. It and those below must have been authorised by enough factors.
    FactorEnroll {
        /// Which profile.
        profile: Option<&'a str>,
        /// The factor.
        #[serde(borrow)]
        factor: NewFactor<'a>,
    },
    /// Remove a factor, under a new master key.
    FactorRevoke {
        /// Which profile.
        profile: Option<&'a str>,
        /// Which factor.
        factor: u32,
    },
    /// Call a factor something else.
    FactorRename {
        /// Which profile.
        profile: Option<&'a str>,
        /// Which factor.
        factor: u32,
        /// What it is to be called.
        label: &'a str,
    },
    /// Another unlock policy.
    FactorPolicy {
        /// Which profile.
        profile: Option<&'a str>,
        /// The policy.
        policy: UnlockPolicy,
    },
    /// A new recovery factor in shares.
    ShareSplit {
        /// Which profile.
        profile: Option<&'a str>,
        /// What the factor is called.
        label: &'a str,
        /// How many shares give it.
        threshold: u8,
        /// How many shares there are.
        shares: u8,
        /// A passphrase for each share, or none at all. An empty one locks nothing.
        #[serde(borrow)]
        passphrases: Vec<&'a Bytes>,
    },
    /// Prove that a share is intact and of this profile, and nothing else.
    ShareVerify {
        /// Which profile.
        profile: Option<&'a str>,
        /// The share.
        #[serde(with = "serde_bytes")]
        share: &'a [u8],
        /// The custodian's passphrase, when it is locked.
        #[serde(with = "serde_bytes")]
        passphrase: Option<&'a [u8]>,
    },
    /// A new master key, and the vault under it.
    KeyRotate {
        /// Which profile.
        profile: Option<&'a str>,
    },
    /// A piece of a backup. The first one makes it.
    VaultBackup {
        /// Which profile.
        profile: Option<&'a str>,
        /// From which byte on.
        offset: u64,
    },
    /// A piece of a backup that is to become a profile.
    VaultRestoreWrite {
        /// The name of the new profile.
        profile: &'a str,
        /// At which byte; 0 begins anew.
        offset: u64,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        bytes: &'a [u8],
    },
    /// Make the profile out of the backup that was written, once its factors authorised that.
    VaultRestore {
        /// The name of the new profile.
        profile: &'a str,
    },
}

/// What an installation is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindTo {
    /// Nothing.
    Nothing,
    /// This machine's id.
    MachineId,
    /// This machine's TPM: each profile needs a factor of it, whatever its policy says.
    Tpm,
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
            Self::Lock { .. } => Operation::Lock,
            Self::ProfileCreate { .. } => Operation::ProfileCreate,
            Self::ProfileActivate { .. } => Operation::ProfileActivate,
            Self::ProfileDeactivate { .. } => Operation::ProfileDeactivate,
            Self::ProfileDefault { .. } => Operation::ProfileDefault,
            Self::SecretSet { .. } => Operation::SecretSet,
            Self::SecretGet { .. } => Operation::SecretGet,
            Self::SecretList { .. } => Operation::SecretList,
            Self::SecretDelete { .. } => Operation::SecretDelete,
            Self::FactorList { .. } => Operation::FactorList,
            Self::FactorBegin { .. } => Operation::FactorBegin,
            Self::FactorSubmit { .. } => Operation::FactorSubmit,
            Self::FactorCancel { .. } => Operation::FactorCancel,
            Self::FactorTest { .. } => Operation::FactorTest,
            Self::FactorEnroll { .. } => Operation::FactorEnroll,
            Self::FactorRevoke { .. } => Operation::FactorRevoke,
            Self::FactorRename { .. } => Operation::FactorRename,
            Self::FactorPolicy { .. } => Operation::FactorPolicy,
            Self::ShareSplit { .. } => Operation::ShareSplit,
            Self::ShareVerify { .. } => Operation::ShareVerify,
            Self::KeyRotate { .. } => Operation::KeyRotate,
            Self::VaultBackup { .. } => Operation::VaultBackup,
            Self::VaultRestoreWrite { .. } | Self::VaultRestore { .. } => Operation::VaultRestore,
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
    /// To `FactorList`.
    Enrolled(Enrolled),
    /// To `FactorSubmit`: accepted, and what is still needed.
    Progress(Progress),
    /// To `FactorTest` and `FactorEnroll`: which factor.
    Factor(u32),
    /// To `ShareSplit`: each custodian's share, in order.
    #[serde(borrow)]
    Shares(Vec<&'a Bytes>),
    /// To `ShareVerify`.
    Share {
        /// Of which factor.
        factor: u32,
        /// Which share, from 1.
        number: u8,
        /// Of how many.
        shares: u8,
        /// How many give the factor.
        threshold: u8,
    },
    /// To `VaultBackup`: bytes from the offset on; none at the end.
    Piece {
        /// Bytes of the whole backup.
        total: u64,
        /// Some of them.
        #[serde(borrow, with = "serde_bytes")]
        bytes: &'a [u8],
    },
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
    /// Whether by the machine's TPM: each profile then has a factor of it.
    pub machine_tpm: bool,
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
    /// The enrolled factors' kinds, such as `password`.
    pub factors: Vec<String>,
    /// How they combine, such as `any one factor`.
    pub policy: String,
    /// What is being collected for it: for what, and how long it is kept.
    pub pending: Option<(String, u64)>,
    /// Wrong tries of the factor that has most, since its last success.
    pub failures: u32,
    /// Seconds until the next try of any factor counts.
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
