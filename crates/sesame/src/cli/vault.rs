//! The arguments of `sesame vault`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::factor::Giving;

#[derive(Debug, Subcommand)]
pub enum Vault {
    /// Write an encrypted backup of a profile into a new file
    Backup {
        /// The file; it must not exist
        file: PathBuf,
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
    },
    /// Make a new profile out of a backup; its factors are needed
    Restore(Restore),
}

/// `vault restore`
#[derive(Args, Debug)]
pub struct Restore {
    /// The backup
    pub file: PathBuf,
    /// The name of the new profile
    #[arg(long)]
    pub profile: String,
    #[command(flatten)]
    pub giving: Giving,
}
