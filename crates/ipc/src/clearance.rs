//! Who may ask for what. This table is all there is to it.

use site_config::Role;

/// Every request there is, of both daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// daemon-audit: where the trail stands.
    AuditStatus,
    /// daemon-audit: its posture.
    AuditPosture,
    /// daemon-audit: start a trail.
    AuditGenesis,
    /// daemon-audit: add an entry.
    AuditAppend,
    /// daemon-audit: read entries.
    AuditRead,
    /// daemon-audit: read checkpoints.
    AuditCheckpoint,
    /// daemon-audit: make a checkpoint.
    AuditSeal,
    /// daemon-audit: record an export.
    AuditExport,
    /// daemon-audit: its public keys.
    AuditPublicKey,
    /// daemon-audit: new signing keys.
    AuditRotateKey,
    /// daemon-secrets: where everything stands.
    Status,
    /// daemon-secrets: its posture.
    Posture,
    /// daemon-secrets: a new installation.
    Init,
    /// daemon-secrets: destroy the installation.
    Wipe,
    /// daemon-secrets: unlock a profile.
    Unlock,
    /// daemon-secrets: lock.
    Lock,
    /// daemon-secrets: a new profile.
    ProfileCreate,
    /// daemon-secrets: open a vault.
    ProfileActivate,
    /// daemon-secrets: close a vault.
    ProfileDeactivate,
    /// daemon-secrets: choose the default.
    ProfileDefault,
    /// daemon-secrets: write a secret.
    SecretSet,
    /// daemon-secrets: read a secret.
    SecretGet,
    /// daemon-secrets: names of secrets.
    SecretList,
    /// daemon-secrets: remove a secret.
    SecretDelete,
}

use Role::{Auditor, DaemonSecrets, Operator};

/// The roles that each operation is open to. What is not here is open to nobody.
pub const TABLE: &[(Operation, &[Role])] = &[
    (Operation::AuditStatus, &[Operator, Auditor, DaemonSecrets]),
    (Operation::AuditPosture, &[Operator, Auditor, DaemonSecrets]), // before an enrolment
    // Only the daemon that acts may write; a client can't put words into the trail.
    (Operation::AuditGenesis, &[DaemonSecrets]),
    (Operation::AuditAppend, &[DaemonSecrets]),
    (Operation::AuditRead, &[Operator, Auditor]),
    (Operation::AuditCheckpoint, &[Operator, Auditor]),
    (Operation::AuditSeal, &[Operator, Auditor]),
    (Operation::AuditExport, &[Operator, Auditor]),
    (Operation::AuditPublicKey, &[Operator, Auditor]),
    (Operation::AuditRotateKey, &[Operator]),
    (Operation::Status, &[Operator, Auditor]),
    (Operation::Posture, &[Operator, Auditor]),
    (Operation::Init, &[Operator]),
    (Operation::Wipe, &[Operator]),
    (Operation::Unlock, &[Operator]),
    (Operation::Lock, &[Operator, Auditor]), // anybody known may pull the brake
    (Operation::ProfileCreate, &[Operator]),
    (Operation::ProfileActivate, &[Operator]),
    (Operation::ProfileDeactivate, &[Operator]),
    (Operation::ProfileDefault, &[Operator]),
    (Operation::SecretSet, &[Operator]),
    (Operation::SecretGet, &[Operator]),
    (Operation::SecretList, &[Operator]),
    (Operation::SecretDelete, &[Operator]),
];

/// Whether the table opens `operation` to `role`.
#[must_use]
pub fn permits(role: Role, operation: Operation) -> bool {
    TABLE.iter().any(|(row, roles)| *row == operation && roles.contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_daemon_secrets_writes_the_trail_and_it_gets_no_secret() {
        for (operation, roles) in TABLE {
            let writes = matches!(operation, Operation::AuditGenesis | Operation::AuditAppend);
            assert_eq!(roles.contains(&DaemonSecrets) && !roles.contains(&Operator), writes);
            assert!(!roles.contains(&Role::DaemonAudit), "daemon-audit asks nobody");
        }
    }

    #[test]
    fn no_operation_has_two_rows() {
        for (index, (operation, _)) in TABLE.iter().enumerate() {
            assert!(TABLE[..index].iter().all(|(earlier, _)| earlier != operation));
        }
    }
}
