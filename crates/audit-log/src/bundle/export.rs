//! Writing a bundle.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::destination::{Destination, Trouble, retract};
use super::{MANIFEST, PUBLIC_KEY, verify_bundle};
use crate::hash::Hash;
use crate::manifest::{Manifest, ManifestFile};
use crate::segment;
use crate::timestamp::Timestamp;
use crate::verdict::{Finding, Report, Verdict};
use crate::verify::{Expectation, Verifier, VerifyError};

/// The most that goes into one file of a bundle, in bytes; that much is held in memory.
const SEGMENT_BYTES: usize = 4 << 20;

/// Why a trail can't be exported; what was written of it is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is something at the destination.
    #[error("{} is there already and is not an empty directory: choose another destination", .0.display())]
    Occupied(PathBuf),
    /// The lines that came are not a sound trail.
    #[error("the trail is not sound, and was not exported: {0}")]
    Unsound(Finding),
    /// Not one line came.
    #[error("there are no entries to export")]
    Empty,
    /// What was read back is not what was written: the medium is bad.
    #[error("the bundle is not as it was written: {0} Try another medium")]
    ReadBack(Box<Report>),
    /// The file system refused.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<VerifyError> for ExportError {
    fn from(error: VerifyError) -> Self {
        Self::Io { path: error.path, source: error.source }
    }
}

/// Writes a bundle from the lines and checkpoints of a trail, verifying them on the way.
///
/// One that isn't finished leaves a directory that [`verify_bundle`] calls absent. Of a tar file
/// nothing is left, or, when the process was killed, one without an end whose name ends in
/// `.partial`.
pub struct Exporter {
    path: PathBuf,
    destination: Destination,
    verifier: Verifier,
    files: Vec<ManifestFile>,
    checkpoints: Vec<u64>,
    /// The lines of the segment that comes next, and its first entry.
    segment: Vec<u8>,
    first: u64,
    size: u64,
}

impl Exporter {
    /// Begins a bundle in `path`, which must not exist or be an empty directory, but for its parent.
    ///
    /// A path that ends in `.tar` becomes one file.
    ///
    /// # Errors
    /// [`ExportError::Occupied`], [`ExportError::Io`].
    pub fn create(path: &Path) -> Result<Self, ExportError> {
        let destination = Destination::create(path).map_err(|trouble| failed(path, trouble))?;
        Ok(Self {
            path: path.to_owned(),
            destination,
            verifier: Verifier::new(Expectation::default()),
            files: Vec::new(),
            checkpoints: Vec::new(),
            segment: Vec::new(),
            first: 0,
            size: 0,
        })
    }

    /// Takes the next lines of the trail, whole ones and as they are.
    ///
    /// # Errors
    /// [`ExportError::Unsound`] at the first line that is not the next one of a sound trail,
    /// [`ExportError::Io`].
    pub fn push(&mut self, lines: &[u8]) -> Result<(), ExportError> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.verifier.feed(line).map_err(ExportError::Unsound)?;
            if self.segment.len() + line.len() > SEGMENT_BYTES {
                self.close()?;
            }
            self.segment.extend_from_slice(line);
            self.size += 1;
        }
        Ok(())
    }

    /// Takes the next checkpoint, the one over `size` entries.
    ///
    /// # Errors
    /// [`ExportError::Io`]; whether it is good is seen when the bundle is read back.
    pub fn push_checkpoint(&mut self, size: u64, note: &[u8]) -> Result<(), ExportError> {
        let name = segment::checkpoint_name(size);
        let added = self.destination.add_to_trail(&name, note);
        added.map_err(|trouble| failed(&self.path, trouble))?;
        self.checkpoints.push(size);
        Ok(())
    }

    /// Writes the manifest, makes all of it durable, reads it back and verifies it.
    ///
    /// # Errors
    /// [`ExportError`]; only without one is there a bundle.
    pub fn finish(mut self) -> Result<Manifest, ExportError> {
        self.close()?;
        let report = self.verifier.finish();
        let (head, genesis) = match (report.finding, report.head, report.genesis) {
            (None, Some(head), Some(genesis)) => (head, genesis),
            (Some(finding), ..) if finding.verdict != Verdict::Absent => {
                return Err(ExportError::Unsound(finding));
            }
            _ => return Err(ExportError::Empty),
        };
        let manifest = Manifest {
            format: Manifest::FORMAT,
            installation: genesis.installation,
            hash: genesis.hash,
            entries: head.size,
            root: head.root,
            created: Timestamp::now(),
            files: self.files,
            checkpoints: self.checkpoints,
        };
        let failed = |trouble| failed(&self.path, trouble);
        let io = |source: serde_json::Error| failed(Trouble::Io(self.path.clone(), source.into()));
        let mut json = serde_json::to_vec_pretty(&manifest).map_err(io)?;
        json.push(b'\n');
        let key = genesis.keys.to_string();
        self.destination.add(PUBLIC_KEY, key.as_bytes()).map_err(failed)?;
        self.destination.add(MANIFEST, &json).map_err(failed)?;
        self.destination.finish().map_err(failed)?;

        let head = Some(head.into());
        let expectation = Expectation { head, require_sealed: true, ..Expectation::default() };
        let report = verify_bundle(&self.path, &expectation)?;
        match (report.verdict, &report.finding) {
            (Verdict::Sound, _) => Ok(manifest),
            (Verdict::Signature | Verdict::Unsealed, Some(finding)) => {
                retract(&self.path);
                Err(ExportError::Unsound(finding.clone()))
            }
            _ => {
                retract(&self.path);
                Err(ExportError::ReadBack(report.into()))
            }
        }
    }

    fn close(&mut self) -> Result<(), ExportError> {
        if self.segment.is_empty() {
            return Ok(());
        }
        let name = segment::name(self.first);
        let added = self.destination.add_to_trail(&name, &self.segment);
        added.map_err(|trouble| failed(&self.path, trouble))?;
        let sha256 = Hash(Sha256::digest(&self.segment).into());
        self.files.push(ManifestFile { name, bytes: self.segment.len() as u64, sha256 });
        self.segment.clear();
        self.first = self.size;
        Ok(())
    }
}

fn failed(path: &Path, trouble: Trouble) -> ExportError {
    match trouble {
        Trouble::Occupied => ExportError::Occupied(path.to_owned()),
        Trouble::Io(path, source) => ExportError::Io { path, source },
    }
}
