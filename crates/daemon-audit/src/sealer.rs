//! When the trail is sealed, and with what.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use audit_log::{Appended, Draft, Operation, Outcome, SealError, Writer};
use tlog::{KeyName, Role, SigningKeys};

use crate::commit::{Commit, Refused};
use crate::signing_key::{KeyError, SigningKeyFiles};

/// Seals the trail; one thread at a time, and whoever wants the trail as well takes it second.
pub struct Sealer {
    files: SigningKeyFiles,
    /// New entries after which it is due.
    entries: u64,
    /// Time after which it is due, when there are new entries.
    interval: Duration,
    state: Mutex<State>,
    /// Whether a checkpoint is owed, or a new key has not taken its place yet.
    is_unfinished: AtomicBool,
}

struct State {
    /// None before the first installation.
    keys: Option<Keys>,
    /// The last try, whatever came of it.
    last: Instant,
}

struct Keys {
    current: SigningKeys,
    /// The ones to come, while a rotation is not complete.
    next: Option<SigningKeys>,
}

impl Sealer {
    /// For a trail that exists; what an earlier run left undone is done.
    pub fn open(
        files: SigningKeyFiles,
        trail: Option<&mut Writer>,
        entries: u64,
        interval: Duration,
    ) -> Result<Self, KeyError> {
        let current = trail.map(|writer| files.open(writer)).transpose()?;
        let keys = current.map(|current| Keys { current, next: None });
        let state = State { keys, last: Instant::now() }.into();
        Ok(Self { files, entries, interval, state, is_unfinished: false.into() })
    }

