//! An identity: its versions, and what is stored of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use identity_keys::{IdentityKeys, KeyError, NoRandomBytes, SEED_BYTES, Seeds};
use ipc::codec;
use secret_memory::{Secret, SecretBytes};
use serde::{Deserialize, Serialize};
use site_config::names::IdentityName;

use crate::sealed::SealError;
use crate::service::LAST_SECOND;

/// More versions than a week of hourly rotations has.
pub const MAX_VERSIONS: usize = 200;

/// Nobody rotates so often.
const MAX_NUMBER: u32 = 1 << 30;

/// An identity.
#[derive(Clone)]
pub struct Identity {
    /// Its name.
    pub name: IdentityName,
    /// When it was made; seconds since 1970.
    pub created: u64,
    /// Oldest first; the last one is the present one. None once it is revoked.
    pub versions: Vec<Arc<Version>>,
    /// The number of the last version that there ever was.
    pub last_version: u32,
    /// When it was revoked; seconds since 1970.
    pub revoked: Option<u64>,
}

/// The keys of an identity between two rotations.
pub struct Version {
    /// Counted from 1.
    pub number: u32,
    /// When it was made; seconds since 1970.
    pub created: u64,
    /// Until when it can be read, after a rotation; seconds since 1970.
    pub readable_until: Option<u64>,
    seeds: Arc<Seeds>,
    /// Expanded when they are needed: they take two hundred times the memory of the seeds.
    keys: Arc<Slot>,
}

impl Version {
    /// New keys.
    ///
    /// # Errors
    /// [`NoRandomBytes`].
    pub fn generate(number: u32, now: u64) -> Result<Self, NoRandomBytes> {
        Ok(Self::of(number, now, None, Seeds::generate()?))
    }

    fn of(number: u32, created: u64, readable_until: Option<u64>, seeds: Seeds) -> Self {
        Self { number, created, readable_until, seeds: Arc::new(seeds), keys: Arc::default() }
    }

    /// The same keys, to be read until then and not longer.
    #[must_use]
    pub fn retired(&self, readable_until: u64) -> Self {
        let (seeds, keys) = (Arc::clone(&self.seeds), Arc::clone(&self.keys));
        Self {
            number: self.number,
            created: self.created,
            readable_until: Some(readable_until),
            seeds,
            keys,
        }
    }

    /// The keys, ready for use.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn keys(&self) -> Result<Arc<IdentityKeys>, KeyError> {
        if let Some(keys) = &*lock(&self.keys) {
            return Ok(Arc::clone(keys));
        }
        // Two threads may expand the same seeds; the first one's work is dropped.
        let expanded = match IdentityKeys::expand(&self.seeds) {
            Err(KeyError::Memory(_)) => {
                forget_expanded();
                IdentityKeys::expand(&self.seeds)?
            }
            expanded => expanded?,
        };
        let keys = Arc::new(expanded);
        *lock(&self.keys) = Some(Arc::clone(&keys));
        let mut expanded = lock(&EXPANDED);
        expanded.retain(|slot| slot.strong_count() > 0);
        expanded.push(Arc::downgrade(&self.keys));
        Ok(keys)
    }
}

/// Where expanded keys are kept.
type Slot = Mutex<Option<Arc<IdentityKeys>>>;

/// The places that may hold some.
static EXPANDED: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

