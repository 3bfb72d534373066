//! The arguments. `///` on a field is what `--help` says.

mod audit;
mod cicada;
mod factor;
#[cfg(test)]
mod help;
mod media;
mod share;
mod vault;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use uuid::Uuid;

pub use audit::{Audit, Export, Pin, Prove, Verify, VerifyProof, Witnesses};
pub use cicada::{
    Cicada, CicadaCommand, Identity, KeyPlace, NewUnlockKey, RestoreIdentity, Show, UnlockKey,
};
pub use factor::{
    Approve, Chosen, Devices, Enroll, EnrollOptions, Factor, FactorPolicy, Giving, NewFactorSpec,
    PolicyMode,
};
pub use media::{Media, VerifyMedia, WriteManifest};
pub use share::{Share, Split};
pub use vault::{Restore, Vault};

use crate::exit::Code;

/// Key ceremonies on an air-gapped machine: vaults, keys, and a trail that convicts a forger
#[derive(Debug, Parser)]
#[command(name = "sesame", version, after_long_help = exit_codes(), max_term_width = 100)]
#[command(propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Work on the installation in DIR instead of the default places
    #[arg(long, global = true, value_name = "DIR", env = "SESAME_DIR", display_order = 100)]
    pub dir: Option<PathBuf>,
    /// Print one JSON object (errors too, on standard error)
    #[arg(long, global = true, display_order = 100)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

