//! Making a trail.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{LockedDir, System, Writer};
use crate::entry::Actor;
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::line::{MAX_LINE, Place, encode};
use crate::segment;

/// Why a trail can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is something in the directory already.
    #[error(
        "{} is not empty: open the trail that it holds, or check it with `sesame audit verify --path {}`",
        .0.display(), .0.display()
    )]
    NotEmpty(PathBuf),
    /// Another process is at it.
    #[error("another process is writing the trail in {}", .0.display())]
    Locked(PathBuf),
    /// The genesis would not fit a line, or names no installation.
    #[error("the genesis names no installation, or is longer than {MAX_LINE} bytes")]
    Genesis,
    /// The file system refused.
    #[error("cannot make a trail in {}: {source}", path.display())]
    Io {
        /// The directory of the trail.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Writer {
    /// Makes a trail in `dir`, which must not exist or be empty, but for its parent.
    ///
    /// The genesis is durable on return, and so is the name of the directory. `segment_bytes` bounds
    /// the length of a segment, in bytes.
    ///
    /// # Errors
    /// [`CreateError`]; a crash at any point leaves a directory that this accepts again, or a whole
    /// trail.
    pub fn create(
        dir: &Path,
        genesis: &Genesis,
        reporter: Option<Actor>,
        segment_bytes: u64,
    ) -> Result<Self, CreateError> {
        Self::create_with(dir, genesis, reporter, segment_bytes, System::default())
    }

    pub(super) fn create_with(
        path: &Path,
        genesis: &Genesis,
        reporter: Option<Actor>,
        segment_bytes: u64,
        system: System,
    ) -> Result<Self, CreateError> {
        let time = (system.now)();
        let place = Place { seq: 0, time, prev_hash: Hash::ZERO };
        let mut line = Vec::new();
        let last = encode(&mut line, &genesis.draft(reporter), place, genesis.hash)
            .map_err(|_| CreateError::Genesis)?;
        if genesis.installation.is_empty() {
            return Err(CreateError::Genesis);
        }
        let io = |source| CreateError::Io { path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => {}
        }
        let dir = LockedDir::open(path)
            .map_err(io)?
            .ok_or_else(|| CreateError::Locked(path.to_owned()))?;
        for entry in fs::read_dir(path).map_err(io)? {
            if entry.map_err(io)?.file_name() != segment::SCRATCH {
                return Err(CreateError::NotEmpty(path.to_owned()));
            }
        }
        let current = write_genesis(path, &dir, &line).map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
            dir,
            genesis: genesis.clone(),
            segment_bytes,
            segments: vec![0],
            current,
            end: line.len() as u64,
            size: 1,
            last,
            time,
            is_poisoned: false,
            cursor: None.into(),
            system,
        })
    }
}

/// Writes the first segment under another name, so that it is there whole or not at all.
fn write_genesis(path: &Path, dir: &LockedDir, line: &[u8]) -> io::Result<File> {
    let scratch = path.join(segment::SCRATCH);
    match fs::remove_file(&scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&scratch)?;
    file.write_all(line)?;
    file.sync_all()?;
    fs::rename(&scratch, path.join(segment::name(0)))?;
    dir.sync()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}
