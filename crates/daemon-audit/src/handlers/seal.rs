//! A checkpoint over the trail as it is.

use ipc::Peer;
use ipc::audit::AuditReply;

use crate::sealer;
use crate::service::{AuditService, unavailable};

pub fn handle(service: &AuditService, peer: &Peer) -> AuditReply<'static> {
    let draft = sealer::draft("request").actor(peer.recorded().into_actor());
    match service.sealer.seal(&service.commit, draft) {
        Ok(appended) => AuditReply::Sealed { size: appended.seq + 1 },
        Err(refused) => AuditReply::Fault(unavailable(refused)),
    }
}
