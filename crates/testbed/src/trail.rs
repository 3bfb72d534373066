//! The trail, read from the disk as no daemon would.

use audit_log::{Entry, Operation, Outcome, parse_line};

use crate::host::Host;

impl Host {
    /// Every entry of the trail.
    ///
    /// # Panics
    /// When a line is not an entry.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let parse = |line: String| parse_line(format!("{line}\n").as_bytes()).expect("an entry");
        self.trail_lines().into_iter().map(parse).collect()
    }

    /// The entries of one kind.
    #[must_use]
    pub fn entries_of(&self, operation: Operation, outcome: Outcome) -> Vec<Entry> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.operation == operation && entry.outcome == outcome);
        entries
    }

    /// The entries about refused peers.
    #[must_use]
    pub fn refusals(&self) -> Vec<Entry> {
        self.entries_of(Operation::PeerRefused, Outcome::Refused)
    }
}
