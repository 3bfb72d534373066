//! Forgetting all keys. It comes first and always happens, whether or not it can be recorded: it is
//! the brake.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::trail::Trail;

use crate::conversation::Caller;
use crate::record::record_of;
use crate::reply::Reply;
use crate::service::Cicada;

pub fn handle(service: &Cicada, trail: &mut Trail, caller: &Caller) -> Reply {
    service.forget_keys();
    let mut record = record_of(Operation::CicadaLock, caller, None);
    record.outcome = Outcome::Done;
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("locked, and that could not be recorded: {error}"));
    }
    Reply::state(service.keyring().state())
}
