//! That one entry is in the trail: a proof that is made from all lines, and checked without them.
//!
//! It is a C2SP `tlog-proof` whose extra data are the line itself. It leaves out every other entry,
//! of which it tells no more than hashes.

use std::path::Path;

use tlog::merkle::{InclusionBuilder, leaf_hash};
use tlog::{PublicKeys, Role, SignatureError, SignedCheckpoint, TlogProof};

use crate::bundle::{self, Opened};
use crate::entry::Entry;
use crate::hash::HashAlgorithm;
use crate::line::{hash_of, parse_line};
use crate::segment::{LineFault, Lines, name};
use crate::source::{Listing, Source};
use crate::verdict::{Report, Verdict};
use crate::verify::{Expectation, Verifier, VerifyError, cosigners, read_checkpoint};

/// Makes a proof while all lines of the trail go by, once, in order.
///
/// It holds one line and some hashes.
#[derive(Debug)]
pub struct Prover {
    seq: u64,
    checkpoint: SignedCheckpoint,
    path: InclusionBuilder,
    /// The number of lines that came.
    position: u64,
    line: Option<Vec<u8>>,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// No checkpoint covers the entry.
    #[error(
        "no checkpoint covers entry {seq}: the last one covers {sealed} entries; `sesame audit seal` makes one"
    )]
    Unsealed {
        /// The entry.
        seq: u64,
        /// How many entries the last checkpoint covers; 0 when there is none.
        sealed: u64,
    },
    /// The lines are not those that the checkpoint was made over, or not all of them.
    #[error("the trail and its checkpoint disagree: run `sesame audit verify` to see where")]
    Disagree,
    /// What is there is no trail.
    #[error("{0}")]
    Damaged(Box<Report>),
    /// The trail can't be read.
    #[error(transparent)]
    Unreadable(#[from] VerifyError),
}

impl Prover {
    /// A prover that waits for line 0; `None` when the checkpoint doesn't cover entry `seq`.
    #[must_use]
    pub fn new(seq: u64, checkpoint: SignedCheckpoint) -> Option<Self> {
        let path = InclusionBuilder::new(seq, checkpoint.checkpoint().size)?;
        Some(Self { seq, checkpoint, path, position: 0, line: None })
    }

    /// Takes the next line, with its newline or without. Those that the checkpoint doesn't cover are
    /// ignored.
    pub fn push(&mut self, line: &[u8]) {
        if self.is_complete() {
            return;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if self.position == self.seq {
            self.line = Some(line.to_vec());
        }
        self.position += 1;
        self.path.push(leaf_hash(line));
    }

    /// Whether it needs no more lines.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.position == self.checkpoint.checkpoint().size
    }

    /// The proof, which is right if the signature of its checkpoint is.
    ///
    /// # Errors
    /// [`ProveError::Disagree`].
    pub fn finish(self) -> Result<TlogProof, ProveError> {
        let (Some(line), Some(path)) = (self.line, self.path.finish()) else {
            return Err(ProveError::Disagree);
        };
        let leaf = leaf_hash(&line);
        let (index, checkpoint) = (self.seq, self.checkpoint);
        let proof = TlogProof { extra: Some(line), index, path, checkpoint };
        // The path has every other leaf in it, so this compares the roots.
        if proof.includes(&leaf) { Ok(proof) } else { Err(ProveError::Disagree) }
    }
}

/// Proves that entry `seq` is in the bundle or bare trail at `path`, by its last checkpoint.
///
/// Nothing of it is verified but that its lines are those under the checkpoint.
///
/// # Errors
/// [`ProveError`].
pub fn prove_offline(path: &Path, seq: u64) -> Result<TlogProof, ProveError> {
    let Opened { trail, .. } = bundle::open(path)?.map_err(ProveError::Damaged)?;
    let Ok(Listing { segments, checkpoints }) = trail.list() else {
        return Err(ProveError::Disagree);
    };
    if segments.is_empty() {
        let absent = Verifier::new(Expectation::default()).finish();
        return Err(ProveError::Damaged(absent.into()));
    }
    let Some(size) = checkpoints.last() else {
        return Err(ProveError::Unsealed { seq, sealed: 0 });
    };
    let checkpoint = read_checkpoint(&trail, *size)?.map_err(|_| ProveError::Disagree)?;
    let sealed = checkpoint.checkpoint().size;
    let Some(mut prover) = Prover::new(seq, checkpoint) else {
        return Err(ProveError::Unsealed { seq, sealed });
    };
    for first in segments {
        if prover.is_complete() {
            break;
        }
        push_segment(&trail, &name(first), &mut prover)?;
    }
    prover.finish()
}

