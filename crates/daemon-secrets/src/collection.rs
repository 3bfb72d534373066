//! Factors that were given so far, for one purpose each, until they suffice or their time is up.
//!
//! What is kept of them are pieces, in secret memory. A lock, a change of the profile, and the
//! deadline forget them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipc::factors::{Cause, Need, Pending, Progress};
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::share::Part;
use key_hierarchy::{Metadata, Pieces};
use secret_memory::Secret;
use site_config::ProfileName;

use crate::attempts::boot_clock;

/// What a collection is for: a profile, or a backup that is to become one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Profile(String),
    Restore(String),
}

/// All of them, one a key.
#[derive(Default)]
pub struct Collections(Mutex<BTreeMap<Key, Collection>>);

/// What was given for one purpose.
pub struct Collection {
    /// The change; `None` for an unlock.
    change: Option<Asked>,
    /// Of the boot clock.
    deadline: Duration,
    /// As it was when the first factor was given.
    pub metadata: Metadata,
    pub pieces: Pieces,
    /// Factors that are right, and that the policy has no use for.
    without_vote: BTreeSet<u32>,
    parts: BTreeMap<u32, BTreeMap<u8, Part>>,
}

/// A change, and who asked for it.
struct Asked {
    text: String,
    /// The peer's key.
    key: [u8; 32],
    name: String,
}

/// What a factor gave.
pub enum Given {
    /// Its piece, if the policy has use for it.
    Piece(Option<Secret<32>>),
    /// A share of it, by its number; more are needed.
    Part(u8, Part),
}

impl Collections {
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Collection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is overdue.
    pub fn expire(&self) {
        self.lock().retain(|_, collection| !collection.is_overdue());
    }

    /// Forgets what was given to one profile, or everything.
    pub fn forget(&self, profile: Option<&ProfileName>) {
        match profile {
            None => self.lock().clear(),
            Some(profile) => {
                self.lock().remove(&Key::Profile(profile.to_string()));
            }
        }
    }

    /// What is pending.
    pub fn pending(&self, target: &Key) -> Option<Pending> {
        self.expire();
        self.lock().get(target).map(|collection| Pending {
            change: collection.change.as_ref().map(|asked| asked.text.clone()),
            owner: collection.change.as_ref().map_or_else(String::new, |asked| asked.name.clone()),
            progress: collection.progress(),
        })
    }
}

/// The collection of this purpose; a new one where there is none, for a change by `owner` only.
///
/// # Errors
/// Factors are being given for something else, or nobody asks for this change.
pub fn begin<'c>(
    collections: &'c mut BTreeMap<Key, Collection>,
    target: &Key,
    cause: Cause<'_>,
    owner: Option<&Peer>,
    metadata: &Metadata,
    deadline: Duration,
) -> Result<&'c mut Collection, Fault> {
    // For another file, or too long ago: what was given before no longer counts.
    let stale = |there: &Collection| there.is_overdue() || there.metadata != *metadata;
    if collections.get(target).is_some_and(stale) {
        collections.remove(target);
    }
    check_cause(collections, target, cause)?;
    let change = match (cause, owner) {
        (Cause::Unlock, _) => None,
        (Cause::Change(text), Some(owner)) => {
            Some(Asked { text: text.to_owned(), key: owner.key, name: owner.name.clone() })
        }
        (Cause::Change(_), None) if collections.contains_key(target) => None,
        (Cause::Change(_), None) => {
            let text = "nobody asks for this change any more; nothing was kept";
            return Err(Fault::new(FaultKind::NotFound, text));
        }
    };
    Ok(collections.entry(target.clone()).or_insert_with(|| Collection {
        change,
        deadline: boot_clock() + deadline,
        metadata: metadata.clone(),
        pieces: Pieces::new(),
        without_vote: BTreeSet::new(),
        parts: BTreeMap::new(),
    }))
}

/// Refuses factors for one purpose while they are given for another.
pub fn check_cause(
    collections: &BTreeMap<Key, Collection>,
    target: &Key,
    cause: Cause<'_>,
) -> Result<(), Fault> {
    let Some(there) = collections.get(target).filter(|there| !there.is_overdue()) else {
        return Ok(());
    };
    let wanted = match cause {
        Cause::Unlock => None,
        Cause::Change(text) => Some(text),
    };
    if there.change() == wanted {
        return Ok(());
    }
    let text = format!(
        "factors are being given for something else ({}); this one was not tried. Wait {} s, or \
         `sesame factor cancel` ends that",
        there.change().unwrap_or("unlock"),
        there.seconds_left()
    );
    Err(Fault::new(FaultKind::Busy, text))
}

impl Collection {
    pub fn is_overdue(&self) -> bool {
        boot_clock() >= self.deadline
    }

    /// The text of the change.
    pub fn change(&self) -> Option<&str> {
        self.change.as_ref().map(|asked| asked.text.as_str())
    }

    pub const fn unlocks(&self) -> bool {
        self.change.is_none()
    }

    /// Whoever asked for a change carries it out: others gave their factors to that person.
    pub fn check_owner(&self, peer: &Peer) -> Result<(), Fault> {
        match &self.change {
            Some(asked) if asked.key != peer.key => {
                let text = format!(
                    "{} asked for this change, and alone can carry it out; nothing was changed",
                    asked.name
                );
                Err(Fault::new(FaultKind::NotCleared, text))
            }
            _ => Ok(()),
        }
    }

    pub fn has(&self, factor: u32) -> bool {
        self.pieces.contains_key(&factor) || self.without_vote.contains(&factor)
    }

    /// Takes what a factor gave; giving it twice changes nothing.
    pub fn take(&mut self, factor: u32, given: Given) {
        match given {
            Given::Piece(Some(piece)) => {
                self.pieces.insert(factor, piece);
                self.parts.remove(&factor);
            }
            Given::Piece(None) => {
                self.without_vote.insert(factor);
            }
            Given::Part(number, part) => {
                self.parts.entry(factor).or_default().insert(number, part);
            }
        }
    }

    /// The shares of a factor that were given before, by number.
    pub fn parts(&self, factor: u32) -> impl Iterator<Item = (u8, &Part)> {
        self.parts.get(&factor).into_iter().flatten().map(|(number, part)| (*number, part))
    }

    pub fn progress(&self) -> Progress {
        let given: BTreeSet<u32> = self.pieces.keys().copied().collect();
        Progress {
            missing: needs(&self.metadata, &given),
            given: given.union(&self.without_vote).copied().collect(),
            shares: self
                .parts
                .iter()
                .map(|(factor, parts)| (*factor, parts.keys().copied().collect()))
                .collect(),
            seconds_left: self.seconds_left(),
        }
    }

    fn seconds_left(&self) -> u64 {
        self.deadline.saturating_sub(boot_clock()).as_secs()
    }
}

/// What is needed beside these factors.
pub fn needs(metadata: &Metadata, given: &BTreeSet<u32>) -> Vec<Need> {
    let missing = metadata.tree().missing(given);
    missing.into_iter().map(|group| Need { count: group.need, of: group.members }).collect()
}
