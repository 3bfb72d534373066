//! The first entry, and what it settles for all that follow.

use tlog::PublicKeys;

use crate::entry::{Actor, Draft, Entry, Outcome};
use crate::hash::{Hash, HashAlgorithm, UnknownAlgorithm};
use crate::keys::{self, KeyDetailError};
use crate::operation::Operation;

/// The format that this crate reads and writes.
const FORMAT: &str = "1";

/// What entry 0 says about the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The function that chains the entries.
    pub hash: HashAlgorithm,
    /// The UUID of the installation.
    pub installation: String,
    /// The organisation that it belongs to.
    pub org: Option<String>,
    /// What ties the installation to this machine.
    pub machine_binding: Option<String>,
    /// The keys of the first checkpoints; their name is the origin of all of them.
    pub keys: PublicKeys,
}

/// Why an entry can't begin a trail that we read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Another operation, or a predecessor.
    #[error("it is not a genesis entry")]
    NotGenesis,
    /// A trail of a later version, or none of ours.
    #[error("its format is {0:?}, and this program reads {FORMAT:?}")]
    Format(String),
    /// A hash that we don't have.
    #[error(transparent)]
    Hash(#[from] UnknownAlgorithm),
    /// Nobody's.
    #[error("it names no installation")]
    Installation,
    /// Keys that are none, or those of another trail.
    #[error(transparent)]
    Keys(#[from] KeyDetailError),
}

impl Genesis {
    /// Reads the detail of entry 0.
    ///
    /// # Errors
    /// [`GenesisError`]; the hash of the entry isn't checked.
    pub fn from_entry(entry: &Entry) -> Result<Self, GenesisError> {
        let is_genesis = entry.seq == 0
            && entry.operation == Operation::Genesis
            && entry.prev_hash == Hash::ZERO;
        if !is_genesis {
            return Err(GenesisError::NotGenesis);
        }
        let detail = |key: &str| entry.detail.get(key).filter(|value| !value.is_empty()).cloned();
        let format = detail("format").unwrap_or_default();
        if format != FORMAT {
            return Err(GenesisError::Format(format));
        }
        let hash = detail("hash").unwrap_or_default().parse()?;
        let installation = detail("installation").ok_or(GenesisError::Installation)?;
        let keys = keys::from_detail(&entry.detail)?;
        if keys.name().as_str() != origin(&installation) {
            return Err(KeyDetailError::OtherTrail.into());
        }
        Ok(Self {
            hash,
            installation,
            keys,
            org: detail("org"),
            machine_binding: detail("machine_binding"),
        })
    }

    pub(crate) fn draft(&self, reporter: Option<Actor>) -> Draft {
        let mut draft = Draft::new(Operation::Genesis, Outcome::Done)
            .detail("format", FORMAT)
            .detail("hash", self.hash.as_str())
            .detail("installation", &self.installation);
        for (key, value) in [("org", &self.org), ("machine_binding", &self.machine_binding)] {
            if let Some(value) = value {
                draft = draft.detail(key, value);
            }
        }
        draft.detail.extend(keys::detail(&self.keys));
        draft.reporter = reporter;
        draft
    }
}

/// The origin (C2SP `tlog-checkpoint`) of an installation's trail, and the name of its keys.
#[must_use]
pub fn origin(installation: &str) -> String {
    format!("sesame-audit/{installation}")
}
