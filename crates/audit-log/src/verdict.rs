//! What a verification can conclude.

use std::fmt;

use tlog::{PublicKeys, SignedCheckpoint};

use crate::genesis::Genesis;
use crate::hash::Head;

/// The one thing that is wrong with a trail, or that nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is there, in its place, as it was written.
    Sound,
    /// An entry doesn't match its hash, or the hash that the next one has for it.
    Edited,
    /// Entries are missing before the end.
    Deleted,
    /// An entry is out of its place, or there twice.
    Reordered,
    /// The end is missing: the last line is torn, or the manifest promises more.
    Truncated,
    /// Older than the head that was expected of it.
    RolledBack,
    /// A valid chain, and not the one that was expected.
    Rewritten,
    /// No entry at all.
    Absent,
    /// A checkpoint without the signatures that it must have.
    Signature,
    /// Not a trail, or with something in it that no writer makes.
    Malformed,
    /// Sound, but for a tail that no checkpoint covers, where the caller wants none.
    Unsealed,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 11] = [
        Self::Sound,
        Self::Edited,
        Self::Deleted,
        Self::Reordered,
        Self::Truncated,
        Self::RolledBack,
        Self::Rewritten,
        Self::Absent,
        Self::Signature,
        Self::Malformed,
        Self::Unsealed,
    ];

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::RolledBack => "rolled-back",
            Self::Rewritten => "rewritten",
            Self::Absent => "absent",
            Self::Signature => "signature",
            Self::Malformed => "malformed",
            Self::Unsealed => "unsealed",
        }
    }

    /// The exit code of a program whose work was the verification.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Sound => 0,
            Self::Edited => 10,
            Self::Deleted => 11,
            Self::Reordered => 12,
            Self::Truncated => 13,
            Self::RolledBack => 14,
            Self::Rewritten => 15,
            Self::Absent => 16,
            Self::Signature => 17,
            Self::Malformed => 18,
            Self::Unsealed => 19,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sound => "The trail is sound: every entry is in its place, as it was written.",
            Self::Edited => "The trail was edited: an entry is not as it was written.",
            Self::Deleted => "Entries were deleted from the trail.",
            Self::Reordered => "The trail was reordered: an entry is out of its place or repeated.",
            Self::Truncated => "The trail was truncated: its end is missing.",
            Self::RolledBack => "The trail was rolled back: it is older than the expected head.",
            Self::Rewritten => {
                "The trail was rewritten: it is a valid chain, but not the expected one."
            }
            Self::Absent => "The trail is absent: there is no entry.",
            Self::Signature => "A signature or key is wrong or missing.",
            Self::Unsealed => "The trail is sound, and its end is not sealed by a checkpoint.",
            Self::Malformed => "The trail is malformed: it holds something that no writer makes.",
        })
    }
}

/// The first thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Never [`Verdict::Sound`].
    pub verdict: Verdict,
    /// The first bad or missing entry, when it can be told.
    pub seq: Option<u64>,
    /// The name of the file, when lines come from files.
    pub file: Option<String>,
    /// The line in the file, or in all that was fed; from 1.
    pub line: Option<u64>,
    /// What is wrong with it, for people.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({file}, line {line})"),
            (Some(file), None) => write!(f, " ({file})"),
            (None, Some(line)) => write!(f, " (line {line})"),
            (None, None) => Ok(()),
        }
    }
}

impl std::error::Error for Finding {}

/// The outcome of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it comes to.
    pub verdict: Verdict,
    /// Why, unless the trail is sound.
    pub finding: Option<Finding>,
    /// The entries that are in order, from the first one to the first bad one.
    pub entries: u64,
    /// The last of those.
    pub head: Option<Head>,
    /// What the first of those says.
    pub genesis: Option<Genesis>,
    /// How many of them checkpoints cover that count: signed, and cosigned by as many witnesses as
    /// required. None when there was no looking for checkpoints.
    pub sealed: Option<u64>,
    /// The keys that sign the trail, by its own account, from here on.
    pub keys: Option<PublicKeys>,
    /// Whether the caller gave a key, which signed this trail if it is sound.
    pub key_was_given: bool,
    /// Who cosigned the largest checkpoint that counts.
    pub cosigners: Vec<String>,
    /// The largest good checkpoint, whether it counts or not.
    pub checkpoint: Option<SignedCheckpoint>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if let Some(finding) = &self.finding {
            return write!(f, " {finding}.");
        }
        match self.sealed {
            Some(sealed) if sealed == self.entries => Ok(()),
            Some(sealed) => {
                let tail = self.entries - sealed;
                write!(
                    f,
                    " No checkpoint covers the last {tail} of {}: whoever has the files could have \
                     written those.",
                    self.entries
                )
            }
            None => Ok(()),
        }
    }
}
