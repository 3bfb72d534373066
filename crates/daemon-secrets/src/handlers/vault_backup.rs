//! A backup of an open vault with its metadata, encrypted as they are, in pieces.

use audit_log::{Operation, Outcome};
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::Metadata;
use secret_memory::SecretBytes;
use vault::Vault;

use crate::faults;
use crate::handlers::enrol::not_stored;
use crate::opening::check_generation;
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

/// Bytes of a piece: a frame has room for it.
const PIECE_BYTES: usize = 64 << 10;

/// Returns the size of the whole backup, and bytes from the offset on. The first piece makes the
/// backup, and the one after the last removes it.
pub fn handle(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    offset: u64,
) -> Result<(u64, SecretBytes), Fault> {
    let _changing = service.changing();
    let target = Target::profile(service, profile)?;
    let profile = &target.profile;
    let mut record = record_of(Operation::VaultBackup, Outcome::Authorised, peer, Some(profile));
    if offset == 0 {
        let vault = service.vault(trail, profile, &record)?;
        trail.record(record.clone())?;
        let made = check(service, &target, &vault).and_then(|metadata| {
            let keys = service.keyring().keys(profile).ok_or_else(locked_meanwhile)?;
            let made =
                service.store.make_backup(&target.installation, profile, &metadata, &vault, keys);
            made.map_err(|error| not_stored(&error))
        });
        recording_failure(trail, &record, made)?;
    }
    let piece = service.store.backup_piece(profile, offset, PIECE_BYTES);
    let (total, bytes) =
        piece.map_err(|error| faults::from_storage("the backup can't be read", &error))?;
    if bytes.is_empty() {
        service.store.remove_backup(profile);
        record.outcome = Outcome::Done;
        record.detail.insert("bytes".to_owned(), total.to_string());
        trail.record(record)?;
    }
    Ok((total, bytes))
}

/// What is packed must open: now is the time to find out, and not when it is needed.
fn check(service: &SecretsService, target: &Target, vault: &Vault) -> Result<Metadata, Fault> {
    let metadata = target.metadata(service)?;
    if !service.keyring().authenticates(&target.profile, &metadata) {
        let text = "the unlock metadata on disk is not what this profile was unlocked with: it was \
                    edited, or it was locked meanwhile. Nothing was backed up";
        return Err(Fault::new(FaultKind::Tampered, text));
    }
    check_generation(vault, &metadata)?;
    Ok(metadata)
}

fn locked_meanwhile() -> Fault {
    Fault::new(FaultKind::Locked, "it was locked meanwhile; nothing was done")
}
