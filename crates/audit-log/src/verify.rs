//! Verification, streaming and in constant memory.
//!
//! Four things are asked of each line, in this order, and the first that fails gives the verdict:
//! is it an entry ([`Malformed`](Verdict::Malformed)), is it what it was when it was hashed
//! ([`Edited`](Verdict::Edited)), is it in its place ([`Deleted`](Verdict::Deleted) or
//! [`Reordered`](Verdict::Reordered)), and does it follow the one before (`Edited` again: the one
//! before was hashed anew).

use std::io;
use std::path::{Path, PathBuf};

use crate::entry::Entry;
use crate::genesis::Genesis;
use crate::hash::{Hash, HashAlgorithm, Head};
use crate::line::{LineError, hash_of, parse_line, printable};
use crate::operation::Operation;
use crate::segment::{self, LineFault, Lines, ListError};
use crate::timestamp::Timestamp;
use crate::verdict::{Finding, Report, Verdict};

/// What is known about the trail from elsewhere. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The trail has had this many entries; fewer are a rollback.
    pub size: Option<u64>,
    /// The trail has had this head; fewer entries are a rollback, another hash there a rewrite.
    pub head: Option<Head>,
    /// A manifest says that this is all of it; fewer entries are a truncation, more are a rewrite.
    ///
    /// [`verify_bundle`](crate::verify_bundle) sets it, from the manifest that it finds.
    pub manifest: Option<Head>,
}

/// The trail can't be read, so that there is no verdict.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}; check the path and that you may read it", path.display())]
pub struct VerifyError {
    /// What can't be read.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl VerifyError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { path: path.to_owned(), source }
    }
}

/// Verifies the trail in a directory: the daemon's own, or a copy.
///
/// # Errors
/// [`VerifyError`] when something can't be read; damage of any kind is in the report.
pub fn verify(dir: &Path, expectation: &Expectation) -> Result<Report, VerifyError> {
    Ok(scan(dir, expectation)?.report())
}

/// Verifies lines as they come, from wherever.
#[derive(Debug)]
pub struct Verifier {
    expectation: Expectation,
    chain: Chain,
    /// The name of the file that the lines come from, and the entry that it should begin with.
    file: Option<(String, Option<u64>)>,
    line: u64,
    /// An entry is missing; whether it comes later decides between two verdicts.
    gap: Option<Finding>,
    found: Option<Finding>,
}

/// The entries that are in order.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub genesis: Option<Genesis>,
    pub size: u64,
    pub last: Hash,
    pub time: Timestamp,
}

impl Verifier {
    /// A verifier that waits for entry 0.
    #[must_use]
    pub const fn new(expectation: Expectation) -> Self {
        let chain =
            Chain { genesis: None, size: 0, last: Hash::ZERO, time: Timestamp::from_micros(0) };
        Self { expectation, chain, file: None, line: 0, gap: None, found: None }
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
        let Chain { genesis, size, last, .. } = self.chain;
        Report {
            verdict: self.found.as_ref().map_or(Verdict::Sound, |found| found.verdict),
            finding: self.found,
            entries: size,
            head: (size > 0).then_some(Head { size, hash: last }),
            genesis,
        }
    }

    /// Goes on to a segment that should begin with entry `first`.
    fn enter(&mut self, first: u64) {
        self.file = Some((segment::name(first), Some(first)));
        self.line = 0;
    }

    /// Takes note of something that is wrong where the verifier is.
    fn fail(&mut self, verdict: Verdict, seq: Option<u64>, reason: String) {
        if self.found.is_none() && self.gap.is_none() {
            self.found = Some(self.finding(verdict, seq, reason));
        }
    }

    fn finding(&self, verdict: Verdict, seq: Option<u64>, reason: String) -> Finding {
        let file = self.file.as_ref().map(|(name, _)| name.clone());
        Finding { verdict, seq, file, line: (self.line > 0).then_some(self.line), reason }
    }

    fn check(&mut self, line: &[u8]) -> Result<(), (Verdict, u64, String)> {
        let expected = self.chain.size;
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
        for (head, who) in [
            (self.expectation.head, "the expected head"),
            (self.expectation.manifest, "the manifest"),
        ] {
            if let Some(head) = head
                && head.size == seq + 1
                && head.hash != entry.hash
            {
                let reason = format!("Entry {seq} has another hash than {who} says");
                return Err((Verdict::Rewritten, seq, reason));
            }
        }
        self.chain.size = seq + 1;
        self.chain.last = entry.hash;
        self.chain.time = entry.time;
        Ok(())
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
        let missing = self.chain.size;
        let is_it = parse_line(line)
            .is_ok_and(|entry| entry.seq == missing && self.is_intact(&entry, line));
        if is_it {
            self.gap = None;
            let reason = format!("Entry {missing} comes after later entries");
            self.fail(Verdict::Reordered, Some(missing), reason);
        }
    }

