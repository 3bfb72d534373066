//! What a program uses to get keys and signatures from `cicada`: a blocking client of its socket.
//!
//! A request is one JSON object, a reply another, on a Unix socket whose owner, group and mode say who
//! may connect; `cicada.toml` says who may do what. [`Client`] has a method for each operation and
//! returns types that were checked: a key has 32 bytes, a signature 3309.
//!
//! Secrets that cross the connection (a private key, a shared secret, the unlock key) exist in
//! [`secret_memory`] only, the bytes of their JSON included. A program chooses the policy of that memory
//! once, before its first secret; without that it gets [`secret_memory::Policy::Prefer`], which is
//! ordinary locked memory where the kernel has no memfd_secret(2).
//!
//! ```no_run
//! use cicada_client::Client;
//! use secret_memory::{DEFAULT_ARENA_BYTES, Policy};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! secret_memory::init(Policy::Require, DEFAULT_ARENA_BYTES, 0)?;
//! let mut cicada = Client::connect(cicada_client::SOCKET)?;
//! let private_key = cicada.get_key("cloud-sync", None)?;
//! let signature = cicada.sign("cloud-sync", b"what this host says")?;
//! drop(cicada);
//! # let _ = (private_key.expose(), signature);
//! # Ok(())
//! # }
//! ```
//!
//! A program whose secrets matter as much outside this crate also makes
//! [`secret_memory::WipingAllocator`] its global allocator, so that what a library frees is wiped.
//!
//! `examples/cloud-sync` is a whole program: it makes a WireGuard tunnel with a post-quantum preshared
//! key out of what cicada gives it.

#![forbid(unsafe_code)]

mod administration;
mod base64;
mod client;
mod connection;
mod error;
mod reply;
mod request;

pub use client::{Client, DEFAULT_TIMEOUT};
pub use connection::{MAX_REPLY_BYTES, MAX_REQUEST_BYTES};
pub use error::{ClientError, Code};
pub use reply::{
    Backup, Encapsulated, IdentitySummary, IsolationCheck, PublicKey, Revocation, State, Status,
};

/// Where cicada listens on a host that it was installed on.
pub const SOCKET: &str = "/run/cicada/cicada.sock";

/// The `type` of every identity: X25519 (RFC 7748) with ML-KEM-768 (FIPS 203).
pub const KEY_TYPE: &str = "x25519+kyber768";

/// The `algorithm` of every signature: ML-DSA-65 (FIPS 204, the final version).
pub const SIGNATURE_ALGORITHM: &str = "dilithium3";

/// The `algorithm` of every shared secret: ML-KEM-768 (FIPS 203, the final version).
pub const KEM_ALGORITHM: &str = "kyber768";

/// Size of an ML-KEM-768 encapsulation key, in bytes (FIPS 203, table 3).
pub const ML_KEM_768_PUBLIC_BYTES: usize = 1184;

/// Size of an ML-KEM-768 ciphertext, in bytes (FIPS 203, table 3).
pub const ML_KEM_768_CIPHERTEXT_BYTES: usize = 1088;

/// Size of an ML-DSA-65 verification key, in bytes (FIPS 204, table 2).
pub const ML_DSA_65_PUBLIC_BYTES: usize = 1952;

/// Size of an ML-DSA-65 signature, in bytes (FIPS 204, table 2).
pub const ML_DSA_65_SIGNATURE_BYTES: usize = 3309;
