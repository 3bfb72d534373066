//! What handlers tell the trail.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::{Fault, Peer};
use site_config::ProfileName;

use crate::trail::Trail;

/// A record of what `peer` asked for, about `profile`.
pub fn record_of(
    operation: Operation,
    outcome: Outcome,
    peer: &Peer,
    profile: Option<&ProfileName>,
) -> Record {
    let mut record = Record::new(operation, outcome);
    record.actor = Some(peer.recorded());
    record.profile = profile.map(|profile| profile.as_str().to_owned());
    record
}

/// Runs an operation whose authorisation is already recorded, and records its failure.
///
/// The failure is told even when it could not be recorded: nothing secret depends on it.
pub fn recording_failure<T>(
    trail: &mut Trail,
    record: &Record,
    result: Result<T, Fault>,
) -> Result<T, Fault> {
    if let Err(fault) = &result {
        let mut failure = record.clone();
        failure.outcome = Outcome::Failed;
        failure.detail.insert("reason".to_owned(), format!("{:?}", fault.kind));
        if let Err(error) = trail.record(failure) {
            log::warning(format_args!("a failure could not be recorded: {error}"));
        }
    }
    result
}
