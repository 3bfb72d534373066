//! The formats of a transparency log that C2SP specifies, over the tree of RFC 6962.
//!
//! - [`merkle`]: the tree, in logarithmic memory, and proofs that a leaf is in it.
//! - [`note`]: a text with signatures below it (C2SP signed-note); [`name`]: who signs.
//! - [`checkpoint`]: how large a log is and what its root is (C2SP tlog-checkpoint).
//! - [`cosignature`]: what exactly is signed, and by which algorithm (C2SP tlog-cosignature).
//! - [`verifier_key`] and [`keys`]: public keys; [`sign`]: the secret ones, and signing.
//! - [`proof`]: a file that proves that an entry is in a log (C2SP tlog-proof).
//!
//! # Hybrid keys
//!
//! Whoever signs here has two keys of one name, Ed25519 and ML-DSA-44, and a signature counts only
//! when both are there and right. So a forger has to break both.
//!
//! Nothing here knows what an entry of a log says.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod cosignature;
mod encoding;
pub mod keys;
pub mod merkle;
pub mod name;
pub mod note;
pub mod proof;
#[cfg(test)]
mod published;
pub mod sign;
pub mod verifier_key;

pub use checkpoint::{AddError, Checkpoint, CheckpointError, SignedCheckpoint};
pub use cosignature::SignatureError;
pub use keys::{KeyFileError, PublicKeys, Role};
pub use name::{KeyId, KeyName, KeyNameError};
pub use note::{Note, NoteError, Signature};
pub use proof::{ProofError, TlogProof};
pub use sign::{SignError, SigningKeys};
pub use verifier_key::{SignatureType, VerifierKey, VerifierKeyError};
