//! The arguments of `sesame factor`, and those that every command has which asks for factors.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use key_hierarchy::Label;
use site_config::{AuthMode, FactorKind};

use crate::password::PasswordSource;

#[derive(Debug, Subcommand)]
pub enum Factor {
    /// List the factors of a profile and what unlocks it
    List {
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
        /// List instead which kinds of factors can be used on this machine
        #[arg(long, conflicts_with = "profile")]
        available: bool,
        #[command(flatten)]
        devices: Devices,
    },
    /// Add a factor to a profile
    Enroll(Enroll),
    /// Remove a factor; the profile gets a new master key
    Revoke {
        /// Its number or label, as `sesame factor list` shows them
        factor: String,
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
        #[command(flatten)]
        giving: Giving,
    },
    /// Call a factor something else
    Rename {
        /// Its number or label, as `sesame factor list` shows them
        factor: String,
        /// What it is to be called
        label: String,
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
        #[command(flatten)]
        giving: Giving,
    },
    /// Prove that a factor still works; nothing is unlocked
    Test {
        /// Its number or label, as `sesame factor list` shows them
        factor: String,
        /// The profile [default: the default profile]
        #[arg(long)]
        profile: Option<String>,
        #[command(flatten)]
        giving: Giving,
    },
    /// Show or change how the factors of a profile combine
    Policy(FactorPolicy),
    /// Give your factors for a change that somebody else asked for
    Approve(Approve),
    /// Forget what was given of factors, for an unlock or a change
    Cancel {
        /// The profile [default: the default profile]
        #[arg(long, conflicts_with = "restore")]
        profile: Option<String>,
        /// The profile that a backup was to become; what was read of it is removed
        #[arg(long, value_name = "PROFILE")]
        restore: Option<String>,
    },
}

/// `factor enroll`
#[derive(Args, Debug)]
pub struct Enroll {
    /// What it is: password, ssh-agent, tpm, fido2 or yubikey
    #[arg(value_parser = device_kind)]
    pub kind: FactorKind,
    /// What it is to be called [default: its kind]
    #[arg(long)]
    pub label: Option<String>,
    /// The profile [default: the default profile]
    #[arg(long)]
    pub profile: Option<String>,
    #[command(flatten)]
    pub giving: Giving,
    #[command(flatten)]
    pub options: EnrollOptions,
}

/// `factor policy`
#[derive(Args, Debug)]
pub struct FactorPolicy {
    /// How they are to combine [default: show how they do]
    #[arg(value_enum)]
    pub mode: Option<PolicyMode>,
    /// With `policy`: a kind of which one factor is needed; once for each
    #[arg(long = "require", value_name = "KIND", requires = "mode", value_parser = kind)]
    pub required: Vec<FactorKind>,
    /// With `policy`: how many of the other factors are needed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub additional: u8,
    /// The profile [default: the default profile]
    #[arg(long)]
    pub profile: Option<String>,
    #[command(flatten)]
    pub giving: Giving,
}

/// `factor approve`
#[derive(Args, Debug)]
pub struct Approve {
    /// The profile that is to change [default: the default profile]
    #[arg(long, conflicts_with = "restore")]
    pub profile: Option<String>,
    /// The profile that a backup is to become
    #[arg(long, value_name = "PROFILE")]
    pub restore: Option<String>,
    /// Do not ask whether the change is the right one
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub chosen: Chosen,
    #[command(flatten)]
    pub giving: Giving,
}

/// Where the factors come from that a command asks for.
#[derive(Args, Clone, Debug, Default)]
pub struct Giving {
    #[command(flatten)]
    pub password: PasswordSource,
    #[command(flatten)]
    pub devices: Devices,
}

/// Which factors a person wants to give.
#[derive(Args, Clone, Debug, Default)]
pub struct Chosen {
    /// Give only this factor, by number or label; once for each [default: all that are needed]
    #[arg(long = "factor", value_name = "ID|LABEL")]
    pub factors: Vec<String>,
}

