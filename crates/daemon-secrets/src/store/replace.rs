//! Changing a profile: its metadata alone, or metadata and vault in one step.

use std::fs;
use std::io;
use std::path::PathBuf;

use daemon_runtime::log;
use key_hierarchy::Metadata;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use site_config::durable::{sync_directory, write_atomically};
use site_config::{Installation, ProfileName};
use vault::{Keys, Vault};

use super::{Store, StoreError, context, remove_tree, write_metadata};

impl Store {
    /// Puts new metadata in the place of the old, in one step.
    pub fn replace_metadata(&self, name: &ProfileName, metadata: &Metadata) -> io::Result<()> {
        write_metadata(&self.profile(name), metadata)
    }

    /// Builds, aside, what [`Store::exchange`] puts in place: this metadata, and a copy of the vault
    /// under these keys. Nothing is left of it on failure.
    pub fn prepare_next(
        &self,
        installation: &Installation,
        name: &ProfileName,
        metadata: &Metadata,
        vault: &Vault,
        keys: Keys,
    ) -> Result<(), StoreError> {
        let next = self.next(name);
        remove_tree(&next)?;
        let written = (|| {
            fs::create_dir(&next)?;
            write_metadata(&next, metadata)?;
            let copy = vault.copy_to(&next.join("vault.db"), keys, context(installation, name))?;
            copy.set_generation(metadata.enrolment().generation())?;
            copy.verify()?;
            copy.close()?;
            match fs::read(self.attempts(name)) {
                Ok(bytes) => write_atomically(&next.join("attempts.json"), &bytes, 0o600)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            sync_directory(&next)?;
            Ok(())
        })();
        if written.is_err() {
            let _ = remove_tree(&next);
        }
        written
    }

    /// Exchanges a profile with what was prepared, in one step, and removes what it was.
    pub fn exchange(&self, name: &ProfileName) -> io::Result<()> {
        let next = self.next(name);
        let exchange = RenameFlags::RENAME_EXCHANGE;
        if let Err(errno) = renameat2(AT_FDCWD, &next, AT_FDCWD, &self.profile(name), exchange) {
            let _ = remove_tree(&next);
            return Err(errno.into());
        }
        // From here on it is done; the next start removes what is left.
        if let Err(error) = sync_directory(&self.profiles()) {
            log::warning(format_args!("a power cut may undo the change of {name}: {error}"));
        }
        let _ = remove_tree(&next);
        Ok(())
    }

    fn next(&self, name: &ProfileName) -> PathBuf {
        self.profiles().join(format!(".next-{name}"))
    }
}
