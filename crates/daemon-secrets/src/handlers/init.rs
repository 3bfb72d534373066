//! A new installation with its first profile.

use std::path::Path;
use std::time::SystemTime;

use audit_log::{Operation, Outcome};
use daemon_runtime::{MACHINE_ID, log};
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use site_config::installation::machine_binding;
use site_config::{Installation, OrgNamespace, ProfileName};

use crate::faults;
use crate::handlers::enrol;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use crate::store::NewProfile;
use crate::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    org: Option<&str>,
    bind_machine: bool,
    profile: &str,
    password: &[u8],
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
    enrol::check_password(service, password)?;
    let floor = enrol::check_floor(service, trail, peer)?;

    let machine_id = bind_machine.then(|| Path::new(MACHINE_ID));
    let created = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let invalid = |error: &dyn std::fmt::Display| {
        Fault::new(FaultKind::InvalidInput, format!("nothing was initialised: {error}"))
    };
    let mut installation =
        Installation::new(org, machine_id, created).map_err(|error| invalid(&error))?;
    let present = trail.genesis(&installation)?;
    let resumed = present != installation.id;
    if resumed {
        installation.id = present;
        let binding = machine_id.map(|path| machine_binding(&present, path)).transpose();
        installation.machine_binding = binding.map_err(|error| invalid(&error))?;
    }
    service.record_start(trail)?;

    let mut record = record_of(Operation::Init, Outcome::Authorised, peer, Some(&profile));
    if resumed {
        record.detail.insert("resumed".to_owned(), "an earlier init was interrupted".to_owned());
    }
    trail.record(record.clone())?;
    floor.note(trail, peer, &profile)?;
    let stored = enrol::new_profile(service, &installation, &profile, password).and_then(
        |(metadata, keys)| {
            let new = NewProfile { name: &profile, metadata: &metadata, keys };
            service
                .store
                .create_installation(&installation, new)
                .map_err(|error| enrol::not_stored(&error))
        },
    );
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
