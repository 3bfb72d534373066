//! A change of configuration, policy or peers, whoever made it and with what.
//!
//! They are files of the host's owner, and come into force when the daemons start. So that is when a
//! change is recorded, before anything is served under it. What was before, the trail itself says, in
//! the entry of the last start.

use std::collections::BTreeMap;

use audit_log::{Draft, Operation, Outcome, Writer, parse_line};
use daemon_runtime::Startup;

use crate::commit::{Commit, Refused};

/// How many entries are looked at in one go.
const STEP: u64 = 500;

/// What the files say at this start.
pub struct Site {
    /// The digest of each, by name, as an entry of a start has them.
    digests: Vec<(String, String)>,
    locked: String,
}

impl Site {
    pub fn of(startup: &Startup) -> Self {
        let mut digests = startup.site_detail();
        digests.retain(|(name, _)| name != "version");
        Self { digests, locked: startup.locked_settings() }
    }

    /// Records what is not as it was at the last start.
    pub fn record_change(&self, commit: &Commit) -> Result<(), Refused> {
        let last = match commit.trail().as_ref() {
            Some(writer) => last_start(writer).unwrap_or_default(),
            None => return Err(Refused::NoTrail),
        };
        let mut changed = Vec::new();
        let mut draft = Draft::new(Operation::SiteChange, Outcome::Done);
        for (name, digest) in &self.digests {
            let before = last.get(name).map_or("unknown", String::as_str);
            if before != digest {
                changed.push(name.as_str());
                draft = draft.detail(format!("{name}_before"), before).detail(name, digest);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        commit.append(draft.subject(changed.join(" ")).detail("locked", &self.locked)).map(drop)
    }
}

/// The detail of this daemon's last start, from the end of the trail backwards.
fn last_start(writer: &Writer) -> Option<BTreeMap<String, String>> {
    let mut end = writer.size();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let (mut next, mut found) = (start, None);
        while next < end {
            let page = writer.read(next, 1 << 20).ok().filter(|page| !page.is_empty())?;
            for line in page.split_inclusive(|byte| *byte == b'\n') {
                next += 1;
                let entry = parse_line(line).ok()?;
                let is_ours = entry.subject.as_deref() == Some("daemon-audit");
                if entry.operation == Operation::DaemonStart && is_ours {
                    found = Some(entry.detail);
                }
            }
        }
        if found.is_some() {
            return found;
        }
        end = start;
    }
    None
}
