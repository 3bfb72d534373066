//! `cargo xtask image`: the ceremony appliance, built from the Debian packages that a lock file names, by
//! mkosi, in a tools tree of such packages.
//!
//! - [`lock`]: the lock file. [`apt`] makes and fetches what it names, [`repository`] hands it to apt again.
//! - [`tools`]: the tools tree; [`enter`]: running something inside it.
//! - [`binaries`]: our programs, built in that tree; [`stage`]: where each file goes in the image.
//! - [`build`]: mkosi, and what is written about its outcome ([`results`], [`sbom`]) and the sources ([`git`]).
//! - [`check`]: two builds must be one.
//! - [`sign`]: Secure Boot, and the manifest's signature. [`usb`]: the image on a stick. [`boot`]: a trial.

#![forbid(unsafe_code)]

mod apt;
mod binaries;
mod boot;
mod build;
mod check;
mod enter;
mod failed;
mod git;
mod lock;
mod places;
mod repository;
mod results;
mod sbom;
mod sign;
mod stage;
mod tools;
mod tree;
mod usb;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::failed::Failed;
use crate::places::Places;

/// Builds the ceremony appliance; called by `cargo xtask image`.
#[derive(Parser)]
#[command(name = "image")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the image into target/image.
    Build(Sources),
    /// Build it a second time elsewhere, and compare the two bit for bit.
    Check {
        #[command(flatten)]
        sources: Sources,
        /// Don't build tools and our programs a second time (some minutes less).
        #[arg(long)]
        keep_programs: bool,
    },
    /// Resolve the packages anew, and write the lock file.
    Lock(Sources),
    /// Make the tools tree only.
    Tools(Sources),
    /// Sign the UKI for Secure Boot, and the manifest.
    Sign(sign::Sign),
    /// Write what has to be signed by a key that is elsewhere.
    SignExport(sign::Export),
    /// Take the signatures that were made there.
    SignImport(sign::Import),
    /// Boot the image in QEMU, with its console on this terminal.
    Boot(boot::Boot),
    /// Write the image to a stick, and read it back.
    Usb(usb::Usb),
    /// Run a program inside the tools tree.
    #[command(hide = true)]
    Enter(enter::Enter),
}

/// Where things come from and go to.
#[derive(Args, Clone)]
struct Sources {
    /// The sources of Sesame.
    #[arg(long)]
    source: PathBuf,
    /// Where to build: target/image.
    #[arg(long)]
    output: PathBuf,
    /// Debian's archive (pool/main/…); the last one given counts.
    #[arg(long, overrides_with = "mirror")]
    mirror: String,
    /// Debian's security archive; the last one given counts.
    #[arg(long, overrides_with = "security_mirror")]
    security_mirror: String,
    /// Take a Rust compiler that makes another image than the published one.
    #[arg(long)]
    any_compiler: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(reason)) => {
            eprintln!("image: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failed> {
    match command {
        Command::Build(sources) => build::build(&Places::new(&sources)?),
        Command::Check { sources, keep_programs } => {
            check::check(&Places::new(&sources)?, keep_programs)
        }
        Command::Lock(sources) => lock::refresh(&Places::new(&sources)?),
        Command::Tools(sources) => tools::ensure(&Places::new(&sources)?).map(drop),
        Command::Sign(arguments) => sign::sign(&arguments),
        Command::SignExport(arguments) => sign::export(&arguments),
        Command::SignImport(arguments) => sign::import(&arguments),
        Command::Boot(arguments) => boot::boot(&arguments),
        Command::Usb(arguments) => usb::usb(&arguments),
        Command::Enter(enter) => enter::run(enter),
    }
}
