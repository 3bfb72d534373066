//! Checkpoints: fixing the trail as it is, under the trail's own key.

use std::io;

use tlog::{Checkpoint, PublicKeys, SignError, SigningKeys};

use super::{AppendError, Appended, Writer};
use crate::entry::Draft;
use crate::hash::Head;
use crate::keys;
use crate::operation::Operation;
use crate::segment;

/// Why there is no new checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The entry that announces it isn't there.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The key at hand is not the one that the trail names.
    #[error(
        "the signing key is not the one of this trail: put back the signing.key that belongs to it"
    )]
    OtherKey,
    /// The signature can't be made.
    #[error("the checkpoint could not be signed: {0}")]
    Sign(#[from] SignError),
    /// The entry is there, and the checkpoint is owed.
    #[error("the checkpoint could not be written: {0}; make room on the disk of the trail")]
    NotWritten(io::Error),
}

impl Writer {
    /// The entries that a checkpoint covers.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.checkpoints.last().copied().unwrap_or(0)
    }

    /// The keys that sign the next checkpoint.
    #[must_use]
    pub const fn public_keys(&self) -> &PublicKeys {
        &self.keys
    }

    /// Whether an entry announces a checkpoint that isn't there: [`Writer::settle`] makes it.
    #[must_use]
    pub const fn owes_checkpoint(&self) -> bool {
        self.owed.is_some()
    }

    /// Appends `draft` as an `audit.seal` and makes the checkpoint over the trail that ends with it.
    ///
    /// # Errors
    /// [`SealError`]; the checkpoint is owed then if the entry is there.
    pub fn seal(&mut self, draft: Draft, keys: &SigningKeys) -> Result<Appended, SealError> {
        self.announce(Draft { operation: Operation::AuditSeal, ..draft }, keys, None)
    }

    /// Appends `draft` as an `audit.key-rotate` that names `next`, which sign from the next
    /// checkpoint on; the one over this entry is still signed by `keys`.
    ///
    /// # Errors
    /// As [`Writer::seal`]. The old keys are needed until there is no error.
    pub fn rotate(
        &mut self,
        draft: Draft,
        keys: &SigningKeys,
        next: &PublicKeys,
    ) -> Result<Appended, SealError> {
        let mut draft = Draft { operation: Operation::AuditKeyRotate, ..draft };
        draft.detail.extend(keys::detail(next));
        self.announce(draft, keys, Some(next))
    }

    fn announce(
        &mut self,
        draft: Draft,
        keys: &SigningKeys,
        next: Option<&PublicKeys>,
    ) -> Result<Appended, SealError> {
        // Never two at once: of the last one alone a reader believes that a crash took it.
        self.settle(keys)?;
        // That may have been the last one of this key.
        if keys.public() != &self.keys {
            return Err(SealError::OtherKey);
        }
        let [appended] = self.append_any(&[draft])?[..] else { unreachable!("one draft") };
        self.owed = Some(self.head());
        self.next_keys = next.cloned();
        self.settle(keys)?;
        Ok(appended)
    }

    /// Makes the checkpoint that is owed, if one is.
    ///
    /// # Errors
    /// [`SealError`]; it is owed still.
    pub fn settle(&mut self, keys: &SigningKeys) -> Result<(), SealError> {
        let Some(Head { size, root }) = self.owed else { return Ok(()) };
        if keys.public() != &self.keys {
            return Err(SealError::OtherKey);
        }
        let seconds = (self.system.now)().as_micros() / 1_000_000;
        let origin = keys.public().name().clone();
        let signed = keys.sign(Checkpoint { origin, size, root: root.0 }, seconds)?;
        self.store(size, signed.to_string().as_bytes()).map_err(SealError::NotWritten)?;
        self.checkpoints.push(size);
        self.owed = None;
        if let Some(next) = self.next_keys.take() {
            self.keys = next;
        }
        Ok(())
    }

    fn store(&self, size: u64, note: &[u8]) -> io::Result<()> {
        let name = segment::checkpoint_name(size);
        self.dir.put(&self.path, &name, note, 0o600).map(drop)
    }
}