fn push_segment(trail: &Source, name: &str, prover: &mut Prover) -> Result<(), ProveError> {
    let path = trail.path(name);
    let io = || VerifyError::at(&path);
    let part = trail.open(name).map_err(io())?.ok_or(ProveError::Disagree)?;
    let mut lines = Lines::between(part.file, part.start, part.end).map_err(io())?;
    while !prover.is_complete() {
        match lines.next() {
            Ok(Some(line)) => prover.push(line),
            Ok(None) => break,
            Err(LineFault::Io(error)) => return Err(io()(error).into()),
            Err(LineFault::Torn(_) | LineFault::TooLong) => return Err(ProveError::Disagree),
        }
    }
    Ok(())
}

/// An entry that a proof shows to be in a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenEntry {
    /// The entry.
    pub entry: Entry,
    /// How many entries the trail had when it was sealed.
    pub size: u64,
    /// The witnesses who saw the trail as it was then, by name.
    pub cosigners: Vec<String>,
}

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// The key that was given can't be that of a trail.
    #[error("the key is that of a witness, and not that of a trail")]
    NotALog,
    /// The trail's key didn't sign the checkpoint, or a witness's signature is wrong.
    #[error("a signature of the checkpoint is wrong or missing: {0}")]
    Signature(#[from] SignatureError),
    /// Too few of the witnesses signed it.
    #[error("{present} of the {known} witnesses have cosigned the checkpoint, and {required} must")]
    Witnesses {
        /// How many did.
        present: usize,
        /// How many must.
        required: usize,
        /// How many were given.
        known: usize,
    },
    /// The entry is not in the trail that was signed, not in this place or not as it was written.
    #[error("the entry is not the one that stands there in the signed trail")]
    NotIncluded,
    /// The proof has no entry, or the trail something that is none.
    #[error("the proof holds no entry of a trail: {0}")]
    Malformed(String),
}

impl ProofFault {
    /// What a verification of the trail would call it; it has the exit code.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::NotALog | Self::Signature(_) | Self::Witnesses { .. } => Verdict::Signature,
            Self::NotIncluded => Verdict::Rewritten,
            Self::Malformed(_) => Verdict::Malformed,
        }
    }
}

/// Checks a proof under the key that signed its checkpoint, and `required` of the `witnesses`.
///
/// After a rotation that is the newer key: a proof says nothing of the rotation.
///
/// # Errors
/// [`ProofFault`].
pub fn verify_proof(
    proof: &TlogProof,
    key: &PublicKeys,
    witnesses: &[PublicKeys],
    required: usize,
) -> Result<ProvenEntry, ProofFault> {
    let malformed = |reason: &str| ProofFault::Malformed(reason.to_owned());
    let line = proof.extra.as_ref().ok_or_else(|| malformed("it has no extra data"))?;
    if key.role() != Role::Log {
        return Err(ProofFault::NotALog);
    }
    proof.checkpoint.verify(key)?;
    let cosigners = cosigners(&proof.checkpoint, witnesses)?;
    if cosigners.len() < required {
        let (present, known) = (cosigners.len(), witnesses.len());
        return Err(ProofFault::Witnesses { present, required, known });
    }
    if !proof.includes(&leaf_hash(line)) {
        return Err(ProofFault::NotIncluded);
    }
    let line = [line.as_slice(), b"\n"].concat();
    let entry = parse_line(&line).map_err(|error| malformed(&error.to_string()))?;
    if entry.seq != proof.index {
        return Err(malformed("its number is not its place"));
    }
    // Which of the two it is, entry 0 says, and that isn't here.
    let is_intact =
        HashAlgorithm::ALL.into_iter().any(|algorithm| hash_of(&line, algorithm) == Ok(entry.hash));
    if !is_intact {
        return Err(malformed("it does not match its hash"));
    }
    Ok(ProvenEntry { entry, size: proof.checkpoint.checkpoint().size, cosigners })
}
