//! The keys of a hybrid identity, all of it that is private in secret memory.
//!
//! - X25519 (RFC 7748): the key of a WireGuard interface.
//! - ML-KEM-768 (FIPS 203): agrees on a shared secret, such as a preshared key for WireGuard.
//! - ML-DSA-65 (FIPS 204): signs. A second implementation verifies each signature before it leaves.
//!
//! All of them grow from the 128 bytes of [`Seeds`], which is what is stored. [`IdentityKeys`] are what
//! grew, kept for as long as they are used; [`encapsulate`] and [`verify`] are for whoever has the
//! public keys only.
#![forbid(unsafe_code)]

#[cfg(test)]
mod acvp;
mod identity;
mod kem;
mod seeds;
mod signature;
mod stack;

pub use identity::{IdentityKeys, KeyError, PublicKeys};
pub use kem::{Ciphertext, EncapsulateError, EncapsulationKey, encapsulate};
pub use seeds::{NoRandomBytes, Seeds};
pub use signature::{SignError, Signature, VerifyingKey, verify};

/// Bytes of the seeds of an identity: X25519 32, ML-KEM-768 64, ML-DSA-65 32.
pub const SEED_BYTES: usize = 128;
/// Bytes of an X25519 key, private or public (RFC 7748 §5).
pub const X25519_BYTES: usize = 32;
/// Bytes of an ML-KEM-768 encapsulation key (FIPS 203 §8, table 3).
pub const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext (FIPS 203 §8, table 3).
pub const CIPHERTEXT_BYTES: usize = 1088;
/// Bytes of what ML-KEM-768 agrees on (FIPS 203 §8, table 3).
pub const SHARED_SECRET_BYTES: usize = 32;
/// Bytes of an ML-DSA-65 public key (FIPS 204 §4, table 2).
pub const VERIFYING_KEY_BYTES: usize = 1952;
/// Bytes of an ML-DSA-65 signature (FIPS 204 §4, table 2).
pub const SIGNATURE_BYTES: usize = 3309;
