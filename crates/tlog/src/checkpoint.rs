//! How large a log is and what its root is: C2SP tlog-checkpoint.

use std::fmt;
use std::str::FromStr;

use crate::cosignature::{self, SignatureError};
use crate::encoding::{decimal, hash, to_base64};
use crate::keys::PublicKeys;
use crate::merkle::TreeHash;
use crate::name::{KeyId, KeyName, KeyNameError};
use crate::note::{MAX_NOTE, MAX_SIGNATURES, Note, NoteError, Signature, write_note};

/// What a log says of itself: who it is, how many leaves it has and the root over them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Which log: the name of its keys. C2SP would allow any line; one name for both leaves nothing
    /// to mix up.
    pub origin: KeyName,
    /// The number of leaves.
    pub size: u64,
    /// The root of the tree over them (RFC 6962 §2.1).
    pub root: TreeHash,
}

/// A checkpoint and its signatures, none of them checked until [`SignedCheckpoint::verify`].
///
/// One that was read is written back byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<Signature>,
}

/// Why something is not a signed checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a note at all.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Fewer than three lines, or no newline after the third.
    #[error("a checkpoint has three lines: origin, size and root")]
    Lines,
    /// A fourth line. C2SP allows it and advises against it. We refuse it, because an ML-DSA-44
    /// signature doesn't cover it: anyone could write there.
    #[error("the checkpoint has an extension line, which its ML-DSA-44 signature would not cover")]
    Extension,
    /// The first line is not the name of a log.
    #[error("the origin of the checkpoint is not a name: {0}")]
    Origin(#[from] KeyNameError),
    /// The second line is not a number below 2^64 in canonical form.
    #[error("the size of the checkpoint is not a decimal number of 64 bits")]
    Size,
    /// The third line is not 32 bytes in canonical base64.
    #[error("the root of the checkpoint is not 32 bytes in canonical base64")]
    Root,
}

/// Why signatures can't be added to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The checkpoint, or what was to be added, has one of the same name and id.
    #[error("the checkpoint has a signature of {name} with the key id {id} already")]
    Duplicate {
        /// Whose.
        name: KeyName,
        /// Of which of its keys.
        id: KeyId,
    },
    /// The result would be larger than a note may be.
    #[error("the checkpoint would have more than {MAX_SIGNATURES} signatures or {MAX_NOTE} bytes")]
    TooLarge,
}

impl Checkpoint {
    /// The text that is signed: three lines, each with its newline.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, to_base64(&self.root))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    /// Reads the text of [`Checkpoint::text`], and nothing else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.splitn(4, '\n');
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        if lines.next().is_some() {
            return Err(CheckpointError::Extension);
        }
        Ok(Self {
            origin: origin.parse()?,
            size: decimal(size).ok_or(CheckpointError::Size)?,
            root: hash(root).ok_or(CheckpointError::Root)?,
        })
    }
}

impl SignedCheckpoint {
    pub(crate) fn new(checkpoint: Checkpoint, signatures: Vec<Signature>) -> Self {
        Self { checkpoint, signatures }
    }

    /// Reads a checkpoint with its signatures.
    ///
    /// # Errors
    /// [`CheckpointError`]; bytes of any length and content are safe to pass.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (text, signatures) = Note::parse(bytes)?.into_parts();
        Ok(Self { checkpoint: text.parse()?, signatures })
    }

    /// What is signed. To be ignored until a signature is verified.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signatures, known or not, in their order; one at least.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Verifies that the holder of `keys` signed this checkpoint, with both. Signatures of anybody
    /// else are ignored, as C2SP signed-note wants it.
    ///
    /// # Errors
    /// [`SignatureError`]; for a log also when its name is not the origin.
    pub fn verify(&self, keys: &PublicKeys) -> Result<(), SignatureError> {
        match self.cosigned_by(keys)? {
            Some(_) => Ok(()),
            None => Err(SignatureError::missing(keys.ed25519())),
        }
    }

    /// When this witness cosigned, in POSIX seconds; `None` when it has no signature here.
    ///
    /// # Errors
    /// [`SignatureError`], when only one of its two signatures is there, or one is wrong.
    pub fn cosigned_by(&self, witness: &PublicKeys) -> Result<Option<u64>, SignatureError> {
        cosignature::time_of(&self.checkpoint, &self.signatures, witness)
    }

    /// Adds signatures below those that are there. It does not verify them.
    ///
    /// # Errors
    /// [`AddError`]; nothing was added then.
    pub fn add_signatures(&mut self, signatures: Vec<Signature>) -> Result<(), AddError> {
        let mut all = self.signatures.clone();
        for signature in signatures {
            let same = |other: &Signature| {
                (other.name(), other.id()) == (signature.name(), signature.id())
            };
            if all.iter().any(same) {
                let name = signature.name().clone();
                return Err(AddError::Duplicate { name, id: signature.id() });
            }
            all.push(signature);
        }
        let sum = Self { checkpoint: self.checkpoint.clone(), signatures: all };
        if sum.signatures.len() > MAX_SIGNATURES || sum.to_string().len() > MAX_NOTE {
            return Err(AddError::TooLarge);
        }
        *self = sum;
        Ok(())
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_note(f, &self.checkpoint.text(), &self.signatures)
    }
}
