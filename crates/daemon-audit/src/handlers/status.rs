//! Where the trail stands.

use audit_log::HashAlgorithm;
use ipc::audit::{AuditReply, TrailStatus};
use site_config::AuditHash;

use crate::service::{AuditService, installation_of};

pub fn handle(service: &AuditService) -> AuditReply<'static> {
    let trail = service.commit.trail();
    AuditReply::Status(trail.as_ref().map(|writer| TrailStatus {
        installation: installation_of(writer),
        size: writer.size(),
        root: writer.head().root.0,
        sealed: writer.sealed(),
        hash: match writer.genesis().hash {
            HashAlgorithm::Blake3 => AuditHash::Blake3,
            HashAlgorithm::Sha256 => AuditHash::Sha256,
        },
        has_vaults: service.store.has_vaults(&writer.genesis().installation),
    }))
}
