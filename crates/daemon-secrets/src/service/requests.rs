//! Each request to its handler, and each reply on its way.

use std::sync::Arc;

use audit_log::{Operation, Outcome};
use ipc::clearance::permits;
use ipc::codec::{self, CodecError};
use ipc::secrets::{SecretsReply, SecretsRequest};
use ipc::{Credentials, Fault, Peer, Refusal, RefusalReason, Service, Suite};
use secret_memory::SecretBytes;
use serde_bytes::Bytes;
use site_config::Daemon;

use crate::handlers as h;
use crate::record::record_of;
use crate::service::SecretsService;
use ipc::trail::Trail;

impl Service for SecretsService {
    type Worker = Trail;

    fn worker(&self) -> Trail {
        Trail::new(Arc::clone(&self.audit))
    }

    fn accepts(&self, suite: Suite) -> bool {
        self.directory.accepts(suite)
    }

    fn peer(&self, key: &[u8; 32], credentials: Credentials) -> Result<Peer, RefusalReason> {
        self.directory.peer(key, credentials)
    }

    fn refused(&self, trail: &mut Trail, refusal: &Refusal) {
        let uid = refusal.credentials.uid;
        if let Some(unrecorded) = self.refusals.admit(uid, refusal.reason.as_str(), refusal) {
            self.record_refusal(trail, refusal, unrecorded);
        }
    }

    fn handle(&self, trail: &mut Trail, peer: &Peer, request: &[u8]) -> Option<SecretBytes> {
        let request: SecretsRequest<'_> = codec::decode(request).ok()?;
        let operation = request.operation();
        if !permits(peer.role, operation) {
            let mut record = record_of(Operation::PeerRefused, Outcome::Refused, peer, None);
            record.subject = Some(Daemon::Secrets.as_str().to_owned());
            record.detail.insert("reason".to_owned(), "no clearance".to_owned());
            record.detail.insert("request".to_owned(), format!("{operation:?}"));
            let _ = trail.record(record);
            let fault = Fault::not_cleared(peer.role.as_str());
            return codec::encode(&SecretsReply::Fault(fault)).ok();
        }
        // A machine that wakes up after the limit is locked before anybody is answered.
        self.lock_when_idle(trail);
        answer(self, trail, peer, request)
            .unwrap_or_else(|fault| codec::encode(&SecretsReply::Fault(fault)))
            .ok()
    }
}

/// Replies that borrow a secret are encoded here, where it lives.
fn answer(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    request: SecretsRequest<'_>,
) -> Result<Result<SecretBytes, CodecError>, Fault> {
    use SecretsRequest as Request;
    let reply = match request {
        Request::SecretGet { profile, name, purpose } => {
            let value = h::secret_get::handle(service, trail, peer, profile, name, purpose)?;
            return Ok(codec::encode(&SecretsReply::Value(value.expose())));
        }
        Request::ShareSplit { profile, label, threshold, shares, passphrases } => {
            let wanted = h::share_split::Wanted { label, threshold, shares, passphrases };
            let shares = h::share_split::handle(service, trail, peer, profile, &wanted)?;
            let shares = shares.iter().map(|share| Bytes::new(share.expose())).collect();
            return Ok(codec::encode(&SecretsReply::Shares(shares)));
        }
        Request::VaultBackup { profile, offset } => {
            let (total, bytes) = h::vault_backup::handle(service, trail, peer, profile, offset)?;
            return Ok(codec::encode(&SecretsReply::Piece { total, bytes: bytes.expose() }));
        }
        Request::Status => h::status::handle(service),
        Request::Posture => Ok(SecretsReply::Posture(service.posture.checks())),
        Request::Init { org, binding, profile, factors } => {
            h::init::handle(service, trail, peer, org, binding, profile, &factors)
        }
        Request::Wipe { installation } => h::wipe::handle(service, trail, peer, installation),
        Request::Lock { profile } => h::lock::handle(service, trail, peer, profile),
        Request::ProfileCreate { profile, factors } => {
            h::profile_create::handle(service, trail, peer, profile, &factors)
        }
        Request::ProfileActivate { profile } => {
            h::profile_activate::handle(service, trail, peer, profile)
        }
        Request::ProfileDeactivate { profile } => {
            h::profile_deactivate::handle(service, trail, peer, profile)
        }
        Request::ProfileDefault { profile } => {
            h::profile_default::handle(service, trail, peer, profile)
        }
        Request::SecretSet { profile, name, value, only_new } => {
            h::secret_set::handle(service, trail, peer, profile, name, value, only_new)
        }
        Request::SecretList { profile, after } => {
            h::secret_list::handle(service, trail, peer, profile, after)
        }
        Request::SecretDelete { profile, name } => {
            h::secret_delete::handle(service, trail, peer, profile, name)
        }
        Request::FactorList { source } => h::factor_list::handle(service, source),
        Request::FactorSubmit { source, cause, factors, evidence, passphrase } => {
            let given =
                h::factor_submit::Submission { source, cause, factors, evidence, passphrase };
            h::factor_submit::handle(service, trail, peer, &given)
        }
        Request::FactorBegin { source, change } => {
            h::factor_begin::handle(service, peer, source, change)
        }
        Request::FactorCancel { source } => h::factor_cancel::handle(service, trail, peer, source),
        Request::FactorTest { profile, factors, evidence } => {
            h::factor_test::handle(service, trail, peer, profile, &factors, evidence)
        }
        Request::FactorEnroll { profile, factor } => {
            h::factor_enroll::handle(service, trail, peer, profile, &factor)
        }
        Request::FactorRevoke { profile, factor } => {
            h::factor_revoke::handle(service, trail, peer, profile, factor)
        }
        Request::FactorRename { profile, factor, label } => {
            h::factor_rename::handle(service, trail, peer, profile, factor, label)
        }
        Request::FactorPolicy { profile, policy } => {
            h::factor_policy::handle(service, trail, peer, profile, policy)
        }
        Request::ShareVerify { profile, share, passphrase } => {
            h::share_verify::handle(service, trail, peer, profile, share, passphrase)
        }
        Request::KeyRotate { profile } => h::key_rotate::handle(service, trail, peer, profile),
        Request::VaultRestoreWrite { profile, offset, bytes } => {
            h::vault_restore::write(service, trail, peer, profile, offset, bytes)
        }
        Request::VaultRestore { profile } => {
            h::vault_restore::handle(service, trail, peer, profile)
        }
    }?;
    Ok(codec::encode(&reply))
}
