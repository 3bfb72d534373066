//! Everything that a site decides, parsed once into checked types.
//!
//! - [`Layout`] says where things live: a system, a user's session, or one directory.
//! - [`Site`] is `config.toml` under `policy.toml`: the [`Settings`] that hold, where each came from,
//!   and an error for every contradiction.
//! - [`Peers`] are the keys and uids that may talk to the daemons.
//! - [`Installation`] is what `init` made: its identity, and the machine that it belongs to.
//! - [`names`] holds the types of what users name: profiles, secrets, organisations.
//! - [`durable`] writes files that a power cut leaves whole, old or new.
//!
//! [`keys::TABLE`] is the one list of settings; the parsers, the policy and the manual use it.
//! No input panics: a bad file is an error that names the file, the line where there is one, and
//! what to do.

#![forbid(unsafe_code)]

pub mod algorithms;
pub mod cicada;
pub mod config;
pub mod durable;
pub mod factor_kinds;
mod file;
mod hex;
pub mod installation;
pub mod keys;
pub mod layout;
pub mod machine;
pub mod names;
mod nearest;
pub mod peers;
pub mod policy;
mod resolve;
pub mod settings;
pub mod site;
pub mod unlock_policy;
mod value;

pub use algorithms::{
    AuditHash, AuthMode, CryptoProfile, FactorKind, Hkdf, Kdf, NoiseCipher, NoiseHash, PeerProfile,
    Requirement, UnknownName,
};
pub use cicada::{CicadaConfig, CicadaConfigError, CicadaOperation, CicadaOperations, Grants};
pub use config::Assignment;
pub use factor_kinds::{FactorKinds, FactorKindsError};
pub use file::{FileError, Untrusted};
pub use installation::{Installation, InstallationError, NewInstallationError};
pub use keys::{Key, Kind, Value, ValueError};
pub use layout::{Daemon, Environment, Layout, LayoutError, LayoutKind};
pub use machine::{BindTo, MachineBinding, MachineBindingError, MachineError};
pub use names::{
    MAX_SECRET_VALUE_BYTES, NameError, OrgNamespace, PeerName, ProfileName, SecretName,
};
pub use peers::{Peer, PeerSetError, Peers, PeersError, Role};
pub use policy::PolicyEntry;
pub use settings::{
    AuditSettings, AuthSettings, CryptoSettings, EnrolmentSettings, MemorySettings,
    SandboxSettings, Settings, UnlockSettings,
};
pub use site::{ConfigError, Contradiction, Effective, Origin, Site};
pub use unlock_policy::{MAX_ADDITIONAL_REQUIRED, UnlockPolicy, UnlockPolicyError};

#[cfg(test)]
mod robustness;