fn exit_codes() -> String {
    let lines = Code::ALL.iter().map(|code| format!("  {:>3}  {}", code.number, code.meaning));
    format!("Exit codes:\n    0  done\n{}", lines.collect::<Vec<_>>().join("\n"))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new installation with its first profile and factors
    Init(Init),
    /// Destroy the installation, with all its vaults; the audit trail is kept
    Wipe {
        /// The installation to destroy, as `sesame status` shows it
        #[arg(long, value_name = "INSTALLATION-UUID")]
        i_understand: Uuid,
    },
    /// Start the daemons for this user's session (or for --dir); cicada too, when it has a cicada.toml
    Up,
    /// Stop the daemons that `up` started
    Down,
    /// Give your factors to unlock a profile
    Unlock(Unlock),
    /// Lock: forget the keys of a profile, or of all
    Lock {
        /// Only this profile
        #[arg(long)]
        profile: Option<String>,
    },
    /// Show installation, profiles and daemons, or this machine's security posture
    Status {
        /// Check kernel and daemons against the security floor; exit 0 only when it holds
        #[arg(long)]
        security_posture: bool,
    },
    /// Profiles: each has its own vault, keys and factors
    #[command(subcommand)]
    Profile(Profile),
    /// Factors: what unlocks a profile
    #[command(subcommand)]
    Factor(Factor),
    /// Recovery shares, for custodians
    #[command(subcommand)]
    Share(Share),
    /// Write, read, list and delete secrets
    #[command(subcommand)]
    Secret(Secret),
    /// Run a program with secrets in its environment or in inherited descriptors
    Run(Run),
    /// Encrypted backups of a profile with its vault
    #[command(subcommand)]
    Vault(Vault),
    /// The audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// Post-quantum identities, which cicada keeps for programs
    Cicada(Cicada),
    /// Boot media: verify a stick or an image, and say what this machine booted
    #[command(subcommand)]
    Media(Media),
    /// Settings: what is in force, and where it comes from
    #[command(subcommand)]
    Config(Config),
    /// The policy, which beats every other setting
    #[command(subcommand)]
    Policy(Policy),
    /// Show your public key, making it if you have none; or rotate a profile's master key
    #[command(args_conflicts_with_subcommands = true)]
    Key {
        #[command(subcommand)]
        command: Option<Key>,
    },
    /// Who may talk to the daemons
    #[command(subcommand)]
    Peer(Peer),
    /// Make the keys of the system's daemons, once (for root)
    Provision,
    /// Print shell completions
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Write the man pages
    Man {
        /// Into this directory
        directory: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct Init {
    /// Namespace of the organisation, such as example.org
    #[arg(long, value_name = "NAMESPACE")]
    pub org: Option<String>,
    /// What the installation is bound to
    #[arg(long, value_enum, default_value_t = MachineBinding::MachineId)]
    pub machine_binding: MachineBinding,
    /// Name of the first profile
    #[arg(long, default_value = "default")]
    pub profile: String,
    #[command(flatten)]
    pub factors: NewFactors,
}

/// The factors of a new profile.
#[derive(Args, Debug)]
pub struct NewFactors {
    /// A factor to enroll (password, ssh-agent, tpm, fido2 or yubikey), called LABEL or like its kind;
    /// once for each
    #[arg(long = "factor", value_name = "KIND[=LABEL]", default_value = "password")]
    pub specs: Vec<NewFactorSpec>,
    #[command(flatten)]
    pub giving: Giving,
    #[command(flatten)]
    pub options: EnrollOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MachineBinding {
    /// A keyed hash of /etc/machine-id, compared at every start of a daemon
    MachineId,
    /// The TPM: every profile also needs a factor of it, whatever its policy says
    Tpm,
    /// Nothing
    None,
}

/// `unlock`
#[derive(Args, Debug)]
pub struct Unlock {
    /// The profile [default: the default profile]
    #[arg(long)]
    pub profile: Option<String>,
    #[command(flatten)]
    pub chosen: Chosen,
    #[command(flatten)]
    pub giving: Giving,
}

#[derive(Debug, Subcommand)]
pub enum Profile {
    /// Make a profile with factors of its own
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        factors: NewFactors,
    },
    /// List the profiles
    List,
    /// Open the vault of an unlocked profile
    Activate {
        /// The profile
        name: String,
    },
    /// Close the vault of a profile and keep it unlocked
    Deactivate {
        /// The profile
        name: String,
    },
    /// Make a profile the one that is meant when none is named
    Default {
        /// The profile
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Write a secret; its value comes from standard input, or from a prompt without echo
    Set {
        /// Its name
        name: String,
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
    },
    /// Read a secret: its exact bytes to a pipe or file, to a terminal only with --show
    Get {
        /// Its name
        name: String,
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
        /// Show it on a terminal
        #[arg(long)]
        show: bool,
    },
    /// List the names of all secrets
    List {
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
    },
    /// Delete a secret
    Delete {
        /// Its name
        name: String,
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
    },
}

#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: those of the program; 126 when it can't be started, 127 when it \
                        isn't there, and those of `sesame --help` when it was not run."
)]
pub struct Run {
    /// The profile [default: the default profile]
    #[arg(long)]
    pub profile: Option<String>,
    /// Put the secret KEY into the environment variable ENV
    #[arg(long = "secret", value_name = "ENV=KEY")]
    pub secrets: Vec<String>,
    /// Let the program read the secret KEY from descriptor N
    #[arg(long = "secret-fd", value_name = "N=KEY")]
    pub secret_fds: Vec<String>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show every setting with its origin
    Show,
    /// Check configuration and policy
    Check,
    /// Describe every setting
    Keys,
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show the policy
    Show,
    /// Lock settings: write the policy, where there is none yet
    Lock {
        /// The settings to lock; the present value when only a key is given
        #[arg(required = true, value_name = "KEY[=VALUE]")]
        settings: Vec<String>,
        /// Who demands it, and where that is written
        #[arg(long)]
        source: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Give a profile a new master key, and encrypt its vault anew
    Rotate {
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
        #[command(flatten)]
        giving: Giving,
    },
}

#[derive(Debug, Subcommand)]
pub enum Peer {
    /// List the peers
    List,
    /// Add a person; the daemons take notice at their next start
    Add {
        /// A name for the trail
        name: String,
        /// The person's uid
        #[arg(long)]
        uid: u32,
        /// The person's public key, as `sesame key` shows it
        #[arg(long, value_name = "HEX")]
        key: String,
        /// What the person may do
        #[arg(long, value_enum, default_value_t = PersonRole::Operator)]
        role: PersonRole,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PersonRole {
    /// Everything but the daemons' own requests
    Operator,
    /// Give a factor, and prove that it works
    Custodian,
    /// Look, verify, export, and lock
    Auditor,
}
