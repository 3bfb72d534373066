//! The file of the signing key, and of the one that takes its place.
//!
//! `signing.key` holds the seeds of the key that signs the next checkpoint. A rotation writes the new
//! one to `signing.next` first; once the old key has signed it into the trail, the new file takes the
//! name of the old one, which is gone then. Whenever the power fails, the trail says which of the two
//! files counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use audit_log::{SealError, Writer};
use secret_memory::Secret;
use site_config::durable::{sync_directory, write_atomically};
use tlog::{KeyName, PublicKeys, Role, SigningKeys};

/// The length of a key file, in bytes: two seeds.
const KEY_BYTES: usize = 64;

/// The directory of the files.
pub struct SigningKeyFiles {
    directory: PathBuf,
}

/// Why a trail can't be signed any more.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file can't be read or written.
    #[error("the signing key {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No file has the key that the trail names.
    #[error(
        "{} is not the key of the trail beside it: put back the file that belongs to the trail",
        .0.display()
    )]
    OtherKey(PathBuf),
    /// The checkpoint that an earlier run owed can't be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl SigningKeyFiles {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn current(&self) -> PathBuf {
        self.directory.join("signing.key")
    }

    fn next(&self) -> PathBuf {
        self.directory.join("signing.next")
    }

    /// The key of the trail. What an interrupted seal or rotation left undone is done here.
    pub fn open(&self, writer: &mut Writer) -> Result<SigningKeys, KeyError> {
        let name = writer.public_keys().name().clone();
        let current = load(&self.current(), &name)?;
        let next = load(&self.next(), &name)?;
        let keys = [current.as_ref(), next.as_ref()];
        if writer.owes_checkpoint() {
            let signer =
                keys.into_iter().flatten().find(|keys| keys.public() == writer.public_keys());
            let signer = signer.ok_or_else(|| KeyError::OtherKey(self.current()))?;
            writer.settle(signer)?;
        }
        let is_trails = |keys: &SigningKeys| keys.public() == writer.public_keys();
        if let Some(next) = next.filter(is_trails) {
            self.promote(next.public())?;
            return Ok(next);
        }
        let current =
            current.filter(is_trails).ok_or_else(|| KeyError::OtherKey(self.current()))?;
        self.forget_next()?;
        Ok(current)
    }

    /// Makes `keys` those of a trail to come.
    pub fn write(&self, keys: &SigningKeys) -> Result<(), KeyError> {
        self.forget_next()?;
        store(&self.current(), keys)
    }

    /// Notes the keys that come next.
    pub fn write_next(&self, keys: &SigningKeys) -> Result<(), KeyError> {
        store(&self.next(), keys)
    }

    /// The keys that came next sign now, and the old ones are gone. It can be repeated.
    pub fn promote(&self, next: &PublicKeys) -> Result<(), KeyError> {
        match fs::rename(self.next(), self.current()) {
            // An earlier try came as far as this.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let current = load(&self.current(), next.name())?;
                if !current.is_some_and(|keys| keys.public() == next) {
                    return Err(KeyError::OtherKey(self.current()));
                }
            }
            renamed => renamed.map_err(at(&self.current()))?,
        }
        sync_directory(&self.directory).map_err(at(&self.current()))
    }

    /// The keys that would have come next don't.
    pub fn forget_next(&self) -> Result<(), KeyError> {
        match fs::remove_file(self.next()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.and_then(|()| sync_directory(&self.directory)).map_err(at(&self.next()))
            }
        }
    }
}

fn load(path: &Path, name: &KeyName) -> Result<Option<SigningKeys>, KeyError> {
    match SigningKeys::load(path, name.clone(), Role::Log) {
        Ok(keys) => Ok(Some(keys)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

fn store(path: &Path, keys: &SigningKeys) -> Result<(), KeyError> {
    let written =
        Secret::<KEY_BYTES>::try_from_fn(|bytes| keys.write_to(&mut bytes.as_mut_slice()))
            .and_then(|bytes| write_atomically(path, bytes.expose(), 0o600));
    written.map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::Io { path: path.to_owned(), source }
}
