//! The manifest of an image: what its disk, kernel and root file system must be, to the last byte.

mod describe;
mod field;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

pub use describe::{DescribeError, Description};
pub use field::{Commit, FieldError, FileName, Salt, Text};

/// The longest manifest, in bytes: some thousand packages.
pub const MAX_MANIFEST: u64 = 4 << 20;

/// The most packages.
const MAX_PACKAGES: usize = 20_000;

/// The content of `NAME_VERSION.manifest.json`.
///
/// Every field is there; a field that isn't known is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Which format this is.
    pub format: Format,
    /// The name of the image, such as `sesame-ceremony`.
    pub name: Text<64>,
    /// Its version.
    pub version: Text<64>,
    /// For which machines it is.
    pub architecture: Architecture,
    /// What it was built from.
    pub source: Source,
    /// The whole disk, unsigned, which anybody can build again bit for bit.
    pub disk: FileDigest,
    /// The unified kernel image on it, unsigned.
    pub uki: FileDigest,
    /// The verified file system on it: the root, or `/usr`.
    pub root: Root,
    /// What the UKI boots.
    pub kernel: Kernel,
    /// What PCR 11 is when the kernel starts; null where that is chosen at boot.
    #[serde(deserialize_with = "Option::deserialize")] // null, but not left out
    pub pcr11: Option<Pcr11>,
    /// The same image with a UKI signed for Secure Boot; null before it is signed.
    #[serde(deserialize_with = "Option::deserialize")] // null, but not left out
    pub signed: Option<Signed>,
    /// The packages in it, in the order of their names.
    pub packages: Vec<Package>,
    /// Its bill of materials, in SPDX; null where there is none.
    #[serde(deserialize_with = "Option::deserialize")] // null, but not left out
    pub sbom: Option<Sbom>,
}

/// The format of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The one that this crate reads and writes.
    #[serde(rename = "sesame-image-manifest/1")]
    V1,
}

/// For which machines an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86, as systemd spells it.
    #[serde(rename = "x86-64")]
    X86_64,
}

/// What an image was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The commit; null outside of a repository.
    #[serde(deserialize_with = "Option::deserialize")] // null, but not left out
    pub commit: Option<Commit>,
    /// Whether there were changes that the commit doesn't have.
    pub modified: bool,
    /// The time that the image carries, in seconds since 1970 (SOURCE_DATE_EPOCH).
    pub date: u64,
}

/// A file and its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Its name, without a directory.
    pub file: FileName,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// The verified file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Its length in bytes, as the hash tree covers it.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
    /// The root hash of its dm-verity tree.
    pub verity_root_hash: Digest,
    /// The salt of the tree.
    pub verity_salt: Salt,
}

/// What the UKI boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Its release, as `uname -r` prints it.
    pub release: Text<128>,
    /// Its command line.
    pub command_line: Text<4096>,
}

/// PCR 11 of the TPM, by bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pcr11 {
    /// Its value in the SHA-256 bank.
    pub sha256: Digest,
}

/// The image with a signed UKI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The whole disk.
    pub disk: FileDigest,
    /// The UKI on it.
    pub uki: FileDigest,
    /// The SHA-256 of the certificate (DER) that Secure Boot has to know.
    pub certificate_sha256: Digest,
}

/// A package in the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: Text<256>,
    /// Its version.
    pub version: Text<256>,
    /// Its architecture, as the distribution spells it.
    pub architecture: Text<32>,
    /// The SHA-256 of the package file.
    pub sha256: Digest,
}

/// The bill of materials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sbom {
    /// Its name, without a directory.
    pub file: FileName,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file can't be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than [`MAX_MANIFEST`] bytes.
    #[error("it is longer than {MAX_MANIFEST} bytes")]
    TooLong,
    /// Not the JSON of a manifest.
    #[error("it is not a manifest: {0}")]
    Json(String),
    /// More packages than any image has.
    #[error("it lists more than {MAX_PACKAGES} packages")]
    TooManyPackages,
    /// The command line doesn't carry the root hash.
    #[error("it contradicts itself: its command line does not carry its root hash")]
    RootHash,
}

impl Manifest {
    /// Reads a manifest and checks that it doesn't contradict itself.
    ///
    /// # Errors
    /// [`ManifestError`] says what it is instead.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(ManifestError::TooLong);
        }
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Json(error.to_string()))?;
        if manifest.packages.len() > MAX_PACKAGES {
            return Err(ManifestError::TooManyPackages);
        }
        let carried = crate::layout::root_hash_of(manifest.kernel.command_line.as_str());
        if carried != Some(manifest.root.verity_root_hash) {
            return Err(ManifestError::RootHash);
        }
        Ok(manifest)
    }

    /// The bytes of a manifest's file, or of its signature's: at most [`MAX_MANIFEST`].
    ///
    /// # Errors
    /// [`ManifestError::Io`] and [`ManifestError::TooLong`].
    pub fn read_file(path: &Path) -> Result<Vec<u8>, ManifestError> {
        let io = |source| ManifestError::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(io)?;
        file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(ManifestError::TooLong);
        }
        Ok(bytes)
    }

    /// The manifest as it is written: JSON in lines, in the order of the fields, always the same for
    /// the same manifest.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("no map with other keys than text");
        text.push('\n');
        text
    }

    /// Where the manifest of a disk image is expected: beside it, `.manifest.json` instead of its
    /// extension, and for `NAME.signed.raw` that of `NAME.raw` too.
    #[must_use]
    pub fn beside(disk: &Path) -> PathBuf {
        let stem = disk.with_extension("");
        let stem = match stem.extension() {
            Some(extension) if extension == "signed" => stem.with_extension(""),
            _ => stem,
        };
        let mut name = stem.into_os_string();
        name.push(".manifest.json");
        PathBuf::from(name)
    }

    /// Where the detached signature of a manifest is expected.
    #[must_use]
    pub fn signature_of(manifest: &Path) -> PathBuf {
        let mut name = manifest.as_os_str().to_owned();
        name.push(".sig");
        PathBuf::from(name)
    }
}
