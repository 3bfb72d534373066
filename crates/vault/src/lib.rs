//! The vault of a profile: named secrets in one SQLCipher file, `vault.db`.
//!
//! Three layers, each against something else:
//!
//! - SQLCipher (AES-256-CBC, HMAC-SHA512 over every 4096-byte page) against somebody who has the
//!   file: nothing is readable, and a changed page does not pass for a page of this vault.
//! - AES-256-GCM over every value, bound to installation, profile and name, against somebody who
//!   can write *inside* the database: a value shown under another name is [`VaultError::Tampered`].
//! - [`install_allocators`] against somebody who reads the memory of this process: SQLite and
//!   OpenSSL allocate in the secret arena, so that no page, key or value has a copy elsewhere.
//!
//! What neither layer sees is a whole file replaced by an older copy of itself. That is what the
//! audit trail is for.
//!
//! A [`Vault`] holds the file exclusively: a second process gets [`VaultError::InUse`]. Within the
//! process nobody else may open the file, not even to read it, since closing any descriptor of it
//! drops the POSIX locks that the exclusion consists of.
#![deny(unsafe_code)]

mod connection;
mod create;
mod error;
#[allow(unsafe_code)]
mod ffi;
mod keys;
mod seal;
mod store;

pub use error::VaultError;
pub use ffi::{AllocatorError, install_allocators};
pub use keys::{Context, Keys};
pub use store::{MAX_NAME_BYTES, MAX_VALUE_BYTES, Vault, Written};
