//! The settings that hold, typed.

use std::str::FromStr;
use std::time::Duration;

use crate::algorithms::{
    AuditHash, CryptoProfile, Hkdf, Kdf, NoiseCipher, NoiseHash, PeerProfile, Requirement,
};
use crate::factor_kinds::FactorKinds;
use crate::keys::{Key, Value};
use crate::layout::LayoutKind;
use crate::unlock_policy::UnlockPolicy;

/// Every setting; [`crate::keys::TABLE`] describes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Algorithms.
    pub crypto: CryptoSettings,
    /// Secret memory.
    pub memory: MemorySettings,
    /// What confines the daemons.
    pub sandbox: SandboxSettings,
    /// Enrolment of factors.
    pub enrolment: EnrolmentSettings,
    /// Which factors open a profile.
    pub auth: AuthSettings,
    /// Unlocking and locking.
    pub unlock: UnlockSettings,
    /// The trail.
    pub audit: AuditSettings,
}

/// `[crypto]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptoSettings {
    /// The set that was chosen; the five algorithms below are what is used.
    pub profile: CryptoProfile,
    /// How a password becomes a key.
    pub kdf: Kdf,
    /// How one key becomes many.
    pub hkdf: Hkdf,
    /// The hash that chains the trail.
    pub audit_hash: AuditHash,
    /// The cipher between peers.
    pub noise_cipher: NoiseCipher,
    /// The hash between peers.
    pub noise_hash: NoiseHash,
    /// The least that a peer's pair may amount to.
    pub minimum_peer_profile: PeerProfile,
}

impl CryptoSettings {
    /// What our own pair of Noise algorithms amounts to.
    #[must_use]
    pub const fn peer_profile(&self) -> PeerProfile {
        PeerProfile::of(self.noise_cipher, self.noise_hash)
    }
}

/// `[memory]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// What to do when `memfd_secret(2)` is unavailable.
    pub protection: secret_memory::Policy,
}

/// `[sandbox]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Landlock.
    pub landlock: Requirement,
    /// The system call filter.
    pub seccomp: Requirement,
}

/// `[enrolment]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentSettings {
    /// Whether factors may be enrolled while secret memory is below its floor.
    pub allow_below_floor: bool,
}

/// `[auth]` and `[auth.policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// The three settings as one.
    pub policy: UnlockPolicy,
}

/// `[unlock]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockSettings {
    /// The shortest password, in bytes.
    pub minimum_password_length: usize,
    /// Wrong tries before the first delay.
    pub free_attempts: u32,
    /// The first delay.
    pub backoff_base: Duration,
    /// The longest delay; never shorter than the first.
    pub backoff_max: Duration,
    /// Idle time until a profile locks itself; `None` is never.
    pub auto_lock: Option<Duration>,
    /// Time from the first factor of an unlock to the last; then what was given is forgotten.
    pub deadline: Duration,
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Size at which the next segment begins.
    pub segment_bytes: u64,
    /// New entries after which the trail is sealed.
    pub checkpoint_entries: u64,
    /// Time after which new entries are sealed, however few.
    pub checkpoint_interval: Duration,
}

impl Settings {
    /// What holds when no file says anything.
    #[must_use]
    pub fn defaults(kind: LayoutKind) -> Self {
        Self::from_values(|key| key.default_value(kind, CryptoProfile::LeadingEdge))
    }

