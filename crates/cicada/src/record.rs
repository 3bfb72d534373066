//! What handlers tell the trail.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::trail::Trail;
use site_config::names::IdentityName;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::identity::Version;
use crate::reply::Reply;
use crate::service::Cicada;

/// A record of what `caller` is allowed to do with an identity.
#[must_use]
pub fn record_of(operation: Operation, caller: &Caller, identity: Option<&IdentityName>) -> Record {
    let mut record = Record::new(operation, Outcome::Authorised);
    record.actor = Some(caller.credentials.recorded());
    record.subject = identity.map(|identity| identity.as_str().to_owned());
    record
}

/// The version that is to be used, and a record of the use. That there is none is recorded as well.
///
/// # Errors
/// As for [`crate::keyring::Keyring::version`].
pub fn version_to_use(
    service: &Cicada,
    trail: &mut Trail,
    mut record: Record,
    identity: &IdentityName,
    number: Option<u32>,
) -> Result<(Arc<Version>, Record), Refused> {
    // Not in the match: the keyring must not be held while an entry is on its way.
    let found = service.keyring().version(identity, number);
    match found {
        Ok(version) => {
            record.detail.insert("version".to_owned(), version.number.to_string());
            Ok((version, record))
        }
        Err(refused) => {
            note_refused(service, trail, record, &refused);
            Err(refused)
        }
    }
}

/// The answer to a use whose entry is durable; unless its keys were locked away, revoked or destroyed
/// while that went to the disk. A lock waits for the answers that are being made.
///
/// # Errors
/// As for [`crate::keyring::Keyring::version`], and those of `reply`; recorded.
pub fn answer_if_still_there(
    service: &Cicada,
    trail: &mut Trail,
    record: Record,
    identity: &IdentityName,
    version: &Version,
    reply: impl FnOnce() -> Result<Reply, Refused>,
) -> Result<Reply, Refused> {
    let keyring = service.keyring();
    let reply = keyring.version(identity, Some(version.number)).and_then(|_| reply());
    drop(keyring);
    reply.inspect_err(|refused| note_failed(trail, record, refused))
}

/// Records that what a program may do can't be done.
pub fn note_refused(service: &Cicada, trail: &mut Trail, mut record: Record, refused: &Refused) {
    record.outcome = Outcome::Refused;
    record.detail.insert("reason".to_owned(), refused.code.as_str().to_owned());
    let kind = record.operation.as_str();
    service.record_refused(trail, kind, record);
}

/// Records that a use which was recorded already went wrong.
pub fn note_failed(trail: &mut Trail, mut record: Record, refused: &Refused) {
    record.outcome = Outcome::Failed;
    record.detail.insert("reason".to_owned(), refused.code.as_str().to_owned());
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("a failure could not be recorded: {error}"));
    }
}

/// Records that a change is authorised, makes it, and records how it ended; with whatever `change` adds
/// to the detail.
///
/// # Errors
/// Those of `change`; and when it can't be recorded, and was not made.
pub fn carry_out<T>(
    trail: &mut Trail,
    mut record: Record,
    change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<T, Refused>,
) -> Result<T, Refused> {
    trail.record(record.clone())?;
    match change(&mut record.detail) {
        Err(refused) => {
            note_failed(trail, record, &refused);
            Err(refused)
        }
        Ok(done) => {
            let operation = record.operation;
            record.outcome = Outcome::Done;
            if let Err(error) = trail.record(record) {
                log::warning(format_args!("the end of {operation} could not be recorded: {error}"));
            }
            Ok(done)
        }
    }
}
