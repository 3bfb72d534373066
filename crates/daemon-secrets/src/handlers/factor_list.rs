//! A profile's factors and policy, and what is being collected.

use std::collections::BTreeSet;

use ipc::Fault;
use ipc::factors::{Enrolled, EnrolledFactor, Source};
use ipc::secrets::SecretsReply;

use crate::attempt::whole_seconds;
use crate::collection::needs;
use crate::service::SecretsService;
use crate::target::Target;

pub fn handle<'a>(service: &SecretsService, source: Source<'_>) -> Result<SecretsReply<'a>, Fault> {
    let target = Target::new(service, source)?;
    let metadata = target.metadata(service)?;
    let enrolment = metadata.enrolment();
    let file = target.attempts(service);
    let mut attempts = service.attempts();
    let factors = enrolment.factors().iter().map(|factor| {
        let (failures, wait) = attempts.standing(&file, factor.id);
        EnrolledFactor {
            id: factor.id,
            label: factor.label.as_str().to_owned(),
            kind: factor.parameters.kind(),
            machine: factor.machine,
            parameters: serde_json::to_string(&factor.parameters).unwrap_or_default(),
            failures,
            retry_after_seconds: whole_seconds(wait),
        }
    });
    Ok(SecretsReply::Enrolled(Enrolled {
        profile: target.profile.to_string(),
        policy: enrolment.policy,
        generation: enrolment.generation(),
        factors: factors.collect(),
        pending: service.collections.pending(&target.key()),
        needs: needs(&metadata, &BTreeSet::new()),
        backup: match source {
            Source::Profile(_) => None,
            Source::Restore(_) => Some(service.store.staged_digest(&target.profile)?),
        },
    }))
}
