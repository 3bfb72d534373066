//! The entries, one after the other.

use std::collections::BTreeMap;

use tlog::PublicKeys;
use tlog::merkle::{Tree, TreeHash, leaf_hash};

use super::block::Block;
use super::seals::Seals;
use super::{Expectation, VerifyError};
use crate::entry::Entry;
use crate::genesis::Genesis;
use crate::hash::{Hash, HashAlgorithm, Head};
use crate::keys;
use crate::line::{LineError, hash_of, parse_line};
use crate::operation::Operation;
use crate::segment;
use crate::timestamp::Timestamp;
use crate::verdict::{Finding, Report, Verdict};

/// Verifies lines as they come, from wherever.
#[derive(Debug)]
pub struct Verifier {
    pub(super) expectation: Expectation,
    pub(super) chain: Chain,
    /// The name of the file that the lines come from, and the entry that it should begin with.
    pub(super) file: Option<(String, Option<u64>)>,
    pub(super) line: u64,
    /// An entry is missing; whether it comes later decides between two verdicts.
    gap: Option<Finding>,
    pub(super) found: Option<Finding>,
    /// The checkpoints; none when nobody has any.
    pub(super) seals: Option<Seals>,
    /// The size at which the tree has to be looked at next.
    pub(super) landmark: u64,
    /// The largest size at which it was what a checkpoint says.
    pub(super) signed: u64,
    /// The largest at which it was what the caller knows of it, a signature of the expected key
    /// included. A checkpoint alone proves nothing of what came before a forger signed it.
    pub(super) proven: u64,
    /// A checkpoint that could not be read ends everything.
    pub(super) unreadable: Option<VerifyError>,
}

/// The entries that are in order.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub genesis: Option<Genesis>,
    pub last: Hash,
    pub time: Timestamp,
    pub tree: Tree,
    /// The keys that sign the next checkpoint.
    pub keys: Option<PublicKeys>,
    /// The keys that an entry brought and no checkpoint has confirmed.
    pub next_keys: Option<PublicKeys>,
}

impl Chain {
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    pub fn head(&self) -> Head {
        Head { size: self.size(), root: Hash(self.tree.root()) }
    }
}

/// What is wrong, with which entry.
type Fail = (Verdict, u64, String);

impl Verifier {
    /// A verifier that waits for entry 0, and knows of no checkpoints.
    #[must_use]
    pub fn new(expectation: Expectation) -> Self {
        Self::build(expectation, None)
    }

    /// As before, and `checkpoints` are all there are, by their sizes.
    #[must_use]
    pub fn with_checkpoints(expectation: Expectation, checkpoints: BTreeMap<u64, Vec<u8>>) -> Self {
        Self::build(expectation, Some(Seals::held(checkpoints)))
    }

    pub(super) fn build(expectation: Expectation, seals: Option<Seals>) -> Self {
        let chain = Chain {
            genesis: None,
            last: Hash::ZERO,
            time: Timestamp::from_micros(0),
            tree: Tree::new(),
            keys: None,
            next_keys: None,
        };
        let mut verifier = Self {
            expectation,
            chain,
            file: None,
            line: 0,
            gap: None,
            found: None,
            seals,
            landmark: 0,
            signed: 0,
            proven: 0,
            unreadable: None,
        };
        verifier.landmark = verifier.next_landmark();
        verifier
    }

    /// Takes the next line, with its newline.
    ///
    /// # Errors
    /// The first thing that is wrong, now and on every later call. A missing entry is reported by
    /// [`Verifier::finish`] or by the line that turns out to be it, so go on until then.
    pub fn feed(&mut self, line: &[u8]) -> Result<(), Finding> {
        if let Some(found) = &self.found {
            return Err(found.clone());
        }
        self.line += 1;
        if self.gap.is_some() {
            self.look_for_missing(line);
        } else if let Err((verdict, seq, reason)) = self.check(line) {
            self.fail(verdict, Some(seq), reason);
        }
        self.found.clone().map_or(Ok(()), Err)
    }