    fn check_end(&self) -> Result<(), (Verdict, Option<u64>, String)> {
        let size = self.chain.size;
        let Expectation { size: expected, head, manifest } = self.expectation;
        if size == 0 {
            return Err((Verdict::Absent, None, "Not one entry was found".to_owned()));
        }
        if let Some(manifest) = manifest
            && manifest.size > size
        {
            let reason =
                format!("There are {size} entries, and the manifest says {}", manifest.size);
            return Err((Verdict::Truncated, Some(size), reason));
        }
        let expected = expected.unwrap_or(0).max(head.map_or(0, |head| head.size));
        if expected > size {
            let reason = format!("There are {size} entries, and there have been {expected}");
            return Err((Verdict::RolledBack, Some(size), reason));
        }
        if let Some(manifest) = manifest
            && manifest.size < size
        {
            let reason =
                format!("There are {size} entries, and the manifest says {}", manifest.size);
            return Err((Verdict::Rewritten, Some(manifest.size), reason));
        }
        Ok(())
    }
}

fn unreadable(seq: u64, error: &LineError) -> String {
    format!("What stands in the place of entry {seq} cannot be read: {error}")
}

/// A trail that was read to its end, or to the first thing that is wrong.
pub(crate) struct Scan {
    pub verifier: Verifier,
    /// The segments by their first entries.
    pub segments: Vec<u64>,
    /// The length of the last segment up to the last whole line, in bytes.
    pub end: u64,
    /// The bytes after that.
    pub torn: Option<u64>,
}

impl Scan {
    pub fn report(mut self) -> Report {
        if let Some(torn) = self.torn {
            self.verifier.line += 1;
            let seq = Some(self.verifier.chain.size);
            let reason = format!("The last line is torn: {torn} bytes, and no newline");
            self.verifier.fail(Verdict::Truncated, seq, reason);
        }
        self.verifier.finish()
    }

    /// The chain, and what is wrong with it but for a torn end.
    pub fn chain(self) -> Result<Chain, Box<Report>> {
        let chain = self.verifier.chain.clone();
        let report = self.verifier.finish();
        if report.verdict == Verdict::Sound { Ok(chain) } else { Err(report.into()) }
    }
}

/// Reads the trail in `dir`; a torn end is noted, and not yet taken for damage.
pub(crate) fn scan(dir: &Path, expectation: &Expectation) -> Result<Scan, VerifyError> {
    let mut verifier = Verifier::new(*expectation);
    let segments = match segment::list(dir) {
        Ok(segments) => segments,
        Err(ListError::Io(source)) => return Err(VerifyError::at(dir)(source)),
        Err(ListError::NotADirectory) => {
            let reason = format!("{} is not a directory", dir.display());
            verifier.fail(Verdict::Malformed, None, reason);
            Vec::new()
        }
        Err(ListError::Foreign(name)) => {
            let reason = "A file that is not a segment lies among the segments".to_owned();
            verifier.file = Some((printable(&name), None));
            verifier.fail(Verdict::Malformed, None, reason);
            Vec::new()
        }
    };
    let mut scan = Scan { verifier, segments: Vec::new(), end: 0, torn: None };
    for (index, first) in segments.iter().enumerate() {
        scan.segment(dir, *first, index + 1 == segments.len())?;
        if scan.verifier.found.is_some() {
            break;
        }
    }
    scan.segments = segments;
    Ok(scan)
}

impl Scan {
    fn segment(&mut self, dir: &Path, first: u64, is_last: bool) -> Result<(), VerifyError> {
        let path = dir.join(segment::name(first));
        self.verifier.enter(first);
        let Some(file) = segment::open_regular(&path).map_err(VerifyError::at(&path))? else {
            let reason = "It is not a regular file".to_owned();
            self.verifier.fail(Verdict::Malformed, None, reason);
            return Ok(());
        };
        let mut lines = Lines::between(file, 0, u64::MAX).map_err(VerifyError::at(&path))?;
        loop {
            match lines.next() {
                Ok(Some(line)) => {
                    if self.verifier.feed(line).is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => break,
                Err(LineFault::Io(source)) => return Err(VerifyError::at(&path)(source)),
                Err(LineFault::Torn(bytes)) if is_last => {
                    self.torn = Some(bytes);
                    break;
                }
                Err(fault) => {
                    self.verifier.line += 1;
                    let seq = self.verifier.chain.size;
                    let error = match fault {
                        LineFault::TooLong => LineError::TooLong,
                        _ => LineError::NotOneLine,
                    };
                    self.verifier.fail(Verdict::Malformed, Some(seq), unreadable(seq, &error));
                    return Ok(());
                }
            }
        }
        self.end = lines.offset();
        if self.end == 0 {
            self.check_empty(first, is_last);
        }
        Ok(())
    }

    /// A segment is empty between its making and its first entry, which is only ever the last one.
    fn check_empty(&mut self, first: u64, is_last: bool) {
        let size = self.verifier.chain.size;
        if is_last && first > size {
            let reason = format!("Entry {size} is missing, and the segment is for entry {first}");
            self.verifier.fail(Verdict::Truncated, Some(size), reason);
        } else if !is_last || first < size {
            let reason = "The segment is empty, and it is not the last one".to_owned();
            self.verifier.fail(Verdict::Malformed, None, reason);
        }
    }
}
