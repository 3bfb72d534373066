//! Lines of the trail, page by page.

use ipc::audit::AuditReply;
use ipc::{Fault, FaultKind, codec};
use secret_memory::SecretBytes;

use crate::service::AuditService;

/// Bytes of lines in one reply.
const PAGE_BYTES: usize = 60_000;

pub fn handle(service: &AuditService, from: u64) -> Option<SecretBytes> {
    let page = match service.commit.trail().as_ref() {
        Some(writer) => writer.read(from, PAGE_BYTES).map_err(|error| {
            Fault::new(FaultKind::Storage, format!("the trail can't be read: {error}"))
        }),
        None => Ok(Vec::new()),
    };
    match page {
        Ok(lines) => codec::encode(&AuditReply::Lines(&lines)).ok(),
        Err(fault) => codec::encode(&AuditReply::Fault(fault)).ok(),
    }
}
