//! What an entry can be about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the operations once, so that a name can't be written that nothing reads.
macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What was asked for, or what happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $variant,)*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the trail.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl FromStr for Operation {
            type Err = UnknownOperation;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownOperation(text.to_owned())),
                }
            }
        }
    };
}

operations! {
    /// The first entry: how the trail hashes, and to whom it belongs.
    Genesis = "genesis",
    /// A torn last line was cut off at start.
    Repair = "repair",
    /// The wall clock went back since the entry before.
    ClockStep = "clock.step",
    /// A daemon started; the detail holds its posture.
    DaemonStart = "daemon.start",
    /// Configuration, policy or peers are not those of the last start.
    SiteChange = "site.change",
    /// A daemon stopped in good order.
    DaemonStop = "daemon.stop",
    /// The installation was made.
    Init = "init",
    /// The installation was destroyed on purpose.
    Wipe = "wipe",
    /// The master key was, or was to be, unlocked.
    Unlock = "unlock",
    /// The keys were dropped.
    Lock = "lock",
    /// A profile was made.
    ProfileCreate = "profile.create",
    /// A profile's vault was opened.
    ProfileActivate = "profile.activate",
    /// A profile's vault was closed.
    ProfileDeactivate = "profile.deactivate",
    /// Another profile became the default.
    ProfileDefault = "profile.default",
    /// A secret was written.
    SecretSet = "secret.set",
    /// A secret was read.
    SecretGet = "secret.get",
    /// The names of secrets were read.
    SecretList = "secret.list",
    /// A secret was deleted.
    SecretDelete = "secret.delete",
    /// A factor was, or was to be, given towards an unlock or a change.
    FactorTry = "factor.try",
    /// What was given of factors was forgotten on request.
    FactorCancel = "factor.cancel",
    /// A factor was, or was to be, proved to work.
    FactorTest = "factor.test",
    /// A factor was added.
    FactorEnroll = "factor.enroll",
    /// A factor was removed.
    FactorRevoke = "factor.revoke",
    /// A factor was renamed.
    FactorRename = "factor.rename",
    /// The unlock policy was changed.
    FactorPolicy = "factor.policy",
    /// A recovery factor was split among custodians.
    ShareSplit = "share.split",
    /// A share was, or was to be, proved to be intact.
    ShareVerify = "share.verify",
    /// A profile got a new master key.
    KeyRotate = "key.rotate",
    /// A profile's vault was copied, encrypted, for a backup.
    VaultBackup = "vault.backup",
    /// A profile was made out of a backup.
    VaultRestore = "vault.restore",
    /// Cicada's key store was made.
    CicadaInit = "cicada.init",
    /// Cicada's key store was, or was to be, unlocked.
    CicadaUnlock = "cicada.unlock",
    /// Cicada forgot its keys.
    CicadaLock = "cicada.lock",
    /// An identity's WireGuard key was read.
    IdentityGetKey = "identity.get-key",
    /// Something was signed with an identity.
    IdentitySign = "identity.sign",
    /// An identity's public keys were read.
    IdentityPublicKey = "identity.public-key",
    /// A shared secret was encapsulated to a public key.
    IdentityEncapsulate = "identity.encapsulate",
    /// A shared secret was decapsulated with an identity.
    IdentityDecapsulate = "identity.decapsulate",
    /// The names of identities were read.
    IdentityList = "identity.list",
    /// An identity was made.
    IdentityCreate = "identity.create",
    /// An identity got new keys.
    IdentityRotate = "identity.rotate",
    /// Earlier keys of an identity were destroyed, because their time of grace is over.
    IdentityExpire = "identity.expire",
    /// An identity's keys were destroyed.
    IdentityRevoke = "identity.revoke",
    /// An identity was copied, encrypted, for a backup.
    IdentityBackup = "identity.backup",
    /// An identity was made out of a backup.
    IdentityRestore = "identity.restore",
    /// Something was enrolled, or was to be, below the security floor.
    EnrolmentBelowFloor = "enrolment.below-floor",
    /// A peer was turned away: key, uid or clearance.
    PeerRefused = "peer.refused",
    /// The trail was exported.
    AuditExport = "audit.export",
    /// The trail up to here, this entry included, gets a signed checkpoint.
    AuditSeal = "audit.seal",
    /// The trail's signing key gives way to the one in the detail, and signs that with a checkpoint.
    AuditKeyRotate = "audit.key-rotate",
}

impl Operation {
    /// Whether a checkpoint of the trail that ends with such an entry must exist.
    #[must_use]
    pub const fn announces_checkpoint(self) -> bool {
        matches!(self, Self::Genesis | Self::AuditSeal | Self::AuditKeyRotate)
    }

    /// Whether it is about cicada's identities or its key store.
    #[must_use]
    pub fn is_cicadas(self) -> bool {
        ["cicada.", "identity."].iter().any(|family| self.as_str().starts_with(family))
    }

    /// Whether only the writer of the trail makes such entries, and nobody can report them to it.
    #[must_use]
    pub const fn is_the_writers_own(self) -> bool {
        self.announces_checkpoint() || matches!(self, Self::Repair | Self::ClockStep)
    }
}

/// The name of no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown operation {0:?}")]
pub struct UnknownOperation(pub String);

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::entry::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_reads_its_own_name() {
        for operation in Operation::ALL {
            assert_eq!(operation.as_str().parse(), Ok(*operation));
        }
        assert!("Unlock".parse::<Operation>().is_err());
    }
}
