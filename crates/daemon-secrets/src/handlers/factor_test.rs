//! Proof that a factor still works. Nothing is unlocked, and nothing is collected.

use audit_log::Operation;
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::Parameters;

use crate::attempt::{Attempt, try_factors};
use crate::handlers::factor_submit::check_factors;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    factors: &[u32],
    evidence: &[u8],
) -> Result<SecretsReply<'a>, Fault> {
    let target = Target::profile(service, profile)?;
    let metadata = target.metadata(service)?;
    check_factors(&metadata, factors)?;
    let is_share = |id: &u32| {
        let factor = metadata.enrolment().factor(*id);
        factor.is_some_and(|factor| matches!(factor.parameters, Parameters::Share(_)))
    };
    if factors.iter().any(is_share) {
        let text = "a share is proved by `sesame share verify`; nothing was tried";
        return Err(Fault::new(FaultKind::InvalidInput, text));
    }
    let attempt = Attempt {
        operation: Operation::FactorTest,
        profile: &target.profile,
        cause: None,
        factors,
        file: target.attempts(service),
    };
    let work = || try_factors(service, &metadata, factors, evidence);
    let (factor, _piece) = attempt.run(service, trail, peer, work)?;
    Ok(SecretsReply::Factor(factor))
}
