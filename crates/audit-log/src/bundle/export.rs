//! Writing a bundle.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{MANIFEST, PARTIAL, TRAIL, verify_bundle};
use crate::hash::Hash;
use crate::manifest::{Manifest, ManifestFile};
use crate::segment;
use crate::timestamp::Timestamp;
use crate::verdict::{Finding, Report, Verdict};
use crate::verify::{Expectation, Verifier, VerifyError};

/// The most that goes into one file of a bundle, in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;

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

impl ExportError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

impl From<VerifyError> for ExportError {
    fn from(error: VerifyError) -> Self {
        Self::Io { path: error.path, source: error.source }
    }
}

/// Writes a bundle from the lines of a trail, verifying them on the way.
///
/// One that isn't finished leaves a directory that [`verify_bundle`] calls absent.
pub struct Exporter {
    path: PathBuf,
    verifier: Verifier,
    files: Vec<ManifestFile>,
    current: Option<Current>,
    size: u64,
}

/// The segment that is being written.
struct Current {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl Exporter {
    /// Begins a bundle in `path`, which must not exist or be an empty directory, but for its parent.
    ///
    /// # Errors
    /// [`ExportError::Occupied`], [`ExportError::Io`].
    pub fn create(path: &Path) -> Result<Self, ExportError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_empty = fs::read_dir(path).is_ok_and(|mut names| names.next().is_none());
                if !is_empty {
                    return Err(ExportError::Occupied(path.to_owned()));
                }
            }
            Err(error) => return Err(ExportError::at(path)(error)),
        }
        let partial = path.join(PARTIAL);
        DirBuilder::new().mode(0o700).create(&partial).map_err(ExportError::at(&partial))?;
        let verifier = Verifier::new(Expectation::default());
        Ok(Self { path: path.to_owned(), verifier, files: Vec::new(), current: None, size: 0 })
    }

    /// Takes the next lines of the trail, whole ones and as they are.
    ///
    /// # Errors
    /// [`ExportError::Unsound`] at the first line that is not the next one of a sound trail,
    /// [`ExportError::Io`].
    pub fn push(&mut self, lines: &[u8]) -> Result<(), ExportError> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.verifier.feed(line).map_err(ExportError::Unsound)?;
            let length = line.len() as u64;
            if self.current.as_ref().is_some_and(|file| file.bytes + length > SEGMENT_BYTES) {
                self.close()?;
            }
            if self.current.is_none() {
                self.current = Some(Current::create(&self.path.join(PARTIAL), self.size)?);
            }
            if let Some(current) = &mut self.current {
                current.file.write_all(line).map_err(ExportError::at(&current.path))?;
                current.hasher.update(line);
                current.bytes += length;
            }
            self.size += 1;
        }
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
            head: head.hash,
            created: Timestamp::now(),
            files: self.files,
        };
        let path = self.path.join(MANIFEST);
        let at = || ExportError::at(&path);
        let json = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other).map_err(at())?;
        let mut file = create_new(&path)?;
        file.write_all(&json).and_then(|()| file.write_all(b"\n")).map_err(at())?;
        file.sync_all().map_err(at())?;
        sync_dir(&self.path.join(PARTIAL))?;
        let trail = self.path.join(TRAIL);
        fs::rename(self.path.join(PARTIAL), &trail).map_err(ExportError::at(&trail))?;
        sync_dir(&self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;

        let expectation = Expectation { head: Some(head), ..Expectation::default() };
        let report = verify_bundle(&self.path, &expectation)?;
        if report.verdict == Verdict::Sound {
            Ok(manifest)
        } else {
            Err(ExportError::ReadBack(report.into()))
        }
    }

    fn close(&mut self) -> Result<(), ExportError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let at = || ExportError::at(&current.path);
        current.file.flush().map_err(at())?;
        current.file.get_ref().sync_all().map_err(at())?;
        let name = current.path.file_name().unwrap_or_default().display().to_string();
        let sha256 = Hash(current.hasher.finalize().into());
        self.files.push(ManifestFile { name, bytes: current.bytes, sha256 });
        Ok(())
    }
}

impl Current {
    fn create(dir: &Path, first: u64) -> Result<Self, ExportError> {
        let path = dir.join(segment::name(first));
        let file = BufWriter::with_capacity(1 << 16, create_new(&path)?);
        Ok(Self { path, file, hasher: Sha256::new(), bytes: 0 })
    }
}

fn create_new(path: &Path) -> Result<File, ExportError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).map_err(ExportError::at(path))
}

fn sync_dir(path: &Path) -> Result<(), ExportError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(ExportError::at(path))
}
