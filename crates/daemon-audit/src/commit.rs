//! Group commit: whoever comes while an `fdatasync` runs shares the next one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use audit_log::{AppendError, Appended, Draft, Writer};

/// Why an entry is not in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no trail yet.
    NoTrail,
    /// The disk did not take it; the reason, for a person.
    NotWritten(String),
    /// The entry is there, and what it announces is still to be done; why, for a person.
    Unfinished(String),
}

/// The trail and the entries that wait for it.
#[derive(Default)]
pub struct Commit {
    trail: Mutex<Option<Writer>>,
    gathering: Mutex<Gathering>,
    /// As many have joined as the leader waits for.
    gathered: Condvar,
    /// The entries that no checkpoint covers, for whoever can't wait for the trail to ask.
    unsealed: AtomicU64,
}

/// The batch that entries join until its leader has the trail.
#[derive(Default)]
struct Gathering {
    drafts: Vec<Draft>,
    batch: Arc<Batch>,
    /// How many the last batch had: so many are likely to come back.
    expected: usize,
    /// How long they are worth waiting for.
    patience: Duration,
}

/// The longest wait for company.
const MOST_PATIENCE: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Batch {
    result: Mutex<Option<Result<Vec<Appended>, Refused>>>,
    published: Condvar,
}

impl Commit {
    /// Over a trail, or over none before the first installation.
    pub fn new(trail: Option<Writer>) -> Self {
        let commit = Self::default();
        commit.note(trail.as_ref());
        *commit.trail() = trail;
        commit
    }

    /// The entries that no checkpoint covers.
    pub fn unsealed(&self) -> u64 {
        self.unsealed.load(Ordering::Relaxed)
    }

    /// Takes note of how much of the trail is sealed; whoever changes that calls this.
    pub fn note(&self, trail: Option<&Writer>) {
        let unsealed = trail.map_or(0, |writer| writer.size() - writer.sealed());
        self.unsealed.store(unsealed, Ordering::Relaxed);
    }

    /// The trail, for reading it or putting another in its place.
    pub fn trail(&self) -> MutexGuard<'_, Option<Writer>> {
        lock(&self.trail)
    }

    /// Returns once the entry is durable.
    ///
    /// Whoever opens a batch leads it: it waits for the trail, and all that joined meanwhile go to
    /// disk with it, in the order in which they came. When several did so last time, it waits a
    /// little for them: they were told at once, and the first of them alone would take the disk for a
    /// whole sync.
    pub fn append(&self, draft: Draft) -> Result<Appended, Refused> {
        let (batch, index) = {
            let mut gathering = lock(&self.gathering);
            gathering.drafts.push(draft);
            if gathering.drafts.len() == gathering.expected {
                self.gathered.notify_one();
            }
            (Arc::clone(&gathering.batch), gathering.drafts.len() - 1)
        };
        if index > 0 {
            return batch.wait(index);
        }
        let mut trail = self.trail();
        let (drafts, batch) = self.gather();
        let start = Instant::now();
        let result = match trail.as_mut() {
            Some(writer) => writer.append(&drafts).map_err(|error| refused(&error)),
            None => Err(Refused::NoTrail),
        };
        self.note(trail.as_ref());
        let mut gathering = lock(&self.gathering);
        gathering.expected = drafts.len();
        gathering.patience = MOST_PATIENCE.min(start.elapsed() / 2);
        drop(gathering);
        drop(trail);
        batch.publish(result);
        batch.wait(0)
    }

    /// Closes the batch.
    fn gather(&self) -> (Vec<Draft>, Arc<Batch>) {
        let mut gathering = lock(&self.gathering);
        let deadline = Instant::now() + gathering.patience;
        while gathering.drafts.len() < gathering.expected {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.gathered.wait_timeout(gathering, left);
            gathering = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        (std::mem::take(&mut gathering.drafts), std::mem::take(&mut gathering.batch))
    }
}

impl Batch {
    fn publish(&self, result: Result<Vec<Appended>, Refused>) {
        *lock(&self.result) = Some(result);
        self.published.notify_all();
    }

    fn wait(&self, index: usize) -> Result<Appended, Refused> {
        let mut result = lock(&self.result);
        loop {
            match &*result {
                Some(Ok(appended)) => return Ok(appended[index]),
                Some(Err(refused)) => return Err(refused.clone()),
                None => {
                    result = self.published.wait(result).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

fn refused(error: &AppendError) -> Refused {
    Refused::NotWritten(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit_log::{Genesis, HashAlgorithm, Operation, Outcome};
    use std::collections::BTreeSet;
    use tlog::{Role, SigningKeys};

    fn trail(dir: &std::path::Path) -> Writer {
        let name = audit_log::origin("00000000-0000-4000-8000-000000000000").parse().unwrap();
        let keys = SigningKeys::generate(name, Role::Log).unwrap();
        let genesis = Genesis {
            hash: HashAlgorithm::Blake3,
            installation: "00000000-0000-4000-8000-000000000000".to_owned(),
            org: None,
            machine_binding: None,
            keys: keys.public().clone(),
        };
        Writer::create(dir, &genesis, None, 1 << 20, &keys).unwrap()
    }

    #[test]
    fn every_entry_of_many_threads_gets_its_own_number() {
        let dir = tempfile::tempdir().unwrap();
        let commit = Commit::new(Some(trail(&dir.path().join("trail"))));
        let numbers = Mutex::new(BTreeSet::new());
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let (commit, numbers) = (&commit, &numbers);
                scope.spawn(move || {
                    for round in 0..50 {
                        let draft = Draft::new(Operation::SecretGet, Outcome::Authorised)
                            .subject(format!("{thread}/{round}"));
                        let appended = commit.append(draft).unwrap();
                        assert!(numbers.lock().unwrap().insert(appended.seq));
                    }
                });
            }
        });
        assert_eq!(numbers.into_inner().unwrap(), (1..=800).collect());
    }

    #[test]
    fn without_a_trail_everybody_is_refused() {
        let commit = Commit::new(None);
        let draft = Draft::new(Operation::Unlock, Outcome::Authorised);
        assert_eq!(commit.append(draft).unwrap_err(), Refused::NoTrail);
    }
}
