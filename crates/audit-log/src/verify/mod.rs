//! Verification, streaming and in constant memory.
//!
//! Four things are asked of each line, in this order, and the first that fails gives the
//! [`Verdict`](crate::Verdict): is it an entry (malformed), is it what it was when it was hashed
//! (edited), is it in its place (deleted or reordered), and does it follow the one before (edited
//! again: the one before was hashed anew). That is `chain`.
//!
//! Whoever can write the trail can hash it anew. So the tree over the entries is compared with what
//! was fixed about it (`known`): the checkpoints that the trail's key signed (`seals`), a head on
//! paper, a manifest. It may be rewritten, rolled back or truncated then.
//!
//! `scan` reads files and feeds the chain, the lines of whole blocks at a time where it can
//! (`block`), which several threads look at.

mod block;
mod chain;
mod known;
mod scan;
mod seals;
#[cfg(test)]
mod tests;

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use tlog::PublicKeys;

use crate::hash::{ExpectedHead, Head};
use crate::source::Source;
use crate::verdict::Report;

pub use chain::Verifier;
pub(crate) use scan::scan;
pub(crate) use seals::{MAX_CHECKPOINT, cosigners, read_checkpoint};

/// What is known about the trail from elsewhere. The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The trail has had this many entries; fewer are a rollback.
    pub size: Option<u64>,
    /// The trail has had this head; fewer entries are a rollback, another root there a rewrite.
    pub head: Option<ExpectedHead>,
    /// A manifest says that this is all of it; fewer entries are a truncation, more are a rewrite.
    ///
    /// [`verify_bundle`](crate::verify_bundle) sets it, from the manifest that it finds.
    pub manifest: Option<Head>,
    /// The key that must have signed a checkpoint, itself or through keys that it signed.
    pub key: Option<PublicKeys>,
    /// Those who may have cosigned a checkpoint.
    pub witnesses: Vec<PublicKeys>,
    /// How many of them must have: without, a checkpoint counts for nothing but its signature.
    pub witnesses_required: usize,
    /// Whether a tail that no checkpoint covers is an error.
    pub require_sealed: bool,
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
    verify_source(Source::Directory(dir.to_owned()), expectation, &mut |_, _| ())
}

/// As [`verify`], from wherever; `progress` hears how many bytes of how many are done.
pub(crate) fn verify_source(
    source: Source,
    expectation: &Expectation,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    Ok(scan(source, expectation, threads(), progress)?.report())
}

/// How many threads to read with.
fn threads() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_THREADS)
}

/// More threads than this wait for the one that puts their work together.
const MAX_THREADS: usize = 8;
