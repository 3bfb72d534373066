//! A file that proves that an entry is in a log: C2SP tlog-proof.

use std::fmt;

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::encoding::{decimal, from_base64, hash, to_base64};
use crate::merkle::{MAX_PATH, TreeHash, root_from_inclusion};

/// The longest proof, in bytes: a checkpoint at its largest, and as much again.
pub const MAX_PROOF: usize = 512 << 10;

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// That the leaf `index` is in the tree of a checkpoint. Nothing in it is checked yet.
///
/// One that was read is written back byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What an application wants to have beside it. Nothing authenticates it. Empty is none.
    pub extra: Option<Vec<u8>>,
    /// Which leaf, counted from 0.
    pub index: u64,
    /// From the leaf's sibling up to the root's child: at most [`MAX_PATH`] (RFC 6962 §2.1.1).
    pub path: Vec<TreeHash>,
    /// The tree that it is in.
    pub checkpoint: SignedCheckpoint,
}

/// Why some bytes are not a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Longer than [`MAX_PROOF`].
    #[error("the proof is longer than {MAX_PROOF} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the proof is not in UTF-8")]
    Utf8,
    /// Another first line.
    #[error("the proof does not begin with {HEADER:?}")]
    Header,
    /// Empty, or not in canonical base64.
    #[error("the extra data of the proof are not in canonical base64")]
    Extra,
    /// Not a number below 2^64 in canonical form.
    #[error("the index of the proof is not a decimal number of 64 bits")]
    Index,
    /// A line of the path is not 32 bytes in canonical base64.
    #[error("a line of the path is not a hash of 32 bytes in canonical base64")]
    Path,
    /// More than [`MAX_PATH`] lines.
    #[error("the path has more than {MAX_PATH} hashes")]
    PathTooLong,
    /// No empty line, and so no checkpoint.
    #[error("the proof has no empty line before its checkpoint")]
    NoCheckpoint,
    /// What follows is not one.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl TlogProof {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`ProofError`]; bytes of any length and content are safe to pass.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF {
            return Err(ProofError::TooLong);
        }
        let proof = std::str::from_utf8(bytes).map_err(|_| ProofError::Utf8)?;
        // The first empty line: a checkpoint has others.
        let (head, checkpoint) = proof.split_once("\n\n").ok_or(ProofError::NoCheckpoint)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(ProofError::Header);
        }
        let mut line = lines.next().ok_or(ProofError::Index)?;
        let mut extra = None;
        if let Some(text) = line.strip_prefix("extra ") {
            let data = from_base64(text).filter(|data| !data.is_empty());
            extra = Some(data.ok_or(ProofError::Extra)?);
            line = lines.next().ok_or(ProofError::Index)?;
        }
        let index = line.strip_prefix("index ").and_then(decimal).ok_or(ProofError::Index)?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == MAX_PATH {
                return Err(ProofError::PathTooLong);
            }
            path.push(hash(line).ok_or(ProofError::Path)?);
        }
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        Ok(Self { extra, index, path, checkpoint })
    }

    /// Whether the path leads from this leaf, by its [`leaf_hash`](crate::merkle::leaf_hash), to the
    /// root of the checkpoint.
    ///
    /// That proves nothing until [`SignedCheckpoint::verify`] has: anyone can write a checkpoint.
    #[must_use]
    pub fn includes(&self, leaf: &TreeHash) -> bool {
        let checkpoint = self.checkpoint.checkpoint();
        root_from_inclusion(leaf, self.index, checkpoint.size, &self.path) == Some(checkpoint.root)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", to_base64(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
