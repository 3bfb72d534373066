//! What a vault is opened with.

use secret_memory::Secret;

/// The two keys of a vault, both derived from the profile's master key.
#[derive(Debug)]
pub struct Keys {
    /// SQLCipher's raw key. Needed for opening only, and wiped right after.
    pub database: Secret<32>,
    /// The AES-256-GCM key of the values.
    pub rows: Secret<32>,
}

/// Where a vault belongs. Every value is bound to it, so that it opens nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The installation's UUID, as bytes.
    pub installation: [u8; 16],
    /// Name of the profile.
    pub profile: String,
}
