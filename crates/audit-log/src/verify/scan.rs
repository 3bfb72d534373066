//! Reading the files of a trail, with as many threads as there are.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use memchr::memrchr;

use super::block::Block;
use super::chain::{Chain, Verifier, unreadable};
use super::seals::Seals;
use super::{Expectation, VerifyError};
use crate::hash::{HashAlgorithm, Head};
use crate::line::{LineError, printable};
use crate::segment::{self, LineFault, Lines};
use crate::source::{ListError, Listing, Part, Source};
use crate::verdict::{Report, Verdict};

/// How much is read at a time, in bytes: some two hundred lines.
pub(super) const BLOCK: usize = 64 << 10;

/// A trail that was read to its end, or to the first thing that is wrong.
pub(crate) struct Scan {
    verifier: Verifier,
    /// The segments by their first entries.
    pub segments: Vec<u64>,
    /// The checkpoints by their sizes.
    pub checkpoints: Vec<u64>,
    /// The length of the last segment up to the last whole line, in bytes.
    pub end: u64,
    /// The bytes after that.
    pub torn: Option<u64>,
}

impl Scan {
    pub fn report(mut self) -> Report {
        if let Some(torn) = self.torn {
            self.verifier.line += 1;
            let seq = Some(self.verifier.chain.size());
            let reason = format!("The last line is torn: {torn} bytes, and no newline");
            self.verifier.fail(Verdict::Truncated, seq, reason);
        }
        self.verifier.finish()
    }

    /// The chain, and the checkpoint that is owed; what is wrong with it but for what a crash
    /// leaves: a torn end, and a checkpoint that is announced and was not written.
    pub fn sound(mut self) -> Result<(Chain, Option<Head>), Box<Report>> {
        let chain = self.verifier.chain.clone();
        let owed = self.verifier.take_owed();
        let report = self.verifier.finish();
        if report.verdict == Verdict::Sound { Ok((chain, owed)) } else { Err(report.into()) }
    }
}

