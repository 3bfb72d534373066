//! A change of configuration, policy or peers, whoever made it and with what.
//!
//! They are files of the host's owner, and come into force when the daemons start. So that is when a
//! change is recorded, before anything is served under it.

use audit_log::{Draft, Operation, Outcome};
use daemon_runtime::Startup;

use crate::commit::{Commit, Refused};
use crate::store::Store;

/// What the files say at this start.
pub struct Site {
    /// The digest of each, by name.
    digests: Vec<(String, String)>,
    locked: String,
}

impl Site {
    pub fn of(startup: &Startup) -> Self {
        let mut digests = startup.site_detail();
        digests.retain(|(name, _)| name != "version");
        Self { digests, locked: startup.locked_settings() }
    }

    fn note(&self) -> String {
        self.digests.iter().map(|(name, digest)| format!("{name} {digest}\n")).collect()
    }

    /// Takes this site as the first one that the trail knows.
    pub fn begin(&self, store: &Store) -> std::io::Result<()> {
        store.note_site(&self.note())
    }

    /// Records what is not as it was at the last start.
    pub fn record_change(&self, store: &Store, commit: &Commit) -> Result<(), Refused> {
        let noted = store.noted_site().unwrap_or_default();
        if noted == self.note() {
            return Ok(());
        }
        let before = |name: &str| {
            let mut lines = noted.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(noted, _)| *noted == name).map_or("unknown", |(_, digest)| digest)
        };
        let mut changed = Vec::new();
        let mut draft = Draft::new(Operation::SiteChange, Outcome::Done);
        for (name, digest) in &self.digests {
            if before(name) != digest {
                changed.push(name.as_str());
                draft = draft.detail(format!("{name}_before"), before(name)).detail(name, digest);
            }
        }
        draft = draft.subject(changed.join(" ")).detail("locked", &self.locked);
        commit.append(draft)?;
        self.begin(store).map_err(|error| Refused::NotWritten(error.to_string()))
    }
}
