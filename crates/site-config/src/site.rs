//! A site's settings: what holds, where it came from, and what contradicts the policy.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::algorithms::PeerProfile;
use crate::config::{self, Assignment};
use crate::file::{self, FileError, Owner};
use crate::keys::{Key, UnknownKey, Value, ValueError};
use crate::layout::{Layout, LayoutKind, SYSTEM_CONFIG};
use crate::policy::{self, PolicyEntry};
use crate::resolve::resolve;
use crate::settings::Settings;
use crate::unlock_policy::UnlockPolicyError;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A `config.toml`.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An option of the command.
    CommandLine,
    /// The policy.
    Policy {
        /// Who demands it.
        source: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::CommandLine => f.write_str("command line"),
            Self::Policy { source } => write!(f, "policy ({source})"),
        }
    }
}

/// A setting that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Where the value came from; for what `crypto.profile` picked, where that was set.
    pub origin: Origin,
}

/// As a line of a listing: `key = value  # origin`, which is also TOML.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}  # {}", self.key, self.value, self.origin)
    }
}

/// A setting that the policy forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The key on which they differ.
    pub key: Key,
    /// What the setting amounts to.
    pub configured: Value,
    /// The key that was set: `key` itself, or the `crypto.profile` that picks it.
    pub configured_by: Key,
    /// Where it was set.
    pub origin: Origin,
    /// What the policy locks it to.
    pub locked: Value,
    /// The policy's key: `key` itself, or the `crypto.profile` that picks it.
    pub locked_by: Key,
    /// Who demands it.
    pub source: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, configured, origin, locked, source, .. } = self;
        let through = |by: Key| {
            if by == *key { String::new() } else { format!(" through {by}") }
        };
        let (set, fixed) = (through(self.configured_by), through(self.locked_by));
        write!(
            f,
            "{origin}: {key} is set to {configured}{set}, but the policy locks it to {locked}{fixed} \
             (source: {source}); remove the setting, or have the policy changed by its owner"
        )
    }
}

/// Why a site's settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read, parsed or trusted.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting that doesn't exist.
    #[error("{origin}: {unknown}")]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// What was written.
        unknown: UnknownKey,
    },
    /// A policy on a setting that doesn't exist.
    #[error("{origin}: {unknown} (a typo in a security policy must not be silent)")]
    UnknownPolicyKey {
        /// Where.
        origin: Origin,
        /// What was written.
        unknown: UnknownKey,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: {error}")]
    WrongValue {
        /// Where.
        origin: Origin,
        /// The setting, and what is wrong with its value.
        error: ValueError,
    },
    /// A value where a table of settings belongs.
    #[error("{origin}: {section} is {found}, and must be a section: [{section}]")]
    NotASection {
        /// Where.
        origin: Origin,
        /// The section.
        section: &'static str,
        /// What was written.
        found: String,
    },
    /// A policy file of no bytes.
    #[error(
        "{} is empty, as after a power cut: restore it, or remove it if no policy is meant",
        .path.display()
    )]
    EmptyPolicy {
        /// The file.
        path: PathBuf,
    },
    /// The policy's entry for `crypto.profile` and another entry disagree.
    #[error(
        "the policy contradicts itself: {} = {} (source: {}) is not what {} = {} (source: {}) picks",
        .0.1.key, .0.1.value, .0.1.source, .0.0.key, .0.0.value, .0.0.source
    )]
    PolicyConflict(
        /// The entry for the profile, and the other.
        Box<(PolicyEntry, PolicyEntry)>,
    ),
    /// A setting that the policy forbids.
    #[error("{0}")]
    Contradiction(Box<Contradiction>),
    /// The longest delay is shorter than the first.
    #[error(
        "unlock.backoff_max_seconds = {} ({}) is less than unlock.backoff_base_seconds = {} ({})",
        .0.1.value, .0.1.origin, .0.0.value, .0.0.origin
    )]
    BackoffOrder(
        /// The first delay, and the longest.
        Box<(Effective, Effective)>,
    ),
    /// The settings of the unlock policy don't go together.
    #[error("{error} ({})", places(.settings))]
    UnlockPolicy {
        /// What is wrong with them.
        error: UnlockPolicyError,
        /// The settings that it is about.
        settings: Vec<Effective>,
    },
    /// We demand of peers what we don't do.
    #[error(
        "our own Noise algorithms amount to \"{own}\", less than crypto.minimum_peer_profile = \
         \"{minimum}\" ({origin}); choose crypto.noise_cipher and crypto.noise_hash as a set"
    )]
    BelowMinimum {
        /// What our pair amounts to.
        own: PeerProfile,
        /// What we demand.
        minimum: PeerProfile,
        /// Where that was set.
        origin: Origin,
    },
}

