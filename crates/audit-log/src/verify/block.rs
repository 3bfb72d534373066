//! Many lines at once: all that can be said of them without the lines before.

use memchr::memchr;
use tlog::merkle::{TreeHash, leaf_hash};

use crate::hash::{Hash, HashAlgorithm};
use crate::line::hash_of;
use crate::operation::Operation;
use crate::outline::outline;
use crate::timestamp::Timestamp;

/// Lines that follow each other, each as it was when it was hashed.
pub(super) struct Block {
    /// The number of the first entry.
    pub first: u64,
    /// What the first entry was written after.
    pub prev_hash: Hash,
    /// The hash of the last entry, and its time.
    pub last: Hash,
    pub time: Timestamp,
    /// What each is in the tree.
    pub leaves: Vec<TreeHash>,
    /// The numbers of those that announce a checkpoint.
    pub seals: Vec<u64>,
}

impl Block {
    /// Reads whole lines; none when something about them needs a closer look, which doesn't mean
    /// that it is wrong.
    pub fn read(lines: &[u8], algorithm: HashAlgorithm) -> Option<Self> {
        let mut rest = lines;
        let mut block: Option<Self> = None;
        let (mut last_hash, mut last_time) = (&[0; 64], "");
        while let Some(newline) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(newline + 1);
            rest = after;
            let entry = outline(line)?;
            let hash = hash_of(line, algorithm).ok()?;
            if hash.to_hex() != *entry.hash {
                return None;
            }
            let block = match &mut block {
                Some(block) if entry.prev_hash == last_hash => block,
                Some(_) => return None,
                None => block.insert(Self {
                    first: entry.seq,
                    prev_hash: Hash::from_hex(entry.prev_hash)?,
                    last: hash,
                    time: Timestamp::from_micros(0),
                    leaves: Vec::with_capacity(lines.len() / 256),
                    seals: Vec::new(),
                }),
            };
            if entry.seq != block.first.checked_add(block.leaves.len() as u64)? {
                return None;
            }
            match entry.operation {
                // These change what is expected of the lines after them.
                Operation::Genesis | Operation::AuditKeyRotate => return None,
                Operation::AuditSeal => block.seals.push(entry.seq),
                _ => {}
            }
            block.leaves.push(leaf_hash(&line[..newline]));
            block.last = hash;
            (last_hash, last_time) = (entry.hash, entry.time);
        }
        let mut block = block.filter(|_| rest.is_empty())?;
        block.time = last_time.parse().ok()?;
        Some(block)
    }
}
