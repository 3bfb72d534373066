//! Another unlock policy, under a new master key: an old file of a laxer policy must open nothing new.

use audit_log::Operation;
use ipc::factors::Change;
use ipc::secrets::SecretsReply;
use ipc::{Fault, Peer};
use site_config::UnlockPolicy;

use crate::changes::{authorised, carry_out, record_change, rotate};
use crate::faults;
use crate::handlers::enrol::check_policy;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    policy: UnlockPolicy,
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let target = Target::profile(service, profile)?;
    check_policy(service, policy)?;
    let seen = target.metadata(service)?;
    let mut enrolment = seen.enrolment().clone();
    let before = enrolment.policy;
    enrolment.policy = policy;
    enrolment.tree().map_err(|error| faults::from_enrolment(&error.into()))?;
    let old = authorised(service, peer, &target, &seen, &Change::Policy(policy))?;

    let mut record = record_change(Operation::FactorPolicy, peer, &old);
    record.subject = Some(policy.to_string());
    record.detail.insert("before".to_owned(), before.to_string());
    carry_out(service, trail, &target, record, |_| rotate(service, &target, enrolment, &old))?;
    Ok(SecretsReply::Done)
}
