//! The arguments of `sesame cicada`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

/// The secret that holds the unlock key unless another one is named.
pub const UNLOCK_KEY_SECRET: &str = "cicada/unlock-key";

#[derive(Args, Debug)]
pub struct Cicada {
    /// Where cicada listens [default: its place in this installation]
    #[arg(long, global = true, value_name = "PATH", display_order = 100)]
    pub socket: Option<PathBuf>,
    #[command(subcommand)]
    pub command: CicadaCommand,
}

#[derive(Debug, Subcommand)]
pub enum CicadaCommand {
    /// Make an unlock key, keep it, and make a key store with it
    Init(NewUnlockKey),
    /// Let keys be used
    Unlock(UnlockKey),
    /// Forget all keys until the next unlock
    Lock,
    /// Show state, algorithms and isolation; exit 0 only when no check of the isolation fails
    Status,
    /// Identities: each has keys for WireGuard, for agreeing on secrets and for signatures
    #[command(subcommand)]
    Identity(Identity),
    /// Check cicada.toml, and show who may do what; needs no daemon
    Rules,
}

#[derive(Debug, Subcommand)]
pub enum Identity {
    /// Make an identity with new keys
    Create {
        /// Its name
        name: String,
    },
    /// List the identities that you have a rule for
    List,
    /// Show the public keys of an identity
    Show(Show),
    /// Give an identity new keys; those of before stay readable for a time of grace
    Rotate {
        /// Its name
        name: String,
        /// How long the keys of before stay readable, such as 7d or 12h [default: as cicada.toml says]
        #[arg(long, value_name = "TIME", value_parser = grace)]
        grace: Option<Duration>,
    },
    /// Destroy all keys of an identity, and never give its name again
    Revoke {
        /// Its name
        name: String,
        /// Do not ask for its name on the terminal
        #[arg(long)]
        yes: bool,
    },
    /// Write an identity, encrypted as it lies on disk, into a new file
    Backup {
        /// Its name
        name: String,
        /// The file, which must not exist; - for standard output
        file: PathBuf,
    },
    /// Bring an identity back from a backup
    Restore(RestoreIdentity),
}

/// `cicada init`
#[derive(Args, Debug)]
pub struct NewUnlockKey {
    /// Keep the key in this new file, of mode 0600, and not in the vault
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret", "profile"])]
    pub key_file: Option<PathBuf>,
    /// Keep the key as this secret, which must not exist
    #[arg(long, value_name = "NAME", default_value = UNLOCK_KEY_SECRET)]
    pub secret: String,
    /// The profile [default: the default profile]
    #[arg(long)]
    pub profile: Option<String>,
}

/// `cicada unlock`
#[derive(Args, Debug)]
pub struct UnlockKey {
    /// Read the key from this file and not from the vault; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret", "profile"])]
    pub key_file: Option<PathBuf>,
    /// The secret that holds the key
    #[arg(long, value_name = "NAME", default_value = UNLOCK_KEY_SECRET)]
    pub secret: String,
    /// The profile [default: the default profile]
    #[arg(long)]
    pub profile: Option<String>,
}

/// `cicada identity show`
// `--version` means that of the keys here.
#[derive(Args, Debug)]
#[command(disable_version_flag = true)]
pub struct Show {
    /// Its name
    pub name: String,
    /// An earlier version, while its time of grace lasts [default: the present one]
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
    /// Print the X25519 public key and nothing else, as `wg set` takes it
    #[arg(long, conflicts_with_all = ["ml_kem", "ml_dsa"])]
    pub wg: bool,
    /// Print the ML-KEM-768 public key (FIPS 203) and nothing else, in base64
    #[arg(long, conflicts_with = "ml_dsa")]
    pub ml_kem: bool,
    /// Print the ML-DSA-65 public key (FIPS 204) and nothing else, in base64
    #[arg(long)]
    pub ml_dsa: bool,
}

/// `cicada identity restore`
#[derive(Args, Debug)]
pub struct RestoreIdentity {
    /// The backup; - for standard input
    pub file: PathBuf,
    /// The unlock key of the time of the backup, in this file; - for standard input [default: the
    /// present key]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secret", "profile"])]
    pub key_file: Option<PathBuf>,
    /// The same, as this secret
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// The profile of that secret [default: the default profile]
    #[arg(long, requires = "secret")]
    pub profile: Option<String>,
}

/// Where an unlock key is, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPlace<'a> {
    /// In a file; `-` is standard input.
    File(&'a Path),
    /// In the vault of a profile.
    Secret { name: &'a str, profile: Option<&'a str> },
}

impl NewUnlockKey {
    pub fn place(&self) -> KeyPlace<'_> {
        place(self.key_file.as_deref(), &self.secret, self.profile.as_deref())
    }
}

impl UnlockKey {
    pub fn place(&self) -> KeyPlace<'_> {
        place(self.key_file.as_deref(), &self.secret, self.profile.as_deref())
    }
}

impl RestoreIdentity {
    /// Where the key of the time of the backup is, if it is another one than the present one.
    pub fn place(&self) -> Option<KeyPlace<'_>> {
        if self.key_file.is_none() && self.secret.is_none() {
            return None;
        }
        let secret = self.secret.as_deref().unwrap_or_default();
        Some(place(self.key_file.as_deref(), secret, self.profile.as_deref()))
    }
}

fn place<'a>(file: Option<&'a Path>, name: &'a str, profile: Option<&'a str>) -> KeyPlace<'a> {
    match file {
        Some(path) => KeyPlace::File(path),
        None => KeyPlace::Secret { name, profile },
    }
}

/// The daemon counts seconds; a part of one would be dropped in silence.
fn grace(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; it is a time such as 7d, 12h or 0s"))?;
    if time.subsec_nanos() > 0 || site_config::cicada::grace(time.as_secs()).is_none() {
        return Err("it is a number of whole seconds, and at most 3650 days".to_owned());
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_grace_is_whole_seconds_and_not_longer_than_the_daemon_takes() {
        assert_eq!(grace("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(grace("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(grace("0s"), Ok(Duration::ZERO));
        assert_eq!(grace("3650d"), Ok(Duration::from_secs(315_360_000)));
        for wrong in ["", "7", "week", "-1d", "1500ms", "3651d", "99999999999999999999d"] {
            assert!(grace(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_backup_is_restored_with_the_present_key_unless_another_place_is_named() {
        let mut arguments =
            RestoreIdentity { file: "x".into(), key_file: None, secret: None, profile: None };
        assert_eq!(arguments.place(), None);
        arguments.secret = Some("old".to_owned());
        assert_eq!(arguments.place(), Some(KeyPlace::Secret { name: "old", profile: None }));
        arguments.key_file = Some("k".into());
        assert_eq!(arguments.place(), Some(KeyPlace::File(Path::new("k"))));
    }
}
