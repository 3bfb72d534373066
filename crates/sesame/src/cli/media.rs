//! The arguments of `sesame media`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Media {
    /// Hold a stick or an image against its manifest, and show its hashes as words
    Verify(VerifyMedia),
    /// Write the manifest of an image
    Manifest(WriteManifest),
    /// Say what this machine booted: hashes as words, the security floor, PCR 11 and 4 (for root)
    Attest,
}

/// `media verify`
#[derive(Args, Debug)]
pub struct VerifyMedia {
    /// The image or the device [default: what this appliance booted from]
    pub path: Option<PathBuf>,
    /// Its manifest [default: PATH with .manifest.json for its extension, beside an image]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Demand that the manifest has a signature (FILE.sig beside it) of this certificate or public key
    #[arg(long, value_name = "PEM")]
    pub key: Option<PathBuf>,
}

/// `media manifest`
#[derive(Args, Debug)]
#[command(disable_version_flag = true)]
pub struct WriteManifest {
    /// The disk image
    pub disk: PathBuf,
    /// The name of the image
    #[arg(long)]
    pub name: String,
    /// Its version
    #[arg(long, value_name = "VERSION")]
    pub version: String,
    /// Its packages: a JSON array of objects with name, version, architecture and sha256
    #[arg(long, value_name = "FILE")]
    pub packages: Option<PathBuf>,
    /// Its bill of materials
    #[arg(long, value_name = "FILE")]
    pub sbom: Option<PathBuf>,
    /// The commit that it was built from
    #[arg(long, value_name = "HEX")]
    pub commit: Option<String>,
    /// The sources had changes that the commit doesn't have
    #[arg(long)]
    pub modified: bool,
    /// The time that the image carries, in seconds since 1970
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    pub date: u64,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
