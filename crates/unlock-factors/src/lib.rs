//! Unlock factors that a device or a program answers for: ssh-agent, TPM 2.0, FIDO2, YubiKey.
//!
//! Each driver turns a person's act into *evidence*: secret bytes that are the same every time, and
//! that nobody gets without the device. It runs in the command of the person who holds the device;
//! daemon-secrets, which gets the evidence, needs no access to any device.
//!
//! Each has `enroll`, which makes the public [`Parameters`](key_hierarchy::Parameters) and the first
//! evidence, and `evidence`, which asks again. Passwords and shares need no driver.
//!
//! | kind | what is stored | what the evidence is | what it needs | how it was tested |
//! | --- | --- | --- | --- | --- |
//! | `password` | the KDF, its costs and salt | the password | – | in `key-hierarchy` |
//! | `ssh-agent` | public key, 32 random bytes | the Ed25519 signature (64 bytes) or the RSA PKCS#1 v1.5 signature by SHA-512 (256 to 2048 bytes) over those bytes | an agent with the key at `SSH_AUTH_SOCK` | with the agent of OpenSSH; signatures against ed25519-dalek and OpenSSL |
//! | `tpm` | the sealed object, the numbers of the PCRs, the name of the TPM's key | 32 random bytes that the TPM unseals | a TPM 2.0, feature `tpm`, libtss2 | with a software TPM |
//! | `fido2` | the credential's id, a salt of 32 bytes | the hmac-secret output (32 bytes) | a token with hmac-secret, feature `fido2`, libfido2 | see the module |
//! | `yubikey` | serial number, slot, 32 random bytes | the HMAC-SHA1 of those bytes (20 bytes) | a slot set to challenge-response, feature `yubikey` | with a mock; not on hardware |
//! | `share` | threshold, a check value for each share | the recovery secret | so many custodians | in `key-hierarchy` |
//!
//! Evidence lives in [`SecretBytes`](secret_memory::SecretBytes) from the moment it is read, and no
//! error contains any. What libraries leave on the heap is wiped where the program's allocator is
//! [`WipingAllocator`](secret_memory::WipingAllocator).

#![forbid(unsafe_code)]

pub mod availability;
#[cfg(feature = "fido2")]
pub mod fido2;
pub mod ssh_agent;
#[cfg(feature = "tpm")]
pub mod tpm;
#[cfg(feature = "yubikey")]
pub mod yubikey;

pub use availability::{Availability, Environment, available};
