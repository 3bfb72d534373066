//! The arguments of `sesame share`.

use clap::{Args, Subcommand};

use super::factor::Giving;

#[derive(Debug, Subcommand)]
pub enum Share {
    /// Make a recovery factor and split it into shares for custodians
    Split(Split),
    /// Prove that a share is intact; nothing is put together or unlocked
    Verify {
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
        /// Read the share from standard input: its words or the text of its QR code, and its
        /// passphrase in the line below
        #[arg(long)]
        share_stdin: bool,
    },
}

/// `share split`
#[derive(Args, Debug)]
pub struct Split {
    /// How many shares give the factor
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(2..=32))]
    pub threshold: u8,
    /// How many shares there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=32))]
    pub shares: u8,
    /// What the factor is to be called
    #[arg(long, default_value = "recovery")]
    pub label: String,
    /// The profile [default: the default profile]
    #[arg(long)]
    pub profile: Option<String>,
    /// Ask each custodian for a passphrase that locks the share
    #[arg(long, conflicts_with = "passphrases_stdin")]
    pub passphrases: bool,
    /// Read the passphrases from standard input, one a line, below the passwords that it may hold
    #[arg(long)]
    pub passphrases_stdin: bool,
    /// Print all shares at once, on a pipe too
    #[arg(long)]
    pub show_all: bool,
    #[command(flatten)]
    pub giving: Giving,
}
