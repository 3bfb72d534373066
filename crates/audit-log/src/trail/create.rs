//! Making a trail.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tlog::SigningKeys;
use tlog::merkle::{Tree, leaf_hash};

use super::{LockedDir, SealError, System, Writer};
use crate::entry::Actor;
use crate::genesis::{Genesis, origin};
use crate::hash::{Hash, Head};
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
    /// The genesis would not fit a line, names no installation, or keys of another one.
    #[error(
        "the genesis names no installation, or keys of another one, or is longer than {MAX_LINE} bytes"
    )]
    Genesis,
    /// The first checkpoint can't be made.
    #[error(transparent)]
    Seal(#[from] SealError),
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
    /// The genesis is durable on return, and so is the name of the directory, and the checkpoint
    /// over the genesis that `keys` sign, whose public half the genesis names. `segment_bytes` bounds
    /// the length of a segment, in bytes.
    ///
    /// # Errors
    /// [`CreateError`]; a crash at any point leaves a directory that this accepts again, or a trail
    /// that [`Writer::open`] does.
    pub fn create(
        dir: &Path,
        genesis: &Genesis,
        reporter: Option<Actor>,
        segment_bytes: u64,
        keys: &SigningKeys,
    ) -> Result<Self, CreateError> {
        Self::create_with(dir, genesis, reporter, segment_bytes, keys, System::default())
    }

    pub(super) fn create_with(
        path: &Path,
        genesis: &Genesis,
        reporter: Option<Actor>,
        segment_bytes: u64,
        keys: &SigningKeys,
        system: System,
    ) -> Result<Self, CreateError> {
        let time = (system.now)();
        let place = Place { seq: 0, time, prev_hash: Hash::ZERO };
        let mut line = Vec::new();
        let last = encode(&mut line, &genesis.draft(reporter), place, genesis.hash)
            .map_err(|_| CreateError::Genesis)?;
        let is_named = genesis.keys.name().as_str() == origin(&genesis.installation);
        if genesis.installation.is_empty() || !is_named {
            return Err(CreateError::Genesis);
        }
        if keys.public() != &genesis.keys {
            return Err(SealError::OtherKey.into());
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
        // Under another name first, so that it is there whole or not at all.
        let current = dir.put(path, &segment::name(0), &line, 0o600).map_err(io)?;
        sync_parent(path).map_err(io)?;
        let mut tree = Tree::new();
        tree.push(leaf_hash(&line[..line.len() - 1]));
        let mut writer = Self {
            path: path.to_owned(),
            dir,
            genesis: genesis.clone(),
            segment_bytes,
            segments: vec![0],
            current,
            end: line.len() as u64,
            owed: Some(Head { size: 1, root: Hash(tree.root()) }),
            tree,
            last,
            time,
            keys: genesis.keys.clone(),
            next_keys: None,
            checkpoints: Vec::new(),
            is_poisoned: false,
            cursor: None.into(),
            system,
        };
        writer.settle(keys)?;
        Ok(writer)
    }
}

impl Writer {
    /// Gives the directory of the trail another name, durably.
    ///
    /// # Errors
    /// What the operating system reported.
    pub fn move_to(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.path = path.to_owned();
        sync_parent(path)
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