    /// Takes the next lines at once, when they are in order and nothing about them needs a closer
    /// look; otherwise they have to be fed.
    pub(super) fn accept(&mut self, block: &Block) -> bool {
        let begins_file = match &self.file {
            Some((_, Some(first))) if self.line == 0 => *first == block.first,
            _ => true,
        };
        let follows = self.chain.genesis.is_some()
            && block.first == self.chain.size()
            && block.prev_hash == self.chain.last;
        if self.found.is_some() || self.gap.is_some() || !begins_file || !follows {
            return false;
        }
        let mut seals = block.seals.iter().peekable();
        for (seq, leaf) in (block.first..).zip(&block.leaves) {
            self.line += 1;
            self.advance(*leaf, seals.next_if_eq(&&seq).is_some());
            if self.found.is_some() {
                return true;
            }
        }
        (self.chain.last, self.chain.time) = (block.last, block.time);
        true
    }

    /// Whether whole blocks may be accepted from here on, and how they are hashed.
    pub(super) fn in_order(&self) -> Option<HashAlgorithm> {
        let is_clean = self.found.is_none() && self.gap.is_none();
        self.chain.genesis.as_ref().filter(|_| is_clean).map(|genesis| genesis.hash)
    }

    /// Concludes that there are no more lines.
    #[must_use]
    pub fn finish(mut self) -> Report {
        if self.found.is_none() {
            self.found = self.gap.take();
        }
        if self.found.is_none()
            && let Err((verdict, seq, reason)) = self.check_end()
        {
            // The end is a place in no line.
            (self.file, self.line) = (None, 0);
            self.fail(verdict, seq, reason);
        }
        let entries = self.chain.size();
        let head = (entries > 0).then(|| self.chain.head());
        let seals = self.seals.as_ref();
        Report {
            verdict: self.found.as_ref().map_or(Verdict::Sound, |found| found.verdict),
            finding: self.found,
            entries,
            head,
            genesis: self.chain.genesis,
            sealed: seals.map(Seals::sealed),
            keys: self.chain.keys,
            key_was_given: self.expectation.key.is_some(),
            cosigners: seals.map_or_else(Vec::new, Seals::cosigners),
            checkpoint: seals.and_then(Seals::last),
        }
    }

    /// Takes the one checkpoint that is announced and not there, for the writer to make it.
    pub(super) fn take_owed(&mut self) -> Option<Head> {
        self.seals.as_mut().and_then(Seals::take_owed)
    }

    /// Goes on to a segment that should begin with entry `first`.
    pub(super) fn enter(&mut self, first: u64) {
        self.file = Some((segment::name(first), Some(first)));
        self.line = 0;
    }

    /// Takes note of something that is wrong where the verifier is.
    pub(super) fn fail(&mut self, verdict: Verdict, seq: Option<u64>, reason: String) {
        if self.found.is_none() && self.gap.is_none() {
            self.found = Some(self.finding(verdict, seq, reason));
        }
    }

    fn finding(&self, verdict: Verdict, seq: Option<u64>, reason: String) -> Finding {
        let file = self.file.as_ref().map(|(name, _)| name.clone());
        Finding { verdict, seq, file, line: (self.line > 0).then_some(self.line), reason }
    }

