//! What handlers tell the trail.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::{Fault, Peer};
use site_config::ProfileName;

use ipc::trail::Trail;

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

/// Records that an operation is authorised, carries it out, and records how it ended.
pub fn carry_out<T>(
    trail: &mut Trail,
    mut record: Record,
    work: impl FnOnce(&mut Trail) -> Result<T, Fault>,
) -> Result<T, Fault> {
    trail.record(record.clone())?;
    let result = work(trail);
    let done = recording_failure(trail, &record, result)?;
    let operation = record.operation;
    record.outcome = Outcome::Done;
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("the end of {operation} could not be recorded: {error}"));
    }
    Ok(done)
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
