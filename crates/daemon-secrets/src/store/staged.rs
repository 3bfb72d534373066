//! A backup on its way out, and one that is to become a profile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use ipc::{Fault, FaultKind};
use key_hierarchy::Metadata;
use secret_memory::SecretBytes;
use site_config::durable::sync_directory;
use site_config::{Installation, ProfileName};
use vault::{Context, Keys, Vault};

use super::{NewProfile, Store, StoreError, context, publish, remove_tree, write_metadata};
use crate::backup::{self, BackupError, MAX_BYTES};
use crate::faults;

impl Store {
    /// Writes a backup of a profile aside; `vault` is open. Returns its size in bytes.
    pub fn make_backup(
        &self,
        installation: &Installation,
        name: &ProfileName,
        metadata: &Metadata,
        vault: &Vault,
        keys: Keys,
    ) -> Result<u64, StoreError> {
        let aside = self.backup(name);
        remove_tree(&aside)?;
        let written = (|| {
            fs::create_dir(&aside)?;
            let copy_path = aside.join("vault.db");
            let copy = vault.copy_to(&copy_path, keys, context(installation, name))?;
            copy.verify()?;
            copy.close()?;
            let whole = aside.join("backup");
            backup::write(&whole, &metadata.render(), &copy_path)?;
            fs::remove_file(copy_path)?;
            match fs::metadata(whole)?.len() {
                length if length <= MAX_BYTES => Ok(length),
                _ => Err(io::Error::from(io::ErrorKind::FileTooLarge).into()),
            }
        })();
        if written.is_err() {
            let _ = remove_tree(&aside);
        }
        written
    }

    /// Bytes of the backup that was made, from `offset` on, and its size.
    pub fn backup_piece(
        &self,
        name: &ProfileName,
        offset: u64,
        most: usize,
    ) -> io::Result<(u64, SecretBytes)> {
        let mut file = File::open(self.backup(name).join("backup"))?;
        let total = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset))?;
        let piece = SecretBytes::read_from(&mut (&mut file).take(most as u64), most)?;
        Ok((total, piece))
    }

    /// The backup was fetched.
    pub fn remove_backup(&self, name: &ProfileName) {
        let _ = remove_tree(&self.backup(name));
    }

    /// Takes a piece of a backup that is to become a profile.
    pub fn stage(&self, name: &ProfileName, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let failed = |error: io::Error| faults::from_storage("the backup can't be stored", &error);
        let directory = self.staged(name);
        if offset == 0 {
            remove_tree(&directory).map_err(failed)?;
            fs::create_dir(&directory).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(offset == 0).mode(0o600);
        let mut file = options.open(directory.join("backup")).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() != offset || offset > MAX_BYTES {
            let text = "the pieces of the backup don't follow each other; begin again";
            return Err(Fault::new(FaultKind::InvalidInput, text));
        }
        file.write_all(bytes).map_err(failed)
    }

    /// Whether a backup is being restored under this name.
    pub fn is_staged(&self, name: &ProfileName) -> bool {
        self.staged(name).is_dir()
    }

    /// The metadata of the backup, which belongs to another profile.
    pub fn staged_metadata(&self, name: &ProfileName) -> Result<Metadata, Fault> {
        let unlock = backup::read_unlock(&self.staged(name).join("backup"));
        let unlock = unlock.map_err(|error| not_a_backup(&error))?;
        Metadata::parse_any(&unlock).map_err(|error| faults::from_metadata(&error))
    }

    /// Tells the backup from every other one.
    pub fn staged_digest(&self, name: &ProfileName) -> Result<[u8; 32], Fault> {
        backup::digest(&self.staged(name).join("backup"))
            .map_err(|error| not_a_backup(&error.into()))
    }

    /// Where the wrong tries of the backup's factors are counted.
    pub fn staged_attempts(&self, name: &ProfileName) -> PathBuf {
        self.staged(name).join("attempts.json")
    }

    /// The vault of the backup, bound to what it was backed up from.
    pub fn open_staged_vault(
        &self,
        name: &ProfileName,
        keys: Keys,
        origin: Context,
    ) -> Result<Vault, Fault> {
        let [whole, vault] = ["backup", "vault.db"].map(|file| self.staged(name).join(file));
        backup::unpack_vault(&whole, &vault).map_err(|error| not_a_backup(&error))?;
        Vault::open(&vault, keys, origin).map_err(|error| faults::from_vault(&error))
    }

    /// Makes a profile whose vault holds what `vault` does.
    pub fn create_profile_from(
        &self,
        installation: &Installation,
        profile: NewProfile<'_>,
        vault: &Vault,
    ) -> Result<(), StoreError> {
        let aside = self.profiles().join(format!(".new-{}", profile.name));
        remove_tree(&aside)?;
        let written = (|| {
            fs::create_dir(&aside)?;
            write_metadata(&aside, profile.metadata)?;
            let context = context(installation, profile.name);
            let copy = vault.copy_to(&aside.join("vault.db"), profile.keys, context)?;
            copy.set_generation(profile.metadata.enrolment().generation())?;
            copy.verify()?;
            copy.close()?;
            sync_directory(&aside)?;
            publish(&aside, &self.profile(profile.name))?;
            Ok(())
        })();
        if written.is_err() {
            let _ = remove_tree(&aside);
        }
        written
    }

    /// The backup became a profile, or is not to.
    pub fn unstage(&self, name: &ProfileName) -> io::Result<()> {
        remove_tree(&self.staged(name))
    }

    fn backup(&self, name: &ProfileName) -> PathBuf {
        self.profiles().join(format!(".backup-{name}"))
    }

    fn staged(&self, name: &ProfileName) -> PathBuf {
        self.profiles().join(format!(".restore-{name}"))
    }
}

fn not_a_backup(error: &BackupError) -> Fault {
    match error {
        BackupError::Io(error) => faults::from_storage("the backup can't be read", error),
        BackupError::NotABackup | BackupError::Damaged => {
            Fault::new(FaultKind::Tampered, format!("{error}. Nothing was restored"))
        }
    }
}
