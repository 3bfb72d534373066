//! What is unlocked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secret_memory::Secret;
use site_config::names::IdentityName;

use crate::error::{Code, Refused};
use crate::identity::{Identity, Version};
use crate::service::now;

/// The state of the key store.
pub enum Keyring {
    /// There is none.
    Uninitialised,
    /// Nothing of it is in memory.
    Locked,
    /// The unlock key and the seeds are in secret memory.
    Unlocked(Unlocked),
}

/// An unlocked key store.
pub struct Unlocked {
    /// What new files are sealed under.
    pub unlock_key: Arc<Secret<32>>,
    /// The identities by name.
    pub identities: BTreeMap<IdentityName, Arc<Identity>>,
    /// Those whose files can't be read.
    pub damaged: BTreeSet<IdentityName>,
}

impl Keyring {
    /// The word for it in a reply.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Uninitialised => "uninitialised",
            Self::Locked => "locked",
            Self::Unlocked(_) => "unlocked",
        }
    }

    /// What is unlocked.
    ///
    /// # Errors
    /// [`Code::Locked`], [`Code::NotInitialised`].
    pub fn unlocked(&self) -> Result<&Unlocked, Refused> {
        match self {
            Self::Unlocked(unlocked) => Ok(unlocked),
            Self::Locked => {
                let text = "the key store is locked; run `sesame cicada unlock`";
                Err(Refused::new(Code::Locked, text))
            }
            Self::Uninitialised => {
                let text = "there is no key store yet; run `sesame cicada init`";
                Err(Refused::new(Code::NotInitialised, text))
            }
        }
    }

    /// The same, to change.
    pub fn unlocked_mut(&mut self) -> Option<&mut Unlocked> {
        match self {
            Self::Unlocked(unlocked) => Some(unlocked),
            _ => None,
        }
    }

    /// An identity, revoked or not.
    ///
    /// # Errors
    /// [`Code::UnknownIdentity`], and those of [`Keyring::unlocked`].
    pub fn identity(&self, name: &IdentityName) -> Result<Arc<Identity>, Refused> {
        let unlocked = self.unlocked()?;
        unlocked.identities.get(name).cloned().ok_or_else(|| {
            let text = match unlocked.damaged.contains(name) {
                true => format!(
                    "the file of the identity {name} is damaged, and was left as it is; `sesame cicada \
                     identity restore` puts a backup in its place"
                ),
                false => {
                    format!("there is no identity {name}; `sesame cicada identity list` shows all")
                }
            };
            Refused::new(Code::UnknownIdentity, text)
        })
    }

    /// A version of an identity: the present one when no number is given.
    ///
    /// # Errors
    /// [`Code::Revoked`], [`Code::UnknownVersion`], and those of [`Keyring::identity`].
    pub fn version(
        &self,
        name: &IdentityName,
        number: Option<u32>,
    ) -> Result<Arc<Version>, Refused> {
        let identity = self.identity(name)?;
        let Some(current) = identity.current() else {
            let text = format!("the identity {name} is revoked, and its keys are destroyed");
            return Err(Refused::new(Code::Revoked, text));
        };
        let Some(number) = number else { return Ok(Arc::clone(current)) };
        identity.readable(number, now()).cloned().ok_or_else(|| {
            let text = format!("{name} has no version {number}, or its time of grace is over");
            Refused::new(Code::UnknownVersion, text)
        })
    }
}
