//! The checkpoints of a trail: signed by the right key, over the tree that there is, and complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use tlog::{PublicKeys, Role, SignatureError, SignedCheckpoint};

use super::{Expectation, VerifyError};
use crate::hash::{Hash, Head};
use crate::segment::checkpoint_name;
use crate::source::Source;
use crate::verdict::Verdict;

/// The longest checkpoint that is read, in bytes.
pub(crate) const MAX_CHECKPOINT: u64 = tlog::note::MAX_NOTE as u64;

/// The checkpoints that there are, and how far they have been looked at.
#[derive(Debug)]
pub(crate) struct Seals {
    store: Store,
    /// Their sizes, in order.
    sizes: Vec<u64>,
    /// How many of those have been reached.
    reached: usize,
    /// The largest that counts.
    sealed: u64,
    /// Whether the key that the caller expects has signed one.
    is_pinned: bool,
    /// Who has cosigned the largest that counts, by name.
    cosigners: Vec<String>,
    /// The largest, whether it counts or not.
    last: Option<SignedCheckpoint>,
    /// What a checkpoint is announced over that isn't there: a crash came between the two, or
    /// somebody took it away.
    owed: Option<Head>,
}

/// Where their text comes from.
enum Store {
    Source(Arc<Source>),
    Held(BTreeMap<u64, Vec<u8>>),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// What is wrong with a checkpoint.
pub(super) enum Fault {
    /// Signed, and over another tree.
    Contradiction { size: u64 },
    /// Anything else.
    Bad { verdict: Verdict, size: u64, seq: Option<u64>, reason: String },
    /// It can't be read.
    Io(VerifyError),
}

impl Seals {
    /// The checkpoints of these sizes, in order.
    pub fn new(source: Arc<Source>, sizes: Vec<u64>) -> Self {
        Self::build(Store::Source(source), sizes)
    }

    /// Checkpoints in memory, by their sizes.
    pub fn held(checkpoints: BTreeMap<u64, Vec<u8>>) -> Self {
        let sizes = checkpoints.keys().copied().collect();
        Self::build(Store::Held(checkpoints), sizes)
    }

    fn build(store: Store, sizes: Vec<u64>) -> Self {
        Self {
            store,
            sizes,
            reached: 0,
            sealed: 0,
            is_pinned: false,
            cosigners: Vec::new(),
            last: None,
            owed: None,
        }
    }

    /// The size of the next checkpoint.
    pub fn next_size(&self) -> Option<u64> {
        self.sizes.get(self.reached).copied()
    }

    /// The size of the largest checkpoint.
    pub fn last_size(&self) -> Option<u64> {
        self.sizes.last().copied()
    }

    /// How many entries the checkpoints cover that count.
    pub const fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Who cosigned the largest of them.
    pub fn cosigners(&self) -> Vec<String> {
        self.cosigners.clone()
    }

    /// The largest that was reached.
    pub fn last(&self) -> Option<SignedCheckpoint> {
        self.last.clone()
    }

    /// Whether the expected key has signed.
    pub const fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    pub fn take_owed(&mut self) -> Option<Head> {
        self.owed.take()
    }

    /// The trail has come to `head`: whether a good checkpoint is over it.
    pub fn reach(
        &mut self,
        head: Head,
        is_announced: bool,
        keys: &PublicKeys,
        expectation: &Expectation,
    ) -> Result<bool, Fault> {
        let size = head.size;
        if self.next_size() != Some(size) {
            if is_announced && let Some(earlier) = self.owed.replace(head) {
                return Err(missing(Verdict::Truncated, earlier));
            }
            return Ok(false);
        }
        if let Some(earlier) = self.owed {
            return Err(missing(Verdict::Deleted, earlier));
        }
        let signed = self.read(size)?;
        let bad = |verdict, reason| Fault::Bad { verdict, size, seq: None, reason };
        let checkpoint = signed.checkpoint();
        if checkpoint.size != size {
            let reason =
                format!("It is over {} entries, and its name says {size}", checkpoint.size);
            return Err(bad(Verdict::Malformed, reason));
        }
        let signature = |error: SignatureError| {
            bad(Verdict::Signature, format!("It is not signed as it must be: {error}"))
        };
        signed.verify(keys).map_err(signature)?;
        if Hash(checkpoint.root) != head.root {
            return Err(Fault::Contradiction { size });
        }
        let cosigners = cosigners(&signed, &expectation.witnesses).map_err(signature)?;
        self.reached += 1;
        self.last = Some(signed);
        self.is_pinned |= expectation.key.as_ref().is_some_and(|key| key == keys);
        if cosigners.len() >= expectation.witnesses_required {
            (self.sealed, self.cosigners) = (size, cosigners);
        }
        Ok(true)
    }