    /// Keeps everybody else from sealing.
    pub fn hold(&self) -> Held<'_> {
        Held { sealer: self, state: self.state() }
    }

    /// Whether so many entries are new that somebody should call [`Sealer::seal_if_free`].
    pub fn is_due_by_number(&self, commit: &Commit) -> bool {
        commit.unsealed() >= self.entries && !self.is_unfinished()
    }

    /// Whether [`Sealer::finish`] has something to do.
    pub fn is_unfinished(&self) -> bool {
        self.is_unfinished.load(Ordering::Relaxed)
    }

    /// Whether there are new entries, and the last try is long enough ago.
    pub fn is_due_by_time(&self, commit: &Commit) -> bool {
        commit.unsealed() > 0 && self.state().last.elapsed() >= self.interval
    }

    /// Seals the trail; returns the entry that says so.
    pub fn seal(&self, commit: &Commit, draft: Draft) -> Result<Appended, Refused> {
        self.hold().seal(commit, draft)
    }

    /// As before, unless somebody else is at it.
    pub fn seal_if_free(&self, commit: &Commit, draft: Draft) -> Option<Result<Appended, Refused>> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            // Whoever is at it may be slow: nobody runs far ahead.
            Err(TryLockError::WouldBlock) if commit.unsealed() >= 2 * self.entries => self.state(),
            Err(TryLockError::WouldBlock) => return None,
        };
        // Whoever was at it may just have done it.
        self.is_due_by_number(commit).then(|| self.seal_with(&mut state, commit, draft))
    }

    fn seal_with(
        &self,
        state: &mut State,
        commit: &Commit,
        draft: Draft,
    ) -> Result<Appended, Refused> {
        state.last = Instant::now();
        let keys = state.keys.as_mut().ok_or(Refused::NoTrail)?;
        let mut trail = commit.trail();
        let writer = trail.as_mut().ok_or(Refused::NoTrail)?;
        let sealed = self
            .finish_with(keys, writer)
            .and_then(|()| writer.seal(draft, &keys.current).map_err(refused));
        self.note(commit, keys, writer);
        sealed
    }

    /// Makes the checkpoint that is owed, and lets a new key take its place, where that failed when
    /// it was due.
    pub fn finish(&self, commit: &Commit) -> Result<(), Refused> {
        let mut state = self.state();
        let mut trail = commit.trail();
        let (Some(keys), Some(writer)) = (&mut state.keys, trail.as_mut()) else { return Ok(()) };
        let finished = self.finish_with(keys, writer);
        self.note(commit, keys, writer);
        finished
    }

    fn finish_with(&self, keys: &mut Keys, writer: &mut Writer) -> Result<(), Refused> {
        writer.settle(&keys.current).map_err(refused)?;
        // It may have been the last one of these keys. Until the files say so too, nothing else is
        // signed: a further rotation would overwrite the only copy of the next ones.
        if let Some(next) = keys.next.take_if(|next| next.public() == writer.public_keys()) {
            if let Err(error) = self.files.promote(next.public()) {
                keys.next = Some(next);
                return Err(Refused::Unfinished(error.to_string()));
            }
            keys.current = next;
        }
        Ok(())
    }

    fn note(&self, commit: &Commit, keys: &Keys, writer: &Writer) {
        commit.note(Some(writer));
        let is_unfinished = writer.owes_checkpoint() || keys.next.is_some();
        self.is_unfinished.store(is_unfinished, Ordering::Relaxed);
    }

    /// Makes new keys; the old ones sign them into the trail and are gone then. Returns the public
    /// halves of the new ones.
    pub fn rotate(&self, commit: &Commit, draft: Draft) -> Result<String, Refused> {
        let mut state = self.state();
        let keys = state.keys.as_mut().ok_or(Refused::NoTrail)?;
        let mut trail = commit.trail();
        let writer = trail.as_mut().ok_or(Refused::NoTrail)?;
        let rotated = self.rotate_with(keys, writer, draft);
        self.note(commit, keys, writer);
        rotated
    }

    fn rotate_with(
        &self,
        keys: &mut Keys,
        writer: &mut Writer,
        draft: Draft,
    ) -> Result<String, Refused> {
        // An earlier one may be waiting.
        self.finish_with(keys, writer)?;
        let failed = |reason: &dyn std::fmt::Display| Refused::NotWritten(reason.to_string());
        let name = keys.current.public().name().clone();
        let next = SigningKeys::generate(name, Role::Log).map_err(|error| failed(&error))?;
        self.files.write_next(&next).map_err(|error| failed(&error))?;
        let text = next.public().to_string();
        match writer.rotate(draft, &keys.current, next.public()) {
            // The trail doesn't know them. Where it may after all, the next start sees which count.
            Err(SealError::Append(error)) if !writer.is_poisoned() => {
                self.files.forget_next().map_err(|error| failed(&error))?;
                return Err(failed(&error));
            }
            Err(SealError::Append(error)) => return Err(failed(&error)),
            Err(error) => {
                keys.next = Some(next);
                return Err(refused(error));
            }
            Ok(_) => keys.next = Some(next),
        }
        self.finish_with(keys, writer)?;
        // Now the trail ends under the keys that whoever asks is shown. If there is no room for that,
        // the next seal will do; the rotation is complete.
        let _ = writer.seal(self::draft("rotation"), &keys.current);
        Ok(text)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sealer, for one thread alone.
pub struct Held<'a> {
    sealer: &'a Sealer,
    state: MutexGuard<'a, State>,
}

impl Held<'_> {
    /// As [`Sealer::seal`].
    pub fn seal(&mut self, commit: &Commit, draft: Draft) -> Result<Appended, Refused> {
        self.sealer.seal_with(&mut self.state, commit, draft)
    }

    /// Makes the keys of a trail to come; those of an earlier one are gone then.
    pub fn begin(&mut self, name: KeyName) -> Result<&SigningKeys, String> {
        let current = SigningKeys::generate(name, Role::Log)
            .map_err(|error| format!("no signing key can be made: {error}"))?;
        self.sealer.files.write(&current).map_err(|error| error.to_string())?;
        self.sealer.is_unfinished.store(false, Ordering::Relaxed);
        Ok(&self.state.keys.insert(Keys { current, next: None }).current)
    }
}

/// What a seal says about why it was made.
pub fn draft(reason: &str) -> Draft {
    Draft::new(Operation::AuditSeal, Outcome::Done).detail("reason", reason)
}

fn refused(error: SealError) -> Refused {
    match error {
        SealError::Append(_) | SealError::OtherKey => Refused::NotWritten(error.to_string()),
        SealError::Sign(_) | SealError::NotWritten(_) => Refused::Unfinished(error.to_string()),
    }
}
