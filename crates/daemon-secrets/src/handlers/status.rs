//! Where everything stands.

use ipc::Fault;
use ipc::secrets::{InstallationStatus, ProfileStatus, SecretsReply, Status};
use key_hierarchy::Metadata;
use key_hierarchy::metadata::FactorKind;
use site_config::{Installation, ProfileName};

use crate::faults;
use crate::service::SecretsService;
use crate::store;

pub fn handle<'a>(service: &SecretsService) -> Result<SecretsReply<'a>, Fault> {
    let installation = service.installation();
    let mut profiles = Vec::new();
    if let Some(installation) = &installation {
        let failed = |error| faults::from_storage("the profiles can't be read", &error);
        let default = service.default_profile()?;
        for name in service.store.profile_names().map_err(failed)? {
            profiles.push(profile_status(service, installation, name, &default));
        }
    }
    Ok(SecretsReply::Status(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        installation: installation.map(|installation| InstallationStatus {
            id: installation.id,
            org: installation.org.as_ref().map(ToString::to_string),
            created: installation.created.clone(),
            machine_bound: installation.machine_binding.is_some(),
        }),
        profiles,
        auto_lock_seconds: service.settings.unlock.auto_lock.map_or(0, |limit| limit.as_secs()),
    }))
}

fn profile_status(
    service: &SecretsService,
    installation: &Installation,
    name: ProfileName,
    default: &ProfileName,
) -> ProfileStatus {
    let file = service.store.attempts(&name);
    let (failures, wait) = service.attempts().standing(&name, &file);
    ProfileStatus {
        default: name == *default,
        state: service.keyring().state(&name),
        factors: factors(service, installation, &name),
        failures,
        retry_after_seconds: wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
        name: name.to_string(),
    }
}

/// Damaged metadata shows as such here; unlocking says what is wrong with it.
fn factors(
    service: &SecretsService,
    installation: &Installation,
    name: &ProfileName,
) -> Vec<String> {
    let binding = store::binding(installation, name);
    let metadata = service
        .store
        .metadata(name)
        .ok()
        .and_then(|bytes| Metadata::parse(bytes.expose(), &binding).ok());
    match metadata {
        Some(metadata) => metadata
            .factors()
            .iter()
            .map(|factor| match factor.kind {
                FactorKind::Password { .. } => "password".to_owned(),
            })
            .collect(),
        None => vec!["damaged".to_owned()],
    }
}
