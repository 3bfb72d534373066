//! The directory `keys`: one sealed file an identity, and one that tells the right unlock key.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use key_hierarchy::Derivation;
use secret_memory::Secret;
use site_config::durable::{create_new_atomically, remove_leftovers, write_atomically};
use site_config::names::IdentityName;

use crate::identity::Identity;
use crate::sealed::{SealError, Sealed};
use crate::service::now;

/// What is sealed in `store.json`: whatever opens it is the right unlock key.
const CHECK: &[u8] = b"this is the right key";
const STORE: &str = "store";
const ENDING: &str = "identity";
/// More than an identity with all its versions takes.
const MAX_FILE_BYTES: u64 = 256 << 10;

/// The key store on disk.
pub struct Store {
    directory: PathBuf,
    derivation: Derivation,
}

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Not what was written.
    #[error("{} {source}; it was left as it is. Restore it from a backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SealError,
    },
    /// It could not be sealed, and was not written.
    #[error("{} {source}; nothing was changed", .path.display())]
    NotSealed {
        /// The file that was to be written.
        path: PathBuf,
        /// Why not.
        source: SealError,
    },
    /// The key doesn't open this store.
    #[error("this is not the unlock key of this store; nothing was changed")]
    WrongKey,
}

/// What an unlocked store holds.
#[derive(Default)]
pub struct Contents {
    /// Every identity that could be read.
    pub identities: Vec<Identity>,
    /// The others, and why they could not.
    pub damaged: Vec<(IdentityName, StoreError)>,
}

impl Store {
    /// In the daemon's state directory. `derivation` is for what is sealed from now on.
    ///
    /// # Errors
    /// When the directory `keys` can't be made.
    pub fn open(state: &Path, derivation: Derivation) -> Result<Self, StoreError> {
        let directory = state.join("keys");
        let failed = |source| StoreError::Io { path: directory.clone(), source };
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        remove_leftovers(&directory).map_err(failed)?;
        Ok(Self { directory, derivation })
    }

    /// Whether there is a store to unlock.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path(STORE, "json").exists()
    }

    /// Makes the store, with this key.
    ///
    /// # Errors
    /// [`StoreError`]; `AlreadyExists` when there is one.
    pub fn create(&self, unlock_key: &Secret<32>) -> Result<(), StoreError> {
        let path = self.path(STORE, "json");
        let sealed = Sealed::seal(STORE, self.derivation, unlock_key, CHECK)
            .map_err(|source| StoreError::NotSealed { path: path.clone(), source })?;
        create_new_atomically(&path, &sealed.to_json(), 0o600)
            .map_err(|source| StoreError::Io { path, source })
    }

    /// Reads everything with this key.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`], or that the directory can't be read. One damaged identity doesn't
    /// keep the others from being used.
    pub fn read(&self, unlock_key: &Secret<32>) -> Result<Contents, StoreError> {
        let path = self.path(STORE, "json");
        match self.sealed(&path)?.open(unlock_key) {
            Ok(text) if text.expose() == CHECK => {}
            Ok(_) | Err(SealError::DoesNotOpen) => return Err(StoreError::WrongKey),
            Err(source) => return Err(StoreError::Damaged { path, source }),
        }
        let mut contents = Contents::default();
        for name in self.names()? {
            match self.read_identity(&name, unlock_key) {
                Ok(identity) => contents.identities.push(identity),
                Err(error) => contents.damaged.push((name, error)),
            }
        }
        Ok(contents)
    }

    /// Writes an identity, for the first time or anew.
    ///
    /// # Errors
    /// [`StoreError`]; what was there is there still.
    pub fn write(&self, identity: &Identity, unlock_key: &Secret<32>) -> Result<(), StoreError> {
        let path = self.identity_path(&identity.name);
        let sealed = identity.encode().and_then(|plain| {
            let name = sealed_name(&identity.name);
            Sealed::seal(&name, self.derivation, unlock_key, plain.expose())
        });
        let sealed =
            sealed.map_err(|source| StoreError::NotSealed { path: path.clone(), source })?;
        write_atomically(&path, &sealed.to_json(), 0o600)
            .map_err(|source| StoreError::Io { path, source })
    }

    /// An identity's file, sealed as it is.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn backup(&self, name: &IdentityName) -> Result<Vec<u8>, StoreError> {
        let path = self.identity_path(name);
        read_file(&path).map_err(|source| StoreError::Io { path, source })
    }

    /// Keeps a copy of a damaged identity's file under another name; whether there was one. The file
    /// itself stays until [`Store::write`] replaces it, so that its name is never free.
    ///
    /// # Errors
    /// When it can't be read or copied.
    pub fn put_aside(&self, name: &IdentityName) -> Result<bool, StoreError> {
        if !self.has(name) {
            return Ok(false);
        }
        let damaged = self.backup(name)?;
        let aside = self.path(name.as_str(), &format!("{ENDING}.damaged-{}", now()));
        match create_new_atomically(&aside, &damaged, 0o600) {
            Ok(()) => Ok(true),
            Err(source) => Err(StoreError::Io { path: aside, source }),
        }
    }

    /// Whether there is a file of that name, readable or not.
    #[must_use]
    pub fn has(&self, name: &IdentityName) -> bool {
        self.identity_path(name).exists()
    }

    fn names(&self) -> Result<Vec<IdentityName>, StoreError> {
        let failed = |source| StoreError::Io { path: self.directory.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(ENDING)?.strip_suffix('.'));
            names.extend(stem.and_then(|stem| IdentityName::try_from(stem).ok()));
        }
        names.sort();
        Ok(names)
    }

    /// Reads one identity.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read_identity(
        &self,
        name: &IdentityName,
        unlock_key: &Secret<32>,
    ) -> Result<Identity, StoreError> {
        let path = self.identity_path(name);
        let sealed = self.sealed(&path)?;
        open_identity(&sealed, unlock_key)
            .and_then(|identity| match identity.name == *name {
                true => Ok(identity),
                // Under another one's name.
                false => Err(SealError::DoesNotOpen),
            })
            .map_err(|source| StoreError::Damaged { path, source })
    }

    fn sealed(&self, path: &Path) -> Result<Sealed, StoreError> {
        let bytes =
            read_file(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
        Sealed::from_json(&bytes)
            .map_err(|source| StoreError::Damaged { path: path.to_owned(), source })
    }

    fn identity_path(&self, name: &IdentityName) -> PathBuf {
        self.path(name.as_str(), ENDING)
    }

    fn path(&self, stem: &str, ending: &str) -> PathBuf {
        self.directory.join(format!("{stem}.{ending}"))
    }
}

