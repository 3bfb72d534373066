//! An identity out of a backup, sealed anew with the present unlock key.

use audit_log::Operation;
use data_encoding::HEXLOWER;
use ipc::trail::Trail;
use secret_memory::Secret;
use sha2::{Digest, Sha256};
use site_config::CicadaOperation;

use crate::conversation::Caller;
use crate::error::{Code, Refused};
use crate::identity::Identity;
use crate::record::{carry_out, note_refused, record_of};
use crate::reply::Reply;
use crate::sealed::{SealError, Sealed};
use crate::service::{Cicada, now};
use crate::store::{name_in, open_identity};

pub fn handle(
    service: &Cicada,
    trail: &mut Trail,
    caller: &Caller,
    backup: &[u8],
    its_key: Option<Secret<32>>,
) -> Result<Reply, Refused> {
    let no_backup = |_| Refused::new(Code::BadRequest, "this is no backup of an identity");
    let sealed = Sealed::from_json(backup).map_err(no_backup)?;
    let name = name_in(&sealed).map_err(no_backup)?;
    service.permit(trail, caller, CicadaOperation::Restore, Some(&name))?;
    let mut record = record_of(Operation::IdentityRestore, caller, Some(&name));
    record.detail.insert("sha256".to_owned(), HEXLOWER.encode(&Sha256::digest(backup)));
    if its_key.is_some() {
        record.detail.insert("with".to_owned(), "another unlock key".to_owned());
    }
    let _changing = service.changing();
    let unlock_key = service.key_for_restored(&name).inspect_err(|refused| {
        note_refused(service, trail, record.clone(), refused);
    })?;
    carry_out(trail, record, |detail| {
        let opened = open_identity(&sealed, its_key.as_ref().unwrap_or(&unlock_key));
        let opened = opened.map_err(|error| match error {
            SealError::DoesNotOpen => {
                let text =
                    "the backup does not open: give the unlock key of the time when it was made";
                Refused::new(Code::WrongKey, text)
            }
            error => Refused::new(Code::BadRequest, format!("the backup {error}")),
        })?;
        let mut versions = opened.versions.clone();
        versions.retain(|version| !version.is_over(now()));
        let Some(current) = versions.last().cloned() else {
            let text = format!("the backup is of {name} after it was revoked, and has no keys");
            return Err(Refused::new(Code::Revoked, text));
        };
        let reply = Reply::public_keys(&name, current.number, current.keys()?.public());
        detail.insert("version".to_owned(), current.number.to_string());
        if service.store.put_aside(&name)? {
            detail.insert("damaged-file".to_owned(), "put aside".to_owned());
        }
        service.put(Identity { versions, ..opened }, &unlock_key)?;
        Ok(reply)
    })
}
