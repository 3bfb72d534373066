//! A further profile.

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::factors::NewFactor;
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use site_config::ProfileName;

use crate::faults;
use crate::handlers::enrol;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use crate::store::NewProfile;
use ipc::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: &str,
    factors: &[NewFactor<'_>],
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    let installation = service.initialised()?;
    let profile = ProfileName::try_from(profile).map_err(|error| faults::from_name(&error))?;
    if service.store.profile_exists(&profile) {
        let text = format!("profile {profile} exists and was not touched");
        return Err(Fault::new(FaultKind::Exists, text));
    }
    enrol::check_factors(service, factors)?;
    enrol::check_machine(installation.machine_binding, factors)?;
    let floor = enrol::check_floor(service, trail, peer)?;
    let mut record = record_of(Operation::ProfileCreate, Outcome::Authorised, peer, Some(&profile));
    trail.record(record.clone())?;
    floor.note(trail, peer, &profile)?;
    let stored = enrol::new_profile(service, &installation, &profile, factors).and_then(
        |(metadata, keys)| {
            let new = NewProfile { name: &profile, metadata: &metadata, keys };
            let created = service.store.create_profile(&installation, new);
            created.map_err(|error| enrol::not_stored(&error))
        },
    );
    recording_failure(trail, &record, stored)?;
    record.outcome = Outcome::Done;
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("the end of profile.create could not be recorded: {error}"));
    }
    Ok(SecretsReply::Done)
}
