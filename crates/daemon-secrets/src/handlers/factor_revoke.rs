//! A factor goes. Who kept a copy of its piece must not open anything with it, so the profile gets a
//! new master key.

use audit_log::Operation;
use ipc::factors::Change;
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use site_config::MachineBinding;

use crate::changes::{authorised, carry_out, record_change, rotate};
use crate::faults;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    factor: u32,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let target = Target::profile(service, profile)?;
    let seen = target.metadata(service)?;
    let mut enrolment = seen.enrolment().clone();
    let removed = enrolment.remove(factor).map_err(|error| faults::from_enrolment(&error))?;
    let bound = target.installation.machine_binding == MachineBinding::Tpm;
    if bound && enrolment.factors().iter().all(|factor| !factor.machine) {
        let text = "the installation is bound to this machine's TPM, and this is the profile's only \
                    factor of it; nothing was changed. Enrol another first";
        return Err(Fault::new(FaultKind::InvalidInput, text));
    }
    enrolment.tree().map_err(|error| faults::from_enrolment(&error.into()))?;
    let old = authorised(service, peer, &target, &seen, &Change::Revoke { factor })?;

    let mut record = record_change(Operation::FactorRevoke, peer, &old);
    record.subject = Some(removed.label.as_str().to_owned());
    record.detail.insert("kind".to_owned(), removed.parameters.kind().as_str().to_owned());
    record.detail.insert("factor".to_owned(), factor.to_string());
    carry_out(service, trail, &target, record, |_| rotate(service, &target, enrolment, &old))?;
    Ok(SecretsReply::Done)
}
