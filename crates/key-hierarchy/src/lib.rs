//! From a person's factor to the keys of a vault.
//!
//! ```text
//! password ──Kdf──▶ factor secret ──derive──▶ KEK ──unwraps──▶ master key (32 random bytes)
//! master key ──derive──▶ vault key, row key, metadata key
//! ```
//!
//! - [`kdf`]: passwords to factor secrets (Argon2id, PBKDF2), parameters stored with what they made.
//! - [`derive`]: one key from another (BLAKE3, HKDF-SHA256), a context string for each purpose.
//! - [`wrap`]: a key under a key (AES-256-GCM) with associated data.
//! - [`master`]: the master key and what hangs from it.
//! - [`metadata`]: a profile's policy and factors as they lie on disk, authenticated as a whole.

#![forbid(unsafe_code)]

pub mod derive;
pub mod hex;
pub mod kdf;
pub mod master;
pub mod metadata;
pub mod wrap;

pub use derive::Derivation;
pub use kdf::{KdfError, KdfParameters, WorkingMemory};
pub use master::MasterKey;
pub use metadata::{Binding, Metadata, MetadataError, UnlockError};