/// Gives their memory back, but for those that are in use just now: there is no more, and they can be
/// expanded again.
fn forget_expanded() {
    for slot in std::mem::take(&mut *lock(&EXPANDED)) {
        if let Some(slot) = slot.upgrade() {
            *lock(&slot) = None;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Identity {
    /// The version that signs.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Version>> {
        self.versions.last()
    }

    /// The version of this number, if it can still be read.
    #[must_use]
    pub fn readable(&self, number: u32, now: u64) -> Option<&Arc<Version>> {
        self.versions.iter().find(|version| version.number == number && !version.is_over(now))
    }

    /// What is stored, in secret memory.
    ///
    /// # Errors
    /// [`SealError::OutOfMemory`].
    pub fn encode(&self) -> Result<SecretBytes, SealError> {
        let versions = self.versions.iter().map(|version| StoredVersion {
            number: version.number,
            created: version.created,
            readable_until: version.readable_until,
            seeds: version.seeds.expose(),
        });
        let stored = Stored {
            created: self.created,
            last_version: self.last_version,
            revoked: self.revoked,
            versions: versions.collect(),
        };
        codec::encode(&stored).map_err(|_| SealError::OutOfMemory)
    }

    /// From what was stored.
    ///
    /// # Errors
    /// [`SealError::Malformed`].
    pub fn decode(name: IdentityName, bytes: &[u8]) -> Result<Self, SealError> {
        let stored: Stored<'_> = codec::decode(bytes).map_err(|_| SealError::Malformed)?;
        let versions = stored.versions.into_iter().map(|version| {
            let StoredVersion { number, created, readable_until, seeds } = version;
            let seeds: &[u8; SEED_BYTES] = seeds.try_into().map_err(|_| SealError::Malformed)?;
            let seeds = Seeds::from_bytes(Secret::copy_of(seeds));
            Ok(Arc::new(Version::of(number, created, readable_until, seeds)))
        });
        let versions: Vec<_> = versions.collect::<Result<_, _>>()?;
        let Stored { created, last_version, revoked, .. } = stored;
        let identity = Self { name, created, versions, last_version, revoked };
        if identity.is_sound() { Ok(identity) } else { Err(SealError::Malformed) }
    }

    /// Whether cicada could have made it: a backup may come sealed with its writer's own key.
    fn is_sound(&self) -> bool {
        let times = self.versions.iter().flat_map(|v| [Some(v.created), v.readable_until]);
        let times = times.chain([Some(self.created), self.revoked]);
        let numbers: Vec<u32> = self.versions.iter().map(|version| version.number).collect();
        let (last, earlier) = match self.versions.split_last() {
            Some((last, earlier)) => (Some(last), earlier),
            None => (None, &[][..]),
        };
        self.versions.is_empty() == self.revoked.is_some()
            && times.flatten().all(|time| time <= LAST_SECOND)
            && numbers.is_sorted_by(|one, next| one < next)
            && numbers.first() != Some(&0)
            && numbers.last().is_none_or(|number| *number == self.last_version)
            && self.last_version <= MAX_NUMBER
            && numbers.len() <= MAX_VERSIONS
            && last.is_none_or(|version| version.readable_until.is_none())
            && earlier.iter().all(|version| version.readable_until.is_some())
    }
}

impl Version {
    /// Whether its time of grace is over.
    #[must_use]
    pub fn is_over(&self, now: u64) -> bool {
        self.readable_until.is_some_and(|until| until <= now)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    created: u64,
    last_version: u32,
    revoked: Option<u64>,
    #[serde(borrow)]
    versions: Vec<StoredVersion<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredVersion<'a> {
    number: u32,
    created: u64,
    readable_until: Option<u64>,
    #[serde(borrow, with = "serde_bytes")]
    seeds: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let retired = Version::generate(1, 10).unwrap().retired(100);
        let versions = vec![Arc::new(retired), Arc::new(Version::generate(2, 20).unwrap())];
        let name = "cloud-sync".parse().unwrap();
        Identity { name, created: 10, versions, last_version: 2, revoked: None }
    }

    #[test]
    fn what_is_stored_reads_back_with_the_same_keys() {
        let before = identity();
        let stored = before.encode().unwrap();
        let after = Identity::decode(before.name.clone(), stored.expose()).unwrap();
        assert_eq!((after.created, after.last_version, after.revoked), (10, 2, None));
        for (before, after) in before.versions.iter().zip(&after.versions) {
            assert_eq!(before.seeds.expose(), after.seeds.expose());
            assert_eq!(before.readable_until, after.readable_until);
        }
        assert_eq!(after.versions.len(), 2);
    }

    #[test]
    fn an_earlier_version_is_readable_in_its_time_of_grace_and_no_longer() {
        let identity = identity();
        assert_eq!(identity.current().unwrap().number, 2);
        assert!(identity.readable(1, 99).is_some());
        assert!(identity.readable(1, 100).is_none());
        assert!(identity.readable(2, u64::MAX).is_some());
        assert!(identity.readable(3, 0).is_none());
    }

    #[test]
    fn keys_without_an_identity_or_the_other_way_round_are_damage() {
        let revoked = Identity { revoked: Some(5), ..identity() };
        let stored = revoked.encode().unwrap();
        assert!(Identity::decode(revoked.name.clone(), stored.expose()).is_err());
        let stored = Identity { versions: Vec::new(), ..identity() }.encode().unwrap();
        assert!(Identity::decode(revoked.name.clone(), stored.expose()).is_err());
        let stored = Identity { versions: Vec::new(), ..revoked.clone() }.encode().unwrap();
        assert!(Identity::decode(revoked.name, stored.expose()).is_ok());
    }

    /// A backup may be sealed by somebody who knows the format, with a key of their own.
    #[test]
    fn numbers_and_times_that_cicada_never_writes_are_damage() {
        let sound = identity();
        let retired = |number: u32, until: u64| {
            Arc::new(Version::generate(number, 10).unwrap().retired(until))
        };
        let present =
            |number: u32, created: u64| Arc::new(Version::generate(number, created).unwrap());
        let with = |versions: Vec<Arc<Version>>| Identity { versions, ..identity() };
        let crowd = (1..=MAX_VERSIONS as u32).map(|number| retired(number, 100));
        let crowd: Vec<_> = crowd.chain([present(MAX_VERSIONS as u32 + 1, 20)]).collect();
        let last_version = MAX_VERSIONS as u32 + 1;
        for (name, forged) in [
            ("made after the year 9999", Identity { created: u64::MAX, ..identity() }),
            ("a version made then", with(vec![retired(1, 100), present(2, u64::MAX)])),
            ("readable until then", with(vec![retired(1, u64::MAX), present(2, 20)])),
            ("version 0", Identity { last_version: 0, ..with(vec![present(0, 20)]) }),
            ("one number twice", with(vec![retired(2, 100), present(2, 20)])),
            ("numbers that fall", with(vec![retired(3, 100), present(2, 20)])),
            ("a last number that isn't", Identity { last_version: 7, ..identity() }),
            (
                "no number left",
                Identity { last_version: u32::MAX, ..with(vec![present(u32::MAX, 20)]) },
            ),
            ("two that sign", with(vec![present(1, 20), present(2, 20)])),
            ("none that signs", with(vec![retired(1, 100), retired(2, 100)])),
            ("a crowd", Identity { last_version, ..with(crowd) }),
        ] {
            let stored = forged.encode().unwrap();
            assert!(Identity::decode(sound.name.clone(), stored.expose()).is_err(), "{name}");
        }
    }
}
