//! A further factor.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::factors::{Change, NewFactor};
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::Enrolment;
use site_config::MachineBinding;

use crate::changes::{authorised, record_change, reseal, rotate};
use crate::faults;
use crate::handlers::enrol;
use crate::record::recording_failure;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    factor: &NewFactor<'_>,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let target = Target::profile(service, profile)?;
    enrol::check_factors(service, std::slice::from_ref(factor))?;
    if factor.machine && target.installation.machine_binding != MachineBinding::Tpm {
        let text = "the installation is not bound to a TPM; nothing was enrolled";
        return Err(Fault::new(FaultKind::InvalidInput, text));
    }
    let floor = enrol::check_floor(service, trail, peer)?;
    let seen = target.metadata(service)?;
    let NewFactor { kind, label, machine, .. } = *factor;
    let change = Change::Enroll { kind, label, machine };
    // Before the new factor is held against the enrolled ones: whether it is one of them is an answer
    // about a password, and to have one costs an authorisation.
    let old = authorised(service, peer, &target, &seen, &change)?;

    let mut record = record_change(Operation::FactorEnroll, peer, &old);
    record.subject = Some(label.to_owned());
    record.detail.insert("kind".to_owned(), kind.as_str().to_owned());
    record.detail.insert("machine".to_owned(), machine.to_string());
    trail.record(record.clone())?;
    let enrolled = floor.note(trail, peer, &target.profile).and_then(|()| {
        let mut enrolment = old.metadata.enrolment().clone();
        let id = enrol::add(service, &mut enrolment, factor)?;
        // Once it is demanded, an old file that does without it must open nothing new.
        if is_demanded(&enrolment, id)? {
            rotate(service, &target, enrolment, &old)?;
        } else {
            reseal(service, &target, enrolment, &old)?;
        }
        Ok(id)
    });
    let id = recording_failure(trail, &record, enrolled)?;
    service.collections.lock().remove(&target.key());
    record.detail.insert("factor".to_owned(), id.to_string());
    record.outcome = Outcome::Done;
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("the end of factor.enroll could not be recorded: {error}"));
    }
    Ok(SecretsReply::Factor(id))
}

/// Whether nobody gets in without this factor any more, whatever else they have.
pub fn is_demanded(enrolment: &Enrolment, factor: u32) -> Result<bool, Fault> {
    let tree = enrolment.tree().map_err(|error| faults::from_enrolment(&error.into()))?;
    let others = tree.members().into_iter().filter(|id| *id != factor).collect();
    Ok(!tree.missing(&others).is_empty())
}