/// Reads a trail; a torn end is noted, and not yet taken for damage.
pub(crate) fn scan(
    source: Source,
    expectation: &Expectation,
    threads: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Scan, VerifyError> {
    let mut wrong = None;
    let listing = match source.list() {
        Ok(listing) => listing,
        Err(ListError::Io(error)) => return Err(VerifyError::at(&source.path(""))(error)),
        Err(ListError::NotADirectory) => {
            wrong = Some((None, format!("{} is not a directory", source.path("").display())));
            Listing::default()
        }
        Err(ListError::Foreign(name)) => {
            let reason = "A file that is neither segment nor checkpoint lies among them".to_owned();
            wrong = Some((Some((printable(&name), None)), reason));
            Listing::default()
        }
    };
    let source = Arc::new(source);
    let seals = Seals::new(Arc::clone(&source), listing.checkpoints.clone());
    let mut verifier = Verifier::build(expectation.clone(), Some(seals));
    if let Some((file, reason)) = wrong {
        verifier.file = file;
        verifier.fail(Verdict::Malformed, None, reason);
    }
    let total = total(&source, &listing);
    let mut done = 0;
    let mut progress = |bytes| {
        done += bytes;
        progress(done, total);
    };
    let mut scan =
        Scan { verifier, segments: Vec::new(), checkpoints: Vec::new(), end: 0, torn: None };
    thread::scope(|scope| {
        let readers = Readers::new(scope, threads);
        for (index, first) in listing.segments.iter().enumerate() {
            scan.segment(
                &source,
                *first,
                index + 1 == listing.segments.len(),
                &readers,
                &mut progress,
            )?;
            if scan.verifier.found.is_some() {
                break;
            }
        }
        Ok(())
    })?;
    if let Some(error) = scan.verifier.unreadable.take() {
        return Err(error);
    }
    (scan.segments, scan.checkpoints) = (listing.segments, listing.checkpoints);
    Ok(scan)
}

/// The length of all segments, in bytes, as far as it can be told beforehand.
fn total(source: &Source, listing: &Listing) -> u64 {
    let length = |first: &u64| {
        let part = source.open(&segment::name(*first)).ok()??;
        part.length().ok()
    };
    listing.segments.iter().filter_map(length).sum()
}

impl Scan {
    fn segment(
        &mut self,
        source: &Source,
        first: u64,
        is_last: bool,
        readers: &Readers,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), VerifyError> {
        let name = segment::name(first);
        let path = source.path(&name);
        let at = || VerifyError::at(&path);
        self.verifier.enter(first);
        let Some(part) = source.open(&name).map_err(at())? else {
            let reason = "It is not a regular file".to_owned();
            self.verifier.fail(Verdict::Malformed, None, reason);
            return Ok(());
        };
        let (start, end) = (part.start, part.end);
        let mut blocks = Blocks::new(part).map_err(at())?;
        self.blocks(&mut blocks, readers, progress).map_err(at())?;
        if self.verifier.found.is_some() {
            return Ok(());
        }
        // What is left: nothing, a torn line, or something that is no line at all.
        let Blocks { file, offset, .. } = blocks;
        let mut lines = Lines::between(file, offset, end).map_err(at())?;
        loop {
            match lines.next() {
                Ok(Some(line)) => {
                    if self.verifier.feed(line).is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => break,
                Err(LineFault::Io(source)) => return Err(at()(source)),
                Err(LineFault::Torn(bytes)) if is_last => {
                    self.torn = Some(bytes);
                    break;
                }
                Err(fault) => {
                    self.verifier.line += 1;
                    let seq = self.verifier.chain.size();
                    let error = match fault {
                        LineFault::TooLong => LineError::TooLong,
                        _ => LineError::NotOneLine,
                    };
                    self.verifier.fail(Verdict::Malformed, Some(seq), unreadable(seq, &error));
                    return Ok(());
                }
            }
        }
        self.end = lines.offset() - start;
        if self.end == 0 {
            self.check_empty(first, is_last);
        }
        Ok(())
    }

    /// Takes block after block, in their order, while the readers look at the next ones.
    fn blocks(
        &mut self,
        blocks: &mut Blocks,
        readers: &Readers,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        let mut waiting = VecDeque::new();
        loop {
            while waiting.len() < readers.most_waiting()
                && let Some(algorithm) = self.verifier.in_order()
                && let Some(lines) = blocks.next()?
            {
                waiting.push_back(readers.read(lines, algorithm));
            }
            let (lines, block) = match waiting.pop_front() {
                Some(reading) => reading.finish(),
                // Entry 0 says how to hash the rest, and after a gap every line counts.
                None => match blocks.next()? {
                    Some(lines) => (lines, None),
                    None => return Ok(()),
                },
            };
            if !block.is_some_and(|block| self.verifier.accept(&block)) {
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    if self.verifier.feed(line).is_err() {
                        break;
                    }
                }
            }
            if self.verifier.found.is_some() {
                return Ok(());
            }
            progress(lines.len() as u64);
        }
    }

    /// A segment is empty between its making and its first entry, which is only ever the last one.
    fn check_empty(&mut self, first: u64, is_last: bool) {
        let size = self.verifier.chain.size();
        if is_last && first > size {
            let reason = format!("Entry {size} is missing, and the segment is for entry {first}");
            self.verifier.fail(Verdict::Truncated, Some(size), reason);
        } else if !is_last || first < size {
            let reason = "The segment is empty, and it is not the last one".to_owned();
            self.verifier.fail(Verdict::Malformed, None, reason);
        }
    }
}

/// Whole lines of a file, many at a time.
struct Blocks {
    file: File,
    /// Where the line after those that were handed out begins.
    offset: u64,
    end: u64,
    /// What was read after it.
    rest: Vec<u8>,
}

impl Blocks {
    fn new(part: Part) -> io::Result<Self> {
        let Part { mut file, start, end } = part;
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { file, offset: start, end, rest: Vec::new() })
    }

    /// None at the end, and where no line ends within a block.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut lines = std::mem::take(&mut self.rest);
        let room = (self.end - self.offset).min(BLOCK as u64) - lines.len() as u64;
        lines.reserve_exact(room as usize);
        (&mut self.file).take(room).read_to_end(&mut lines)?;
        let Some(last) = memrchr(b'\n', &lines) else {
            // What was read is lost now, so nothing may be read after it.
            self.end = self.offset;
            return Ok(None);
        };
        self.rest = lines.split_off(last + 1);
        self.offset += lines.len() as u64;
        Ok(Some(lines))
    }
}

/// The threads that look at blocks.
struct Readers {
    threads: usize,
    jobs: Sender<Job>,
}

struct Job {
    lines: Vec<u8>,
    algorithm: HashAlgorithm,
    done: SyncSender<(Vec<u8>, Option<Block>)>,
}

/// A block that one of them has.
struct Reading(Receiver<(Vec<u8>, Option<Block>)>);

impl Readers {
    /// With one thread there is none beside the one that asks.
    fn new<'scope>(scope: &'scope thread::Scope<'scope, '_>, threads: usize) -> Self {
        let (jobs, queue) = channel::<Job>();
        if threads > 1 {
            let queue = Arc::new(Mutex::new(queue));
            for _ in 0..threads {
                let queue = Arc::clone(&queue);
                scope.spawn(move || {
                    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    while let Ok(job) = next() {
                        job.run();
                    }
                });
            }
        }
        Self { threads, jobs }
    }

    /// How many blocks may be under way, so that memory stays constant.
    const fn most_waiting(&self) -> usize {
        self.threads * 4
    }

    fn read(&self, lines: Vec<u8>, algorithm: HashAlgorithm) -> Reading {
        let (done, reading) = sync_channel(1);
        let job = Job { lines, algorithm, done };
        match self.threads {
            1 => job.run(),
            // Without readers (a panic in one of them) nothing arrives, and `finish` says so.
            _ => drop(self.jobs.send(job)),
        }
        Reading(reading)
    }
}

impl Job {
    fn run(self) {
        let block = Block::read(&self.lines, self.algorithm);
        // Nobody waits any more when something was wrong with an earlier block.
        let _ = self.done.send((self.lines, block));
    }
}

impl Reading {
    fn finish(self) -> (Vec<u8>, Option<Block>) {
        self.0.recv().expect("a reader does not panic")
    }
}