    fn read(&self, size: u64) -> Result<SignedCheckpoint, Fault> {
        let read = match &self.store {
            Store::Held(checkpoints) => parse(checkpoints.get(&size).map_or(&[], Vec::as_slice)),
            Store::Source(source) => read_checkpoint(source, size).map_err(Fault::Io)?,
        };
        let verdict = Verdict::Malformed;
        read.map_err(|reason| Fault::Bad { verdict, size, seq: None, reason })
    }

    /// What the checkpoints lack, when the trail ends with `size` entries.
    pub fn check_end(
        &self,
        size: u64,
        expectation: &Expectation,
    ) -> Result<(), (Verdict, Option<u64>, String)> {
        // First of all: somebody else's trail may lack anything.
        if expectation.key.is_some() && !self.is_pinned {
            let reason = "No checkpoint in it is signed by the expected key".to_owned();
            return Err((Verdict::Signature, None, reason));
        }
        if let Some(head) = self.owed {
            let reason = format!(
                "Entry {} announces a checkpoint that is not there: it was taken away, or the \
                 machine stopped at that moment and its daemon has not run since",
                head.size - 1
            );
            return Err((Verdict::Truncated, Some(head.size - 1), reason));
        }
        if self.sealed == 0 && expectation.witnesses_required > 0 {
            let reason = format!(
                "No checkpoint in it is cosigned by {} of the {} witnesses",
                expectation.witnesses_required,
                expectation.witnesses.len()
            );
            return Err((Verdict::Signature, None, reason));
        }
        if self.sealed < size && expectation.require_sealed {
            let reason = format!(
                "No checkpoint that counts covers the entries from {} on, of {size}",
                self.sealed
            );
            return Err((Verdict::Unsealed, Some(self.sealed), reason));
        }
        Ok(())
    }
}

fn missing(verdict: Verdict, head: Head) -> Fault {
    let seq = head.size - 1;
    let reason = format!("Entry {seq} announces this checkpoint, and it is not there");
    Fault::Bad { verdict, size: head.size, seq: Some(seq), reason }
}

/// The checkpoint of this size, as it is; or why it is none.
pub(crate) fn read_checkpoint(
    source: &Source,
    size: u64,
) -> Result<Result<SignedCheckpoint, String>, VerifyError> {
    let name = checkpoint_name(size);
    let io = |error| VerifyError::at(&source.path(&name))(error);
    let Some(part) = source.open(&name).map_err(io)? else {
        return Ok(Err("It is not a regular file".to_owned()));
    };
    let bytes = part.read(MAX_CHECKPOINT).map_err(io)?;
    Ok(bytes.ok_or_else(too_long).and_then(|bytes| parse(&bytes)))
}

fn too_long() -> String {
    format!("It is longer than {MAX_CHECKPOINT} bytes")
}

fn parse(bytes: &[u8]) -> Result<SignedCheckpoint, String> {
    if bytes.len() as u64 > MAX_CHECKPOINT {
        return Err(too_long());
    }
    SignedCheckpoint::parse(bytes).map_err(|error| format!("It is no checkpoint: {error}"))
}

/// Those of the witnesses who cosigned a checkpoint, by name.
///
/// One that is given twice counts once, and the trail is no witness of itself.
pub(crate) fn cosigners(
    signed: &SignedCheckpoint,
    witnesses: &[PublicKeys],
) -> Result<Vec<String>, SignatureError> {
    let mut names = Vec::new();
    for witness in witnesses.iter().filter(|keys| keys.role() == Role::Witness) {
        let name = witness.name().to_string();
        if signed.cosigned_by(witness)?.is_some() && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
