//! What a request about factors is about: a profile, or a backup that is to become one.

use std::path::PathBuf;
use std::sync::Arc;

use ipc::factors::Source;
use ipc::{Fault, FaultKind};
use key_hierarchy::Metadata;
use site_config::{Installation, ProfileName};

use crate::collection;
use crate::faults;
use crate::service::SecretsService;
use crate::store;

/// It was there when it was asked for.
pub struct Target {
    pub installation: Arc<Installation>,
    pub profile: ProfileName,
    restore: bool,
}

impl Target {
    pub fn new(service: &SecretsService, source: Source<'_>) -> Result<Self, Fault> {
        let installation = service.initialised()?;
        match source {
            Source::Profile(profile) => {
                Ok(Self { installation, profile: service.profile(profile)?, restore: false })
            }
            Source::Restore(name) => {
                let profile =
                    ProfileName::try_from(name).map_err(|error| faults::from_name(&error))?;
                if service.store.is_staged(&profile) {
                    return Ok(Self { installation, profile, restore: true });
                }
                let text = format!("no backup is being restored as profile {profile}");
                Err(Fault::new(FaultKind::NotFound, text))
            }
        }
    }

    /// A profile, by the name in a request.
    pub fn profile(service: &SecretsService, name: Option<&str>) -> Result<Self, Fault> {
        Self::new(service, Source::Profile(name))
    }

    /// Its metadata as it is on disk now.
    pub fn metadata(&self, service: &SecretsService) -> Result<Metadata, Fault> {
        if self.restore {
            return service.store.staged_metadata(&self.profile);
        }
        let bytes = service.store.metadata(&self.profile).map_err(|error| {
            faults::from_storage("the profile's metadata can't be read", &error)
        })?;
        Metadata::parse(bytes.expose(), &store::binding(&self.installation, &self.profile))
            .map_err(|error| faults::from_metadata(&error))
    }

    /// Where its wrong tries are counted.
    pub fn attempts(&self, service: &SecretsService) -> PathBuf {
        if self.restore {
            service.store.staged_attempts(&self.profile)
        } else {
            service.store.attempts(&self.profile)
        }
    }

    /// Its name among the collections.
    pub fn key(&self) -> collection::Key {
        let name = self.profile.to_string();
        if self.restore { collection::Key::Restore(name) } else { collection::Key::Profile(name) }
    }
}