    fn check(&mut self, line: &[u8]) -> Result<(), Fail> {
        let expected = self.chain.size();
        let entry = parse_line(line)
            .map_err(|error| (Verdict::Malformed, expected, unreadable(expected, &error)))?;
        if !self.is_intact(&entry, line) {
            // Its place and not its number tells which entry it was: the number may be the lie.
            let reason = format!("Entry {expected} does not match its hash");
            return Err((Verdict::Edited, expected, reason));
        }
        let seq = entry.seq;
        if seq > expected {
            let missing = match seq - expected {
                1 => format!("Entry {expected} is missing before entry {seq}"),
                _ => format!("Entries {expected} to {} are missing before entry {seq}", seq - 1),
            };
            self.gap = Some(self.finding(Verdict::Deleted, Some(expected), missing));
            return Ok(());
        }
        if seq < expected {
            let reason = format!("Entry {seq} stands where entry {expected} should be");
            return Err((Verdict::Reordered, seq, reason));
        }
        if seq == 0 {
            let genesis = Genesis::from_entry(&entry).map_err(|error| {
                (Verdict::Malformed, 0, format!("Entry 0 does not begin a trail: {error}"))
            })?;
            self.chain.keys = Some(genesis.keys.clone());
            self.chain.genesis = Some(genesis);
        } else if entry.operation == Operation::Genesis {
            let reason = format!("Entry {seq} is a second genesis");
            return Err((Verdict::Malformed, seq, reason));
        } else if entry.prev_hash != self.chain.last {
            let previous = seq - 1;
            let reason =
                format!("Entry {previous} is not the one that entry {seq} was written after");
            return Err((Verdict::Edited, previous, reason));
        }
        if let Some((_, Some(first))) = self.file
            && first != seq
            && self.line == 1
        {
            let reason = format!("The file begins with entry {seq}, and its name says {first}");
            return Err((Verdict::Malformed, seq, reason));
        }
        if entry.operation == Operation::AuditKeyRotate {
            self.chain.next_keys = Some(self.new_keys(&entry)?);
        }
        (self.chain.last, self.chain.time) = (entry.hash, entry.time);
        let leaf = leaf_hash(&line[..line.len() - 1]);
        self.advance(leaf, entry.operation.announces_checkpoint());
        Ok(())
    }

    /// The keys that an entry brings, for the same trail as before.
    fn new_keys(&self, entry: &Entry) -> Result<PublicKeys, Fail> {
        let malformed = |error| {
            (Verdict::Malformed, entry.seq, format!("Entry {} brings no keys: {error}", entry.seq))
        };
        let keys = keys::from_detail(&entry.detail).map_err(malformed)?;
        let is_same = self.chain.keys.as_ref().is_some_and(|old| old.name() == keys.name());
        if is_same { Ok(keys) } else { Err(malformed(keys::KeyDetailError::OtherTrail)) }
    }

    /// One entry more is in order.
    fn advance(&mut self, leaf: TreeHash, announces_checkpoint: bool) {
        self.chain.tree.push(leaf);
        if announces_checkpoint || self.chain.size() == self.landmark {
            self.compare(announces_checkpoint);
            self.landmark = self.next_landmark();
        }
    }

    /// Whether the line is as it was when it was hashed.
    fn is_intact(&self, entry: &Entry, line: &[u8]) -> bool {
        let matches = |algorithm| hash_of(line, algorithm) == Ok(entry.hash);
        match &self.chain.genesis {
            Some(genesis) => matches(genesis.hash),
            // What the first line says about its own hash counts for nothing when that line isn't
            // a genesis; but a line under either hash is a whole line of some trail.
            None => match Genesis::from_entry(entry) {
                Ok(genesis) => matches(genesis.hash),
                Err(_) => HashAlgorithm::ALL.into_iter().any(matches),
            },
        }
    }

    /// After a gap, nothing else matters than whether the missing entry is further on.
    fn look_for_missing(&mut self, line: &[u8]) {
        let missing = self.chain.size();
        let is_it = parse_line(line)
            .is_ok_and(|entry| entry.seq == missing && self.is_intact(&entry, line));
        if is_it {
            self.gap = None;
            let reason = format!("Entry {missing} comes after later entries");
            self.fail(Verdict::Reordered, Some(missing), reason);
        }
    }
}

pub(super) fn unreadable(seq: u64, error: &LineError) -> String {
    format!("What stands in the place of entry {seq} cannot be read: {error}")
}
