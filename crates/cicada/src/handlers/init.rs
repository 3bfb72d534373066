//! A key store, and the key that unlocks it from now on.

use audit_log::Operation;
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
    let record = record_of(Operation::CicadaInit, caller, None);
    let _changing = service.changing();
    if !matches!(*service.keyring(), Keyring::Uninitialised) {
        let text =
            "there is a key store already; it was not touched. `sesame cicada unlock` opens it";
        let refused = Refused::new(Code::Exists, text);
        note_refused(service, trail, record, &refused);
        return Err(refused);
    }
    let locks = service.locks();
    carry_out(trail, record, |_| {
        service.store.create(&unlock_key)?;
        service.keep(unlock_key, Contents::default(), locks)
    })?;
    Ok(Reply::state("unlocked"))
}
