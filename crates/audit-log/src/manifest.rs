//! What a bundle says that it holds.

use serde::{Deserialize, Serialize};

use crate::hash::{Hash, HashAlgorithm, Head};
use crate::timestamp::Timestamp;

/// The content of `manifest.json`.
///
/// It is not signed: it shows that a bundle was damaged on its way, and a forger writes it anew.
/// Against a forger, compare [`Manifest::head`] with a head from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the bundle, 1.
    pub format: u32,
    /// The UUID of the installation, from the genesis.
    pub installation: String,
    /// The function that chains the entries, from the genesis.
    pub hash: HashAlgorithm,
    /// The number of entries.
    pub entries: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// When the bundle was made, by the wall clock of the machine that made it.
    pub created: Timestamp,
    /// The segments, in order.
    pub files: Vec<ManifestFile>,
    /// The checkpoints, in order, by the number of entries that they cover. They have no digests:
    /// their signatures say more, and witnesses add to them.
    pub checkpoints: Vec<u64>,
}

/// A segment in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its name in `trail/`.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, as `sha256sum` prints it, whatever the trail hashes with.
    pub sha256: Hash,
}

impl Manifest {
    /// The format that this crate reads and writes.
    pub const FORMAT: u32 = 1;

    /// The number of entries, and the root over them.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { size: self.entries, root: self.root }
    }
}