    /// Types the values, each of which the table has checked.
    pub(crate) fn from_values(value: impl Fn(Key) -> Value) -> Self {
        let seconds = |key| Duration::from_secs(number(value(key)));
        Self {
            crypto: CryptoSettings {
                profile: named(value(Key::CryptoProfile)),
                kdf: named(value(Key::CryptoKdf)),
                hkdf: named(value(Key::CryptoHkdf)),
                audit_hash: named(value(Key::CryptoAuditHash)),
                noise_cipher: named(value(Key::CryptoNoiseCipher)),
                noise_hash: named(value(Key::CryptoNoiseHash)),
                minimum_peer_profile: named(value(Key::CryptoMinimumPeerProfile)),
            },
            memory: MemorySettings { protection: named(value(Key::MemoryProtection)) },
            sandbox: SandboxSettings {
                landlock: named(value(Key::SandboxLandlock)),
                seccomp: named(value(Key::SandboxSeccomp)),
            },
            enrolment: EnrolmentSettings {
                allow_below_floor: value(Key::EnrolmentAllowBelowFloor) == Value::Bool(true),
            },
            auth: AuthSettings {
                // Not UnlockPolicy::new: resolve has checked them, and says where they came from.
                policy: UnlockPolicy {
                    mode: named(value(Key::AuthMode)),
                    required: kinds(value(Key::AuthPolicyRequired)),
                    additional_required: small(value(Key::AuthPolicyAdditionalRequired)),
                },
            },
            unlock: UnlockSettings {
                minimum_password_length: small(value(Key::UnlockMinimumPasswordLength)),
                free_attempts: small(value(Key::UnlockFreeAttempts)),
                backoff_base: seconds(Key::UnlockBackoffBaseSeconds),
                backoff_max: seconds(Key::UnlockBackoffMaxSeconds),
                auto_lock: Some(seconds(Key::UnlockAutoLockSeconds)).filter(|t| !t.is_zero()),
                deadline: seconds(Key::UnlockDeadlineSeconds),
            },
            audit: AuditSettings {
                segment_bytes: number(value(Key::AuditSegmentBytes)),
                checkpoint_entries: number(value(Key::AuditCheckpointEntries)),
                checkpoint_interval: seconds(Key::AuditCheckpointMinutes) * 60,
            },
        }
    }
}

/// The type that a checked name stands for.
pub(crate) fn named<T: FromStr>(value: Value) -> T {
    let Value::Choice(name) = value else { unreachable!("the table makes this key a choice") };
    name.parse().ok().expect("the table takes its names from the type")
}

pub(crate) fn number(value: Value) -> u64 {
    let Value::Integer(number) = value else { unreachable!("the table makes this key a number") };
    number
}

pub(crate) fn kinds(value: Value) -> FactorKinds {
    let Value::Set(kinds) = value else { unreachable!("the table makes this key a set") };
    kinds
}

pub(crate) fn small<T: TryFrom<u64>>(value: Value) -> T {
    T::try_from(number(value)).ok().expect("the table's range fits the type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_stricter_about_memory_than_a_session() {
        let system = Settings::defaults(LayoutKind::System);
        let session = Settings::defaults(LayoutKind::Session);
        assert_eq!(system.memory.protection, secret_memory::Policy::Require);
        assert_eq!(session.memory.protection, secret_memory::Policy::Prefer);
        assert_eq!(Settings { memory: system.memory.clone(), ..session }, system);
    }

    #[test]
    fn every_allowed_value_has_a_type() {
        for key in Key::all() {
            let values: Vec<Value> = match key.spec().kind {
                crate::keys::Kind::Choice(names) => {
                    names.iter().map(|n| Value::Choice(n)).collect()
                }
                crate::keys::Kind::Bool => vec![Value::Bool(false), Value::Bool(true)],
                crate::keys::Kind::Integer { min, max } => {
                    vec![Value::Integer(min), Value::Integer(max)]
                }
                crate::keys::Kind::Set(names) => {
                    let all =
                        FactorKinds::from_iter(names.iter().map(|name| name.parse().unwrap()));
                    vec![Value::Set(FactorKinds::EMPTY), Value::Set(all)]
                }
            };
            for value in values {
                let _ = Settings::from_values(|asked| {
                    let default =
                        asked.default_value(LayoutKind::Dir, CryptoProfile::GovernanceCompatible);
                    if asked == key { value } else { default }
                });
            }
        }
    }
}