/// Where devices are.
#[derive(Args, Clone, Debug, Default)]
pub struct Devices {
    /// How the TPM is reached [default: device:/dev/tpmrm0]
    #[arg(long, value_name = "TCTI", env = "SESAME_TCTI", help_heading = DEVICES)]
    pub tcti: Option<String>,
    /// The hidraw device of the FIDO2 key [default: the one that fits]
    #[arg(long, value_name = "PATH", help_heading = DEVICES)]
    pub fido2_device: Option<PathBuf>,
}

/// What a new factor is to be like.
#[derive(Args, Clone, Debug, Default)]
pub struct EnrollOptions {
    /// ssh-agent: the key, by fingerprint or comment [default: the only one that can be used]
    #[arg(long, value_name = "KEY", help_heading = NEW)]
    pub ssh_key: Option<String>,
    /// tpm: the PCRs that must not change, such as 7,11 [default: none]
    #[arg(long, value_name = "PCRS", value_delimiter = ',', help_heading = NEW)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..24))]
    pub pcrs: Vec<u8>,
    /// tpm: ask for a PIN that it is to demand
    #[arg(long, help_heading = NEW)]
    pub tpm_pin: bool,
    /// fido2: let it demand its PIN each time
    #[arg(long, help_heading = NEW)]
    pub fido2_pin: bool,
    /// yubikey: the slot [default: 2]
    #[arg(long, value_name = "SLOT", help_heading = NEW)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=2))]
    pub yubikey_slot: Option<u8>,
    /// yubikey: the serial number [default: the only one that is plugged in]
    #[arg(long, value_name = "NUMBER", help_heading = NEW)]
    pub yubikey_serial: Option<u32>,
}

const DEVICES: &str = "Devices";
const NEW: &str = "New factors";

/// A factor that a new profile is to have: `KIND` or `KIND=LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFactorSpec {
    pub kind: FactorKind,
    pub label: String,
}

impl NewFactorSpec {
    /// A factor of this kind, called like it when nothing else is said.
    pub fn new(kind: FactorKind, label: Option<&str>) -> Result<Self, String> {
        let label = label.unwrap_or(kind.as_str()).to_owned();
        Label::try_from(label.as_str()).map_err(|error| error.to_string())?;
        Ok(Self { kind, label })
    }
}

impl FromStr for NewFactorSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((kind, label)) => Self::new(device_kind(kind)?, Some(label)),
            None => Self::new(device_kind(text)?, None),
        }
    }
}

fn kind(text: &str) -> Result<FactorKind, String> {
    text.parse().map_err(|error: site_config::UnknownName| error.to_string())
}

/// Shares are made by splitting, when there is a profile.
fn device_kind(text: &str) -> Result<FactorKind, String> {
    match kind(text)? {
        FactorKind::Share => {
            Err("recovery shares are made with `sesame share split`, once there is a profile"
                .to_owned())
        }
        kind => Ok(kind),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyMode {
    /// Each factor alone
    Any,
    /// All of them together
    All,
    /// One of each required kind, with so many of the others
    Policy,
}

impl From<PolicyMode> for AuthMode {
    fn from(mode: PolicyMode) -> Self {
        match mode {
            PolicyMode::Any => Self::Any,
            PolicyMode::All => Self::All,
            PolicyMode::Policy => Self::Policy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_called_like_its_kind_or_as_it_is_said() {
        let spec = |text: &str| text.parse::<NewFactorSpec>();
        let named = |kind, label: &str| Ok(NewFactorSpec { kind, label: label.to_owned() });
        assert_eq!(spec("password"), named(FactorKind::Password, "password"));
        assert_eq!(spec("password=alice"), named(FactorKind::Password, "alice"));
        assert_eq!(spec("ssh-agent=a=b"), named(FactorKind::SshAgent, "a=b"));
    }

    #[test]
    fn what_is_no_factor_says_why() {
        let refused = |text: &str| text.parse::<NewFactorSpec>().unwrap_err();
        assert!(refused("retina").contains("the factor is one of \"password\""));
        assert!(refused("share=board").contains("`sesame share split`"));
        assert!(refused("tpm=").contains("a label has 1 to 64 bytes"));
        assert!(refused("tpm= x").contains("a label has 1 to 64 bytes"));
    }
}
