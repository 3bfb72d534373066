//! One operation, one file. Each use stands in the trail before its answer leaves; each change before
//! it is made, and again when it is done.

mod backup;
mod create;
mod decapsulate;
mod encapsulate;
mod get_key;
mod identities;
mod init;
pub mod lock;
mod public_key;
mod restore;
mod revoke;
mod rotate;
mod sign;
mod status;
pub mod unlock;

use ipc::trail::Trail;

use crate::conversation::Caller;
use crate::error::Refused;
use crate::reply::Reply;
use crate::request::Request;
use crate::service::Cicada;

/// Answers a request that is allowed.
///
/// # Errors
/// What the program is told instead.
pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    request: Request,
) -> Result<Reply, Refused> {
    match request {
        Request::GetKey { identity, version } => {
            get_key::handle(service, trail, caller, &identity, version)
        }
        Request::Sign { identity, data } => sign::handle(service, trail, caller, &identity, &data),
        Request::PublicKey { identity, version, wireguard } => {
            public_key::handle(service, trail, caller, &identity, version, wireguard)
        }
        Request::Encapsulate { identity, to } => {
            encapsulate::handle(service, trail, caller, &identity, to.as_deref())
        }
        Request::Decapsulate { identity, version, ciphertext } => {
            decapsulate::handle(service, trail, caller, &identity, version, &ciphertext)
        }
        Request::Identities => identities::handle(service, trail, caller),
        Request::Status => Ok(status::handle(service)),
        Request::Init { unlock_key } => init::handle(service, trail, caller, unlock_key),
        Request::Unlock { unlock_key } => unlock::handle(service, trail, caller, unlock_key),
        Request::Lock => Ok(lock::handle(service, trail, caller)),
        Request::Create { identity } => create::handle(service, trail, caller, &identity),
        Request::Rotate { identity, grace } => {
            rotate::handle(service, trail, caller, &identity, grace)
        }
        Request::Revoke { identity } => revoke::handle(service, trail, caller, &identity),
        Request::Backup { identity } => backup::handle(service, trail, caller, &identity),
        Request::Restore { backup, unlock_key } => {
            restore::handle(service, trail, caller, &backup, unlock_key)
        }
    }
}
