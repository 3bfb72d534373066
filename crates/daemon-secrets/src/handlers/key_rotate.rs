//! A new master key, and the vault under it.

use audit_log::Operation;
use ipc::factors::Change;
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::changes::{authorised, carry_out, record_change, rotate};
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let target = Target::profile(service, profile)?;
    let seen = target.metadata(service)?;
    let old = authorised(service, peer, &target, &seen, &Change::RotateKey)?;
    let record = record_change(Operation::KeyRotate, peer, &old);
    let enrolment = old.metadata.enrolment().clone();
    carry_out(service, trail, &target, record, |_| rotate(service, &target, enrolment, &old))?;
    Ok(SecretsReply::Done)
}
