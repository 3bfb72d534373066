//! What the daemon knows of its own confinement, measured anew each time it is asked.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hardening::posture::{self, Check, Facts};

/// The posture of this daemon.
pub struct Posture {
    name: &'static str,
    facts: OnceLock<Facts>,
}

impl Posture {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, facts: OnceLock::new() }
    }

    pub(crate) fn settle(&self, facts: Facts) {
        let _ = self.facts.set(facts);
    }

    /// Every check of this process.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        self.facts.get().map(|facts| posture::process(self.name, facts)).unwrap_or_default()
    }

    /// How many seccomp filters each thread has at least; none before the sandbox is in force.
    #[must_use]
    pub fn seccomp_filters(&self) -> u32 {
        self.facts.get().map_or(0, |facts| facts.seccomp_filters)
    }

    /// Whether nothing of the floor is missing in this process.
    #[must_use]
    pub fn floor_holds(&self) -> bool {
        let checks = self.checks();
        !checks.is_empty() && posture::floor_holds(&checks)
    }

    /// The checks as the trail records them with the daemon's start: check to status and finding.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<String, String> {
        // A host with a hundred network interfaces must still fit into a record.
        let short = |text: String| text.chars().take(120).collect::<String>();
        let line = |check: Check| {
            let text = format!("{}: {}", check.status.as_str(), check.found);
            (check.id, short(text))
        };
        self.checks().into_iter().map(line).collect()
    }
}