/// The identity in a sealed file or a backup.
///
/// # Errors
/// [`SealError`].
pub fn open_identity(sealed: &Sealed, unlock_key: &Secret<32>) -> Result<Identity, SealError> {
    Identity::decode(name_in(sealed)?, sealed.open(unlock_key)?.expose())
}

/// Whose it says it is.
///
/// # Errors
/// [`SealError::Malformed`].
pub fn name_in(sealed: &Sealed) -> Result<IdentityName, SealError> {
    let name = sealed.name().strip_prefix("identity ").ok_or(SealError::Malformed)?;
    IdentityName::try_from(name).map_err(|_| SealError::Malformed)
}

/// Apart from the store's own name.
fn sealed_name(name: &IdentityName) -> String {
    format!("identity {name}")
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than any of ours"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Version;
    use std::sync::Arc;

    fn key(byte: u8) -> Secret<32> {
        Secret::from_fn(|key: &mut [u8; 32]| key.fill(byte))
    }

    fn identity(name: &str) -> Identity {
        let versions = vec![Arc::new(Version::generate(1, 5).unwrap())];
        let name = name.parse().unwrap();
        Identity { name, created: 5, versions, last_version: 1, revoked: None }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Derivation::Blake3).unwrap();
        assert!(!store.exists());
        store.create(&key(1)).unwrap();
        (state, store)
    }

    fn names(contents: &Contents) -> Vec<&str> {
        contents.identities.iter().map(|identity| identity.name.as_str()).collect()
    }

    #[test]
    fn what_was_written_is_read_with_its_key_only() {
        let (_state, store) = store();
        store.write(&identity("b"), &key(1)).unwrap();
        store.write(&identity("a"), &key(1)).unwrap();
        assert_eq!(names(&store.read(&key(1)).unwrap()), ["a", "b"]);
        assert!(matches!(store.read(&key(2)), Err(StoreError::WrongKey)));
    }

    #[test]
    fn a_store_is_made_once() {
        let (_state, store) = store();
        assert!(matches!(store.create(&key(2)), Err(StoreError::Io { .. })));
        assert!(store.read(&key(1)).is_ok());
    }

    #[test]
    fn one_damaged_identity_leaves_the_others_usable() {
        let (state, store) = store();
        for name in ["a", "b", "c", "d"] {
            store.write(&identity(name), &key(1)).unwrap();
        }
        let path = |name: &str| state.path().join("keys").join(name);
        fs::write(path("a.identity"), "{}").unwrap();
        // Another identity under this name.
        fs::copy(path("c.identity"), path("b.identity")).unwrap();
        fs::write(path("d.identity"), vec![b' '; 1 << 20]).unwrap();
        let contents = store.read(&key(1)).unwrap();
        assert_eq!((names(&contents), contents.damaged.len()), (vec!["c"], 3));
        assert!(store.has(&"a".parse().unwrap()), "its name is not free");
    }

    #[test]
    fn other_files_are_let_be() {
        let (state, store) = store();
        for name in ["notes.txt", ".identity", "A.identity", "x.identity.bak"] {
            fs::write(state.path().join("keys").join(name), "mine").unwrap();
        }
        let contents = store.read(&key(1)).unwrap();
        assert!(contents.identities.is_empty() && contents.damaged.is_empty());
    }
}
