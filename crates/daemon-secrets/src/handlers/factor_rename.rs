//! A factor is called something else.

use audit_log::Operation;
use ipc::factors::Change;
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};

use crate::changes::{authorised, carry_out, record_change, reseal};
use crate::faults;
use crate::handlers::enrol;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    factor: u32,
    label: &str,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let target = Target::profile(service, profile)?;
    let seen = target.metadata(service)?;
    let mut enrolment = seen.enrolment().clone();
    let renamed = enrolment.rename(factor, enrol::label(label)?);
    renamed.map_err(|error| faults::from_enrolment(&error))?;
    let old = authorised(service, peer, &target, &seen, &Change::Rename { factor, label })?;

    let mut record = record_change(Operation::FactorRename, peer, &old);
    record.subject = Some(label.to_owned());
    record.detail.insert("factor".to_owned(), factor.to_string());
    carry_out(service, trail, &target, record, |_| reseal(service, &target, enrolment, &old))?;
    Ok(SecretsReply::Done)
}
