//! A new installation with its first profile.

use std::path::Path;
use std::time::SystemTime;

use audit_log::{Operation, Outcome};
use daemon_runtime::{MACHINE_ID, log};
use ipc::factors::NewFactor;
use ipc::secrets::{BindTo, SecretsReply};
use ipc::{Fault, FaultKind, Peer};
use site_config::{Installation, OrgNamespace, ProfileName};

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
    org: Option<&str>,
    bind_to: BindTo,
    profile: &str,
    factors: &[NewFactor<'_>],
) -> Result<SecretsReply<'a>, Fault> {
    let _changing = service.changing();
    if let Some(present) = service.installation() {
        let mut record = record_of(Operation::Init, Outcome::Refused, peer, None);
        record.detail.insert("reason".to_owned(), "already initialised".to_owned());
        trail.record(record)?;
        let text = format!(
            "installation {0} exists and was not touched; only `sesame wipe --i-understand {0}` \
             removes it",
            present.id
        );
        return Err(Fault::new(FaultKind::AlreadyInitialised, text));
    }
    let profile = ProfileName::try_from(profile).map_err(|error| faults::from_name(&error))?;
    let org = org.map(OrgNamespace::try_from).transpose();
    let org = org.map_err(|error| faults::from_name(&error))?;
    enrol::check_factors(service, factors)?;
    let floor = enrol::check_floor(service, trail, peer)?;

    let bind_to = match bind_to {
        BindTo::Nothing => site_config::BindTo::Nothing,
        BindTo::MachineId => site_config::BindTo::MachineId(Path::new(MACHINE_ID)),
        BindTo::Tpm => site_config::BindTo::Tpm,
    };
    let created = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let invalid = |error: &dyn std::fmt::Display| {
        Fault::new(FaultKind::InvalidInput, format!("nothing was initialised: {error}"))
    };
    let mut installation =
        Installation::new(org, bind_to, created).map_err(|error| invalid(&error))?;
    enrol::check_machine(installation.machine_binding, factors)?;
    // A policy that these factors can't satisfy must be known before there is a trail.
    let (mut metadata, mut keys) = enrol::new_profile(service, &installation, &profile, factors)?;
    let present = trail.genesis(&installation)?;
    let resumed = present != installation.id;
    if resumed {
        installation.id = present;
        installation.machine_binding =
            bind_to.binding(&present).map_err(|error| invalid(&error))?;
        (metadata, keys) = enrol::new_profile(service, &installation, &profile, factors)?;
    }
    service.record_start(trail)?;

    let mut record = record_of(Operation::Init, Outcome::Authorised, peer, Some(&profile));
    if resumed {
        record.detail.insert("resumed".to_owned(), "an earlier init was interrupted".to_owned());
    }
    trail.record(record.clone())?;
    floor.note(trail, peer, &profile)?;
    let new = NewProfile { name: &profile, metadata: &metadata, keys };
    let stored = service.store.create_installation(&installation, new);
    let stored = stored.map_err(|error| enrol::not_stored(&error));
    recording_failure(trail, &record, stored)?;
    service.attempts().forget();
    service.forget_default_profile();
    let id = installation.id;
    service.set_installation(Some(installation));
    record.outcome = Outcome::Done;
    if let Err(error) = trail.record(record) {
        log::warning(format_args!("the end of init could not be recorded: {error}"));
    }
    Ok(SecretsReply::Initialised { installation: id, resumed })
}
