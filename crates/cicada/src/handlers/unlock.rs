//! Unlocking the key store: with a key that a person brought, or the service manager.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::trail::Trail;
use secret_memory::Secret;

use crate::conversation::Caller;
use crate::error::{Code, Refused};
use crate::keyring::Keyring;
use crate::record::{carry_out, note_refused, record_of};
use crate::reply::Reply;
use crate::service::Cicada;
use crate::store::Contents;

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    unlock_key: Secret<32>,
) -> Result<Reply, Refused> {
    let record = record_of(Operation::CicadaUnlock, caller, None);
    let _changing = service.changing();
    if matches!(*service.keyring(), Keyring::Uninitialised) {
        let text = "there is no key store yet; run `sesame cicada init`";
        let refused = Refused::new(Code::NotInitialised, text);
        note_refused(service, trail, record, &refused);
        return Err(refused);
    }
    unlock(service, trail, record, unlock_key)?;
    Ok(Reply::state("unlocked"))
}

/// With the credential that came with the start; a store is made with it when there is none, so that a
/// host needs no person.
///
/// # Errors
/// What is wrong with it.
pub fn with_credential(
    service: &Cicada,
    trail: &mut Trail,
    unlock_key: Secret<32>,
) -> Result<(), Refused> {
    let _changing = service.changing();
    let is_new = matches!(*service.keyring(), Keyring::Uninitialised);
    let operation = if is_new { Operation::CicadaInit } else { Operation::CicadaUnlock };
    let mut record = Record::new(operation, Outcome::Authorised);
    record.detail.insert("with".to_owned(), "credential".to_owned());
    if is_new {
        let locks = service.locks();
        return carry_out(trail, record, |_| {
            service.store.create(&unlock_key)?;
            service.keep(unlock_key, Contents::default(), locks)
        });
    }
    unlock(service, trail, record, unlock_key)
}

fn unlock(
    service: &Cicada,
    trail: &mut Trail,
    record: Record,
    unlock_key: Secret<32>,
) -> Result<(), Refused> {
    let locks = service.locks();
    carry_out(trail, record, |detail| {
        let contents = service.store.read(&unlock_key)?;
        for (_, error) in &contents.damaged {
            log::error(error);
        }
        if !contents.damaged.is_empty() {
            // A record has room for some thirty long names.
            let names = contents.damaged.iter().map(|(name, _)| name.as_str()).take(24);
            detail.insert("damaged".to_owned(), names.collect::<Vec<_>>().join(" "));
            detail.insert("damaged-count".to_owned(), contents.damaged.len().to_string());
        }
        service.keep(unlock_key, contents, locks)
    })
}
