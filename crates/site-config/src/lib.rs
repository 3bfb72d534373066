//! Everything that a site decides, parsed once into checked types.
//!
//! - [`Layout`] says where things live: a system, a user's session, or one directory.
//! - [`Site`] is `config.toml` under `policy.toml`: the [`Settings`] that hold, where each came from,
//!   and an error for every contradiction (DESIGN, policy lock).
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
pub mod config;
pub mod durable;
mod file;
mod hex;
pub mod installation;
pub mod keys;
pub mod layout;
pub mod names;
mod nearest;
pub mod peers;
pub mod policy;
mod resolve;
pub mod settings;
pub mod site;

pub use algorithms::{
    AuditHash, CryptoProfile, Hkdf, Kdf, NoiseCipher, NoiseHash, PeerProfile, Requirement,
    UnknownName,
};
pub use config::Assignment;
pub use file::{FileError, Untrusted};
pub use installation::{Installation, InstallationError, MachineError, NewInstallationError};
pub use keys::{Key, Kind, Value};
pub use layout::{Daemon, Environment, Layout, LayoutError, LayoutKind};
pub use names::{
    MAX_SECRET_VALUE_BYTES, NameError, OrgNamespace, PeerName, ProfileName, SecretName,
};
pub use peers::{Peer, PeerSetError, Peers, PeersError, Role};
pub use policy::PolicyEntry;
pub use settings::{
    AuditSettings, CryptoSettings, EnrolmentSettings, MemorySettings, SandboxSettings, Settings,
    UnlockSettings,
};
pub use site::{ConfigError, Contradiction, Effective, Origin, Site};

#[cfg(test)]
mod robustness;
