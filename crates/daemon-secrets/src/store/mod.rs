//! daemon-secrets' directory.
//!
//! ```text
//! installation/            comes into being whole, and goes away whole
//!   installation.toml
//!   default-profile
//!   profiles/NAME/         likewise
//!     unlock.json          factors and policy
//!     vault.db             the SQLCipher store
//!     attempts.json        wrong tries
//! ```
//!
//! [`replace`] changes a profile, and [`staged`] holds a backup until it becomes one.
//!
//! What is new is built aside under a name with a dot, made durable, and renamed. What goes away is
//! renamed first. A crash leaves a leftover with a dot, which the next start removes.

mod replace;
mod staged;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use key_hierarchy::metadata::MAX_FILE_BYTES;
use key_hierarchy::{Binding, Metadata};
use nix::fcntl::AT_FDCWD;
use nix::fcntl::{RenameFlags, renameat2};
use secret_memory::SecretBytes;
use site_config::durable::{remove_leftovers, sync_directory, write_atomically};
use site_config::{Installation, InstallationError, ProfileName};
use vault::{Context, Keys, Vault, VaultError};

pub struct Store {
    state: PathBuf,
}

/// A profile that is about to be.
pub struct NewProfile<'a> {
    pub name: &'a ProfileName,
    pub metadata: &'a Metadata,
    pub keys: Keys,
}

/// Why something new was not stored. Nothing is left of it.
#[derive(Debug)]
pub enum StoreError {
    Io(io::Error),
    Vault(VaultError),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl Store {
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// Removes what an interrupted `init`, `profile create` or `wipe` left behind.
    pub fn remove_leftovers(&self) -> io::Result<()> {
        remove_tree(&self.aside())?;
        remove_tree(&self.wiping())?;
        if !self.installation_dir().is_dir() {
            return Ok(());
        }
        remove_leftovers(&self.installation_dir())?;
        let profiles = match fs::read_dir(self.profiles()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            profiles => profiles?,
        };
        for entry in profiles {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                remove_tree(&entry.path())?;
            } else if entry.path().is_dir() {
                remove_leftovers(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The installation, if there is one.
    pub fn installation(&self) -> Result<Option<Installation>, InstallationError> {
        match Installation::load(&self.installation_dir().join("installation.toml")) {
            Ok(installation) => Ok(Some(installation)),
            Err(InstallationError::Absent { .. }) if !self.installation_dir().exists() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a new installation with its first profile, which becomes the default.
    pub fn create_installation(
        &self,
        installation: &Installation,
        profile: NewProfile<'_>,
    ) -> Result<(), StoreError> {
        let aside = self.aside();
        remove_tree(&aside)?;
        let profiles = aside.join("profiles");
        fs::create_dir_all(&profiles)?;
        let name = profile.name.clone();
        write_profile(&profiles.join(name.as_str()), installation, profile)?;
        write_atomically(&aside.join("default-profile"), name.as_str().as_bytes(), 0o600)?;
        let text = installation.render();
        write_atomically(&aside.join("installation.toml"), text.as_bytes(), 0o600)?;
        sync_directory(&profiles)?;
        sync_directory(&aside)?;
        publish(&aside, &self.installation_dir())?;
        Ok(())
    }

    /// Stores a further profile.
    pub fn create_profile(
        &self,
        installation: &Installation,
        profile: NewProfile<'_>,
    ) -> Result<(), StoreError> {
        let target = self.profile(profile.name);
        let aside = self.profiles().join(format!(".new-{}", profile.name));
        remove_tree(&aside)?;
        write_profile(&aside, installation, profile)?;
        publish(&aside, &target)?;
        Ok(())
    }

    /// Destroys everything. After the rename there is no installation, whatever happens next.
    pub fn wipe(&self) -> io::Result<()> {
        remove_tree(&self.wiping())?;
        fs::rename(self.installation_dir(), self.wiping())?;
        sync_directory(&self.state)?;
        remove_tree(&self.wiping())?;
        sync_directory(&self.state)
    }

    /// Names of all profiles, sorted.
    pub fn profile_names(&self) -> io::Result<Vec<ProfileName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.profiles())? {
            let name = entry?.file_name();
            names.extend(name.to_str().and_then(|text| ProfileName::try_from(text).ok()));
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(names)
    }

    pub fn profile_exists(&self, name: &ProfileName) -> bool {
        self.profile(name).is_dir()
    }

    /// The bytes of a profile's metadata; to be parsed with its [`Binding`].
    pub fn metadata(&self, name: &ProfileName) -> io::Result<SecretBytes> {
        let mut file = fs::File::open(self.profile(name).join("unlock.json"))?;
        SecretBytes::read_from(&mut file, MAX_FILE_BYTES)
    }

    pub fn open_vault(
        &self,
        installation: &Installation,
        name: &ProfileName,
        keys: Keys,
    ) -> Result<Vault, VaultError> {
        Vault::open(&self.profile(name).join("vault.db"), keys, context(installation, name))
    }

    /// Where wrong tries are kept.
    pub fn attempts(&self, name: &ProfileName) -> PathBuf {
        self.profile(name).join("attempts.json")
    }

    pub fn default_profile(&self) -> io::Result<ProfileName> {
        let text = fs::read_to_string(self.installation_dir().join("default-profile"))?;
        ProfileName::try_from(text.as_str()).map_err(io::Error::other)
    }

    pub fn set_default_profile(&self, name: &ProfileName) -> io::Result<()> {
        let path = self.installation_dir().join("default-profile");
        write_atomically(&path, name.as_str().as_bytes(), 0o600)
    }

    fn installation_dir(&self) -> PathBuf {
        self.state.join("installation")
    }

    fn profiles(&self) -> PathBuf {
        self.installation_dir().join("profiles")
    }

    fn profile(&self, name: &ProfileName) -> PathBuf {
        self.profiles().join(name.as_str())
    }

    fn aside(&self) -> PathBuf {
        self.state.join(".new")
    }

    fn wiping(&self) -> PathBuf {
        self.state.join(".wiping")
    }
}

/// What a profile's metadata and wraps are bound to.
pub fn binding(installation: &Installation, name: &ProfileName) -> Binding {
    Binding { installation: installation.id, profile: name.as_str().to_owned() }
}

fn context(installation: &Installation, name: &ProfileName) -> Context {
    Context { installation: *installation.id.as_bytes(), profile: name.as_str().to_owned() }
}

fn write_profile(
    directory: &Path,
    installation: &Installation,
    profile: NewProfile<'_>,
) -> Result<(), StoreError> {
    let written = (|| {
        fs::create_dir(directory)?;
        write_metadata(directory, profile.metadata)?;
        let context = context(installation, profile.name);
        let vault = Vault::create(&directory.join("vault.db"), profile.keys, context)?;
        vault.set_generation(profile.metadata.enrolment().generation())?;
        vault.close()?;
        sync_directory(directory)?;
        Ok(())
    })();
    if written.is_err() {
        let _ = remove_tree(directory);
    }
    written
}

fn write_metadata(directory: &Path, metadata: &Metadata) -> io::Result<()> {
    write_atomically(&directory.join("unlock.json"), &metadata.render(), 0o600)
}

/// The moment in which something new is there: a rename that never replaces, made durable.
fn publish(aside: &Path, target: &Path) -> io::Result<()> {
    renameat2(AT_FDCWD, aside, AT_FDCWD, target, RenameFlags::RENAME_NOREPLACE)?;
    match target.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