/// Where each of several settings came from.
fn places(settings: &[Effective]) -> String {
    let place = |setting: &Effective| format!("{}: {}", setting.key, setting.origin);
    settings.iter().map(place).collect::<Vec<_>>().join("; ")
}

/// The settings of a site, as they hold.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where things live.
    pub layout: Layout,
    /// The settings.
    pub settings: Settings,
    /// What the policy locks.
    pub policy: Vec<PolicyEntry>,
    /// BLAKE3 of `config.toml`; of both files' digests one after the other when a session has two;
    /// `None` without any.
    pub config_digest: Option<[u8; 32]>,
    /// BLAKE3 of `policy.toml`; `None` without one.
    pub policy_digest: Option<[u8; 32]>,
    effective: Vec<Effective>,
}

/// The files that a layout's settings come from, the strongest layer last.
struct Sources<'p> {
    configs: Vec<&'p Path>,
    policy: &'p Path,
    policy_owner: Owner,
}

impl<'p> Sources<'p> {
    fn of(layout: &'p Layout) -> Self {
        let own = layout.config_file();
        let (configs, policy_owner) = match layout.kind() {
            LayoutKind::System => (vec![own], Owner::Root),
            LayoutKind::Session => (vec![Path::new(SYSTEM_CONFIG), own], Owner::Root),
            LayoutKind::Dir => (vec![own], Owner::OfDirectory),
        };
        Self { configs, policy: layout.policy_file(), policy_owner }
    }
}

impl Site {
    /// Reads the settings and the policy of `layout`.
    ///
    /// # Errors
    /// [`ConfigError`]: nothing is ever ignored, and only an absent file is like an empty one.
    pub fn load(layout: Layout) -> Result<Self, ConfigError> {
        Self::load_with(layout, &[])
    }

    /// As [`Site::load`], with settings from the command line as the layer above the files.
    ///
    /// # Errors
    /// [`ConfigError`]; the policy binds the command line as well.
    pub fn load_with(layout: Layout, overrides: &[(&str, String)]) -> Result<Self, ConfigError> {
        let sources = Sources::of(&layout);
        let (parts, digests) = load_sources(&sources, layout.kind(), overrides)?;
        let (settings, policy, effective) = parts;
        let (config_digest, policy_digest) = digests;
        Ok(Self { settings, policy, config_digest, policy_digest, effective, layout })
    }

    /// Every setting with its value and where that came from, in the order of the table.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Where the value of `key` came from.
    #[must_use]
    pub fn origin(&self, key: Key) -> &Origin {
        &self.effective[key as usize].origin
    }
}

type Parts = (Settings, Vec<PolicyEntry>, Vec<Effective>);
type Digests = (Option<[u8; 32]>, Option<[u8; 32]>);

fn load_sources(
    sources: &Sources<'_>,
    kind: LayoutKind,
    overrides: &[(&str, String)],
) -> Result<(Parts, Digests), ConfigError> {
    let (policy, policy_digest) = match file::read(sources.policy, Some(sources.policy_owner))? {
        Some(text) => (policy::parse(&text.text, &text.path)?, Some(text.digest)),
        None => (Vec::new(), None),
    };
    let mut set: Vec<Assignment> = Vec::new();
    let mut digests = Vec::new();
    for path in &sources.configs {
        if let Some(text) = file::read(path, None)? {
            set.extend(config::parse(&text.text, &text.path)?);
            digests.push(text.digest);
        }
    }
    for (key, text) in overrides {
        set.push(config::parse_override(key, text)?);
    }
    let config_digest = match digests.as_slice() {
        [] => None,
        [one] => Some(*one),
        several => Some(*blake3::hash(several.as_flattened()).as_bytes()),
    };
    let effective = resolve(kind, &set, &policy)?;
    let settings = Settings::from_values(|key| effective[key as usize].value);
    Ok(((settings, policy, effective), (config_digest, policy_digest)))
}

#[cfg(test)]
mod tests;
