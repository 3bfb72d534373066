//! From people's factors to the keys of a vault.
//!
//! ```text
//! evidence ──▶ factor secret ──▶ private key ──opens──▶ piece ─┐
//! evidence ──▶ factor secret ──▶ private key ──opens──▶ piece ─┴─(policy tree)──▶ KEK ──unwraps──▶ master key
//! master key ──derive──▶ vault key, row key, metadata key
//! ```
//!
//! - [`kdf`]: passwords to factor secrets (Argon2id, PBKDF2), parameters stored with what they made.
//! - [`derive`]: one key from another (BLAKE3, HKDF-SHA256), a context string for each purpose.
//! - [`parameters`], [`factor`]: what is stored of a factor, and the secret that it gives.
//! - [`kem`]: a piece sealed to a factor's public key (X-Wing).
//! - [`threshold`]: a key in `n` parts of which `k` give it back (Shamir).
//! - [`policy_tree`]: the unlock policy as an AND of thresholds.
//! - [`enrolment`], [`metadata`]: who may unlock, as it lies on disk, authenticated as a whole.
//! - [`share`]: recovery shares as custodians hold them.
//! - [`wrap`]: a key under a key (AES-256-GCM) with associated data.
//! - [`master`]: the master key and what hangs from it.

#![forbid(unsafe_code)]

pub mod derive;
pub mod enrolment;
pub mod factor;
pub mod hex;
pub mod kdf;
pub mod kem;
pub mod master;
pub mod metadata;
pub mod parameters;
pub mod policy_tree;
pub mod share;
pub mod threshold;
pub mod wrap;

pub use derive::Derivation;
pub use enrolment::{Binding, Enrolment, EnrolmentError};
pub use factor::{Factor, FactorSecret, Label};
pub use kdf::{KdfError, KdfParameters, WorkingMemory};
pub use master::MasterKey;
pub use metadata::{FactorError, Metadata, MetadataError, OpenError};
pub use parameters::Parameters;
pub use policy_tree::Pieces;
