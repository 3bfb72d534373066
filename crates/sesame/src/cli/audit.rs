//! The arguments of `sesame audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Show the newest entries
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 10)]
        lines: u64,
    },
    /// Show the head of the trail for paper: as text, as words to read aloud, and as a QR code
    Head,
    /// Make a signed checkpoint over the trail as it is
    Seal,
    /// Verify the trail of this installation, or an exported one
    Verify(Verify),
    /// Export the trail into a new directory or tar file, on a stick for instance
    Export(Export),
    /// Show the trail's public key, for whoever is to verify it
    Key,
    /// Make a new signing key; the old one signs it into the trail, and is destroyed
    RotateKey,
    /// Prove that one entry is in the trail, for somebody who is not to see the others
    Prove(Prove),
    /// Verify such a proof
    VerifyProof(VerifyProof),
    /// Become a witness: make a key that cosigns the checkpoints of other machines
    Witness {
        /// Your name in every cosignature, such as example.org/alice
        name: String,
    },
    /// As a witness, cosign an exported trail that continues the one that you saw last
    Cosign {
        /// The exported directory
        directory: PathBuf,
        /// The trail's public key; remembered from then on
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

/// `audit verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// An exported directory or tar file, or a copy of the trail's directory
    #[arg(long, value_name = "PATH")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub pin: Pin,
    /// A head noted before: its words, or SIZE:ROOT; `-` asks for it
    #[arg(long, value_name = "WORDS", num_args = 1..)]
    pub expect_head: Vec<String>,
    /// The trail had at least this many entries
    #[arg(long, value_name = "N")]
    pub expect_size: Option<u64>,
    /// Let entries that no checkpoint covers be an error
    #[arg(long)]
    pub require_sealed: bool,
}

/// The key that must have signed.
#[derive(Debug, Args)]
pub struct Pin {
    /// The trail's public key, as `sesame audit key` showed it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    #[command(flatten)]
    pub witnesses: Witnesses,
}

/// Who must have cosigned.
#[derive(Debug, Args)]
pub struct Witnesses {
    /// The public key of a witness; once for each
    #[arg(long = "witness", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How many of the witnesses must have cosigned [default: all]
    #[arg(long = "witnesses-required", value_name = "K", requires = "files")]
    pub required: Option<usize>,
}

/// `audit export`
#[derive(Debug, Args)]
pub struct Export {
    /// A directory that does not exist or is empty, or a new file that ends in .tar
    #[arg(value_name = "DIR|FILE.tar")]
    pub destination: PathBuf,
}

/// `audit prove`
#[derive(Debug, Args)]
pub struct Prove {
    /// The number of the entry, as `sesame audit tail` shows it
    pub entry: u64,
    /// From an exported directory or tar file instead of this installation's trail
    #[arg(long, value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// The proof [default: entry-N.tlog-proof]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `audit verify-proof`
#[derive(Debug, Args)]
pub struct VerifyProof {
    /// The proof
    pub proof: PathBuf,
    /// The trail's public key, as `sesame audit key` showed it
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    #[command(flatten)]
    pub witnesses: Witnesses,
}
