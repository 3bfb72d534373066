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
    /// daemon-secrets: factors and policy.
    FactorList,
    /// daemon-secrets: ask for a change.
    FactorBegin,
    /// daemon-secrets: give a factor towards an unlock or a change.
    FactorSubmit,
    /// daemon-secrets: forget what was given.
    FactorCancel,
    /// daemon-secrets: prove that a factor works.
    FactorTest,
    /// daemon-secrets: add a factor.
    FactorEnroll,
    /// daemon-secrets: remove a factor.
    FactorRevoke,
    /// daemon-secrets: rename a factor.
    FactorRename,
    /// daemon-secrets: another policy.
    FactorPolicy,
    /// daemon-secrets: make recovery shares.
    ShareSplit,
    /// daemon-secrets: prove that a share is intact.
    ShareVerify,
    /// daemon-secrets: a new master key.
    KeyRotate,
    /// daemon-secrets: an encrypted backup.
    VaultBackup,
    /// daemon-secrets: a profile out of a backup.
    VaultRestore,
}

use Role::{Auditor, Cicada, Custodian, DaemonSecrets, Operator};

/// The roles that each operation is open to. What is not here is open to nobody.
pub const TABLE: &[(Operation, &[Role])] = &[
    (Operation::AuditStatus, &[Operator, Auditor, DaemonSecrets, Cicada]),
    (Operation::AuditPosture, &[Operator, Auditor, DaemonSecrets]), // before an enrolment
    // Only the daemon that acts may write; a client can't put words into the trail.
    (Operation::AuditGenesis, &[DaemonSecrets]),
    (Operation::AuditAppend, &[DaemonSecrets, Cicada]),
    (Operation::AuditRead, &[Operator, Auditor]),
    (Operation::AuditCheckpoint, &[Operator, Auditor]),
    (Operation::AuditSeal, &[Operator, Auditor]),
    (Operation::AuditExport, &[Operator, Auditor]),
    (Operation::AuditPublicKey, &[Operator, Auditor]),
    (Operation::AuditRotateKey, &[Operator]),
    (Operation::Status, &[Operator, Custodian, Auditor]),
    (Operation::Posture, &[Operator, Custodian, Auditor]),
    (Operation::Init, &[Operator]),
    (Operation::Wipe, &[Operator]),
    (Operation::Lock, &[Operator, Custodian, Auditor]), // anybody known may pull the brake
    (Operation::ProfileCreate, &[Operator]),
    (Operation::ProfileActivate, &[Operator]),
    (Operation::ProfileDeactivate, &[Operator]),
    (Operation::ProfileDefault, &[Operator]),
    (Operation::SecretSet, &[Operator]),
    (Operation::SecretGet, &[Operator]),
    (Operation::SecretList, &[Operator]),
    (Operation::SecretDelete, &[Operator]),
    // A custodian gives a factor, and proves that it works. What it opens is not the custodian's.
    (Operation::FactorList, &[Operator, Custodian]),
    (Operation::FactorSubmit, &[Operator, Custodian]),
    (Operation::FactorCancel, &[Operator, Custodian]),
    (Operation::FactorTest, &[Operator, Custodian]),
    (Operation::ShareVerify, &[Operator, Custodian]),
    (Operation::FactorBegin, &[Operator]),
    (Operation::FactorEnroll, &[Operator]),
    (Operation::FactorRevoke, &[Operator]),
    (Operation::FactorRename, &[Operator]),
    (Operation::FactorPolicy, &[Operator]),
    (Operation::ShareSplit, &[Operator]),
    (Operation::KeyRotate, &[Operator]),
    (Operation::VaultBackup, &[Operator]),
    (Operation::VaultRestore, &[Operator]),
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
    fn only_daemons_that_act_write_the_trail_and_they_get_no_secret() {
        for (operation, roles) in TABLE {
            let writes = matches!(operation, Operation::AuditGenesis | Operation::AuditAppend);
            assert_eq!(roles.contains(&DaemonSecrets) && !roles.contains(&Operator), writes);
            let asks = matches!(operation, Operation::AuditStatus | Operation::AuditAppend);
            assert_eq!(roles.contains(&Cicada), asks, "cicada asks for nothing else");
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
