//! The trail of a new installation.

use audit_log::{Genesis, Hash, HashAlgorithm};
use daemon_runtime::log;
use ipc::audit::AuditReply;
use ipc::{Fault, FaultKind, Peer};
use site_config::AuditHash;
use uuid::Uuid;

use crate::service::{AuditService, installation_of};

/// A trail whose installation was not wiped stays: daemon-secrets has lost its state, or was
/// interrupted in `init`. It gets the installation of that trail and goes on under its eyes.
pub fn handle(
    service: &AuditService,
    peer: &Peer,
    installation: Uuid,
    org: Option<&str>,
    machine_binding: Option<[u8; 32]>,
) -> AuditReply<'static> {
    let mut trail = service.commit.trail();
    if let Some(writer) = trail.as_ref() {
        let present = writer.genesis().installation.clone();
        if !service.store.is_wiped(&present) {
            return AuditReply::Genesis(installation_of(writer));
        }
        if let Err(error) = service.store.archive(&present) {
            return failed(format!("the trail of the wiped installation can't be kept: {error}"));
        }
        *trail = None;
    }
    let genesis = Genesis {
        hash: match service.hash {
            AuditHash::Blake3 => HashAlgorithm::Blake3,
            AuditHash::Sha256 => HashAlgorithm::Sha256,
        },
        installation: installation.to_string(),
        org: org.map(str::to_owned),
        machine_binding: machine_binding.map(|binding| Hash(binding).to_string()),
    };
    match service.store.create(&genesis, peer.recorded().into_actor()) {
        Ok(writer) => *trail = Some(writer),
        Err(error) => return failed(error),
    }
    drop(trail);
    if let Err(error) = service.record_start() {
        log::warning(format_args!("the start of daemon-audit could not be recorded: {error:?}"));
    }
    AuditReply::Genesis(installation)
}

fn failed(text: String) -> AuditReply<'static> {
    AuditReply::Fault(Fault::new(FaultKind::AuditUnavailable, text))
}
