//! Where everything stands.

use ipc::Fault;
use ipc::secrets::{InstallationStatus, ProfileStatus, SecretsReply, Status};
use site_config::{MachineBinding, ProfileName};

use crate::attempt::whole_seconds;
use crate::faults;
use crate::service::SecretsService;
use crate::target::Target;

pub fn handle<'a>(service: &SecretsService) -> Result<SecretsReply<'a>, Fault> {
    let installation = service.installation();
    let mut profiles = Vec::new();
    if installation.is_some() {
        let failed = |error| faults::from_storage("the profiles can't be read", &error);
        let default = service.default_profile()?;
        for name in service.store.profile_names().map_err(failed)? {
            profiles.push(profile_status(service, name, &default));
        }
    }
    Ok(SecretsReply::Status(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        installation: installation.map(|installation| InstallationStatus {
            id: installation.id,
            org: installation.org.as_ref().map(ToString::to_string),
            created: installation.created.clone(),
            machine_bound: installation.machine_binding.is_some(),
            machine_tpm: installation.machine_binding == MachineBinding::Tpm,
        }),
        profiles,
        auto_lock_seconds: service.settings.unlock.auto_lock.map_or(0, |limit| limit.as_secs()),
    }))
}

/// Damaged metadata shows as such here; unlocking says what is wrong with it.
fn profile_status(
    service: &SecretsService,
    name: ProfileName,
    default: &ProfileName,
) -> ProfileStatus {
    let target = Target::profile(service, Some(name.as_str()));
    let metadata = target.and_then(|target| Ok((target.metadata(service)?, target)));
    let mut status = ProfileStatus {
        default: name == *default,
        state: service.keyring().state(&name),
        factors: vec!["damaged".to_owned()],
        policy: "damaged".to_owned(),
        pending: None,
        failures: 0,
        retry_after_seconds: 0,
        name: name.to_string(),
    };
    let Ok((metadata, target)) = metadata else { return status };
    let factors = metadata.enrolment().factors();
    status.factors = factors.iter().map(|factor| factor.parameters.kind().to_string()).collect();
    status.policy = metadata.enrolment().policy.to_string();
    status.pending = service.collections.pending(&target.key()).map(|pending| {
        (pending.change.unwrap_or_else(|| "unlock".to_owned()), pending.progress.seconds_left)
    });
    let file = target.attempts(service);
    let mut attempts = service.attempts();
    let standings: Vec<_> =
        factors.iter().map(|factor| attempts.standing(&file, factor.id)).collect();
    status.failures = standings.iter().map(|(failures, _)| *failures).max().unwrap_or(0);
    let wait = standings.iter().map(|(_, wait)| *wait).max().unwrap_or_default();
    status.retry_after_seconds = whole_seconds(wait);
    status
}
