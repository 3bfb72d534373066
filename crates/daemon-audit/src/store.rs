//! daemon-audit's directory: the trail, trails of wiped installations, and the mark of a wipe.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use audit_log::{Actor, CreateError, Genesis, OpenError, Repair, Writer};
use site_config::durable::{remove_leftovers, sync_directory, write_atomically};
use tlog::SigningKeys;

/// Where everything of this daemon lies.
pub struct Store {
    state: PathBuf,
    segment_bytes: u64,
}

impl Store {
    pub fn new(state: PathBuf, segment_bytes: u64) -> Self {
        Self { state, segment_bytes }
    }

    fn trail(&self) -> PathBuf {
        self.state.join("trail")
    }

    /// The installation whose wipe was authorised, as `wiped` says.
    fn mark(&self) -> PathBuf {
        self.state.join("wiped")
    }

    /// Removes what an interrupted write left behind.
    pub fn remove_leftovers(&self) -> io::Result<()> {
        remove_leftovers(&self.state).map(drop)
    }

    /// Opens the trail, if there is one.
    pub fn open(&self) -> Result<Option<(Writer, Option<Repair>)>, OpenError> {
        if !self.has_trail() {
            return Ok(None);
        }
        Writer::open(&self.trail(), self.segment_bytes).map(Some)
    }

    /// Whether there is one; where that can't be told, opening it tells why.
    pub fn has_trail(&self) -> bool {
        self.trail().try_exists().unwrap_or(true)
    }

    /// Makes a new trail. It comes into being whole: built aside, then renamed.
    pub fn create(
        &self,
        genesis: &Genesis,
        reporter: Actor,
        keys: &SigningKeys,
    ) -> Result<Writer, String> {
        let aside = self.state.join(".trail-new");
        let failed = |error: io::Error| format!("cannot create the trail: {error}");
        match fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let created: Result<Writer, CreateError> =
            Writer::create(&aside, genesis, Some(reporter), self.segment_bytes, keys);
        let mut writer = created.map_err(|error| error.to_string())?;
        writer.move_to(&self.trail()).map_err(failed)?;
        Ok(writer)
    }

    /// The installation whose `init` was completed, as `initialised` says.
    fn initialised_mark(&self) -> PathBuf {
        self.state.join("initialised")
    }

    /// Notes that the installation's `init` was completed.
    pub fn mark_initialised(&self, installation: &str) -> io::Result<()> {
        write_atomically(&self.initialised_mark(), installation.as_bytes(), 0o600)
    }

    /// Whether there must be vaults: `init` was completed, and no wipe authorised since.
    pub fn has_vaults(&self, installation: &str) -> bool {
        let noted =
            fs::read(self.initialised_mark()).is_ok_and(|mark| mark == installation.as_bytes());
        noted && !self.is_wiped(installation)
    }

    /// Notes that the installation's wipe was authorised.
    pub fn mark_wiped(&self, installation: &str) -> io::Result<()> {
        write_atomically(&self.mark(), installation.as_bytes(), 0o600)
    }

    /// Whether the wipe of this installation was authorised.
    pub fn is_wiped(&self, installation: &str) -> bool {
        fs::read(self.mark()).is_ok_and(|mark| mark == installation.as_bytes())
    }

    /// Puts the trail of a wiped installation aside. It is kept: history outlives its subject.
    pub fn archive(&self, installation: &str) -> io::Result<()> {
        fs::rename(self.trail(), self.archived(installation))?;
        sync_directory(&self.state)?;
        fs::remove_file(self.mark())?;
        sync_directory(&self.state)
    }

    fn archived(&self, installation: &str) -> PathBuf {
        self.state.join(Path::new(&format!("wiped-{installation}")))
    }
}
