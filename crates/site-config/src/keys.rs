//! The one table of settings: name, values, default, meaning.

use std::fmt;
use std::str::FromStr;

use crate::algorithms::{
    AuditHash, AuthMode, CryptoProfile, FactorKind, Hkdf, Kdf, NoiseCipher, NoiseHash, PeerProfile,
    Requirement,
};
use crate::factor_kinds::FactorKinds;
use crate::layout::LayoutKind;
use crate::nearest::nearest;
use crate::unlock_policy::MAX_ADDITIONAL_REQUIRED;
pub use crate::value::{Kind, Value, ValueError};

/// A setting's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "TABLE describes each")]
pub enum Key {
    CryptoProfile,
    CryptoKdf,
    CryptoHkdf,
    CryptoAuditHash,
    CryptoNoiseCipher,
    CryptoNoiseHash,
    CryptoMinimumPeerProfile,
    MemoryProtection,
    SandboxLandlock,
    SandboxSeccomp,
    EnrolmentAllowBelowFloor,
    AuthMode,
    AuthPolicyRequired,
    AuthPolicyAdditionalRequired,
    UnlockMinimumPasswordLength,
    UnlockFreeAttempts,
    UnlockBackoffBaseSeconds,
    UnlockBackoffMaxSeconds,
    UnlockAutoLockSeconds,
    UnlockDeadlineSeconds,
    AuditSegmentBytes,
    AuditCheckpointEntries,
    AuditCheckpointMinutes,
}

/// The value of a key that nobody set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// Always this.
    Fixed(Value),
    /// What `crypto.profile` says.
    ByProfile,
    /// A system is stricter than a session or a directory.
    ByLayout {
        /// In [`LayoutKind::System`].
        system: Value,
        /// Elsewhere.
        other: Value,
    },
}

/// One row of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The key.
    pub key: Key,
    /// Its TOML section, with a dot where it lies in another: `auth.policy` is within `auth`.
    pub section: &'static str,
    /// Its name within the section.
    pub name: &'static str,
    /// The values that it allows.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: DefaultValue,
    /// What it decides, in one line.
    pub about: &'static str,
}

const fn row(
    key: Key,
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: DefaultValue,
    about: &'static str,
) -> Spec {
    Spec { key, section, name, kind, default, about }
}

const fn range(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

const fn number(value: u64) -> DefaultValue {
    DefaultValue::Fixed(Value::Integer(value))
}

const fn choice(name: &'static str) -> DefaultValue {
    DefaultValue::Fixed(Value::Choice(name))
}

/// Every setting there is, in the order of [`Key`].
#[rustfmt::skip]
pub const TABLE: [Spec; 23] = [
    row(Key::CryptoProfile, "crypto", "profile", Kind::Choice(CryptoProfile::NAMES),
        choice(CryptoProfile::LeadingEdge.as_str()),
        "the set of the five algorithms below, as a whole"),
    row(Key::CryptoKdf, "crypto", "kdf", Kind::Choice(Kdf::NAMES), DefaultValue::ByProfile,
        "how a password becomes a key"),
    row(Key::CryptoHkdf, "crypto", "hkdf", Kind::Choice(Hkdf::NAMES), DefaultValue::ByProfile,
        "how one key becomes many"),
    row(Key::CryptoAuditHash, "crypto", "audit_hash", Kind::Choice(AuditHash::NAMES),
        DefaultValue::ByProfile, "the hash that chains the audit trail"),
    row(Key::CryptoNoiseCipher, "crypto", "noise_cipher", Kind::Choice(NoiseCipher::NAMES),
        DefaultValue::ByProfile, "the cipher between peers"),
    row(Key::CryptoNoiseHash, "crypto", "noise_hash", Kind::Choice(NoiseHash::NAMES),
        DefaultValue::ByProfile, "the hash between peers"),
    row(Key::CryptoMinimumPeerProfile, "crypto", "minimum_peer_profile",
        Kind::Choice(PeerProfile::NAMES), choice(PeerProfile::Custom.as_str()),
        "the least that the pair of Noise algorithms may amount to"),
    row(Key::MemoryProtection, "memory", "protection", Kind::Choice(&["require", "prefer", "off"]),
        DefaultValue::ByLayout { system: Value::Choice("require"), other: Value::Choice("prefer") },
        "what to do when memfd_secret(2) is unavailable"),
    row(Key::SandboxLandlock, "sandbox", "landlock", Kind::Choice(Requirement::NAMES),
        choice(Requirement::Require.as_str()), "whether daemons confine their files with Landlock"),
    row(Key::SandboxSeccomp, "sandbox", "seccomp", Kind::Choice(Requirement::NAMES),
        choice(Requirement::Require.as_str()), "whether daemons filter their system calls"),
    row(Key::EnrolmentAllowBelowFloor, "enrolment", "allow_below_floor", Kind::Bool,
        DefaultValue::Fixed(Value::Bool(false)),
        "whether factors may be enrolled while secret memory is below its floor"),
    row(Key::AuthMode, "auth", "mode", Kind::Choice(AuthMode::NAMES),
        choice(AuthMode::Any.as_str()),
        "which factors open a profile: each alone, all together, or as auth.policy says"),
    row(Key::AuthPolicyRequired, "auth.policy", "required", Kind::Set(FactorKind::NAMES),
        DefaultValue::Fixed(Value::Set(FactorKinds::EMPTY)),
        "in mode policy: the kinds of which one factor each is needed"),
    row(Key::AuthPolicyAdditionalRequired, "auth.policy", "additional_required",
        range(0, MAX_ADDITIONAL_REQUIRED as u64), number(0),
        "in mode policy: how many of the other factors are needed"),
    row(Key::UnlockMinimumPasswordLength, "unlock", "minimum_password_length", range(1, 128),
        number(8), "the shortest password that may be enrolled, in bytes"),
    row(Key::UnlockFreeAttempts, "unlock", "free_attempts", range(0, 10), number(2),
        "wrong tries before the first delay"),
    row(Key::UnlockBackoffBaseSeconds, "unlock", "backoff_base_seconds", range(1, 60), number(1),
        "the first delay; each further wrong try doubles it"),
    row(Key::UnlockBackoffMaxSeconds, "unlock", "backoff_max_seconds", range(1, 86_400),
        number(900), "the longest delay; at least the first"),
    row(Key::UnlockAutoLockSeconds, "unlock", "auto_lock_seconds", range(0, 86_400), number(900),
        "idle time after which a profile locks itself; 0 is never"),
    row(Key::UnlockDeadlineSeconds, "unlock", "deadline_seconds", range(10, 3600), number(300),
        "how long the factors of one unlock may be spread over people and terminals; then what was \
         given is forgotten"),
    row(Key::AuditSegmentBytes, "audit", "segment_bytes", range(65_536, 1 << 30),
        number(4 << 20), "size at which the trail begins its next segment"),
    row(Key::AuditCheckpointEntries, "audit", "checkpoint_entries", range(1, 1_000_000),
        number(1000), "new entries after which the trail is sealed by a signed checkpoint"),
    row(Key::AuditCheckpointMinutes, "audit", "checkpoint_minutes", range(1, 1440), number(15),
        "time after which new entries, however few, are sealed"),
];

/// The keys that `crypto.profile` picks as a set.
pub const PROFILE_PICKS: [Key; 5] = [
    Key::CryptoKdf,
    Key::CryptoHkdf,
    Key::CryptoAuditHash,
    Key::CryptoNoiseCipher,
    Key::CryptoNoiseHash,
];

impl Key {
    /// Every key, in the order of [`TABLE`].
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|spec| spec.key)
    }

    /// The key's row in [`TABLE`].
    #[must_use]
    pub const fn spec(self) -> &'static Spec {
        const ROWS: &[Spec; TABLE.len()] = &TABLE;
        &ROWS[self as usize]
    }

    /// The key of this section and name.
    #[must_use]
    pub fn find(section: &str, name: &str) -> Option<Self> {
        let row = TABLE.iter().find(|spec| spec.section == section && spec.name == name);
        row.map(|spec| spec.key)
    }

    /// The section of this name directly within `parent`, which is empty for the file itself.
    pub(crate) fn find_section(parent: &str, name: &str) -> Option<&'static str> {
        let mut sections = TABLE.iter().map(|spec| spec.section);
        sections.find(|section| section.rsplit_once('.').unwrap_or(("", section)) == (parent, name))
    }

    /// What `profile` picks for this key, if it is one of [`PROFILE_PICKS`].
    #[must_use]
    pub const fn picked_by(self, profile: CryptoProfile) -> Option<Value> {
        let name = match self {
            Self::CryptoKdf => profile.kdf().as_str(),
            Self::CryptoHkdf => profile.hkdf().as_str(),
            Self::CryptoAuditHash => profile.audit_hash().as_str(),
            Self::CryptoNoiseCipher => profile.noise_cipher().as_str(),
            Self::CryptoNoiseHash => profile.noise_hash().as_str(),
            _ => return None,
        };
        Some(Value::Choice(name))
    }

    /// The value when nothing sets it, in this kind of layout and under this profile.
    #[must_use]
    pub fn default_value(self, kind: LayoutKind, profile: CryptoProfile) -> Value {
        match self.spec().default {
            DefaultValue::Fixed(value) => value,
            DefaultValue::ByLayout { system, .. } if kind == LayoutKind::System => system,
            DefaultValue::ByLayout { other, .. } => other,
            DefaultValue::ByProfile => {
                self.picked_by(profile).expect("ByProfile is for profile picks")
            }
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { section, name, .. } = self.spec();
        write!(f, "{section}.{name}")
    }
}

/// No setting has this key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown key {}{}", shown(.key), suggestion(.key, .nearest))]
pub struct UnknownKey {
    /// The key as it was written.
    pub key: String,
    /// The known key that was probably meant.
    pub nearest: Option<Key>,
}

impl UnknownKey {
    pub(crate) fn new(key: String) -> Self {
        let nearest = nearest(&key);
        Self { key, nearest }
    }
}

fn suggestion(key: &str, nearest: &Option<Key>) -> String {
    match nearest.map(|key| key.to_string()) {
        None => String::new(),
        // In TOML "crypto.kdf" is one name with a dot in it, not a name in a section.
        Some(nearest) if nearest == key => format!("; write {nearest} without quotation marks"),
        Some(nearest) => format!("; did you mean {nearest}?"),
    }
}

/// Text of a file or a caller, safe to print: no control characters, and not too long.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", cut.escape_debug())
}

impl FromStr for Key {
    type Err = UnknownKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = text.rsplit_once('.').and_then(|(section, name)| Self::find(section, name));
        key.ok_or_else(|| UnknownKey::new(text.to_owned()))
    }
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(value) => value.fmt(f),
            Self::ByProfile => f.write_str("by crypto.profile"),
            Self::ByLayout { system, other } => write!(f, "{system} in a system, else {other}"),
        }
    }
}

/// The table as Markdown, for the manual.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from("| key | value | default | decides |\n| --- | --- | --- | --- |\n");
    for Spec { key, kind, default, about, .. } in &TABLE {
        text.push_str(&format!("| `{key}` | {kind} | {default} | {about} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_keys() {
        for (index, spec) in TABLE.iter().enumerate() {
            assert_eq!(spec.key as usize, index, "{}", spec.name);
            assert_eq!(spec.key.to_string().parse(), Ok(spec.key));
        }
    }

    #[test]
    fn defaults_are_allowed_values() {
        for key in Key::all() {
            for kind in [LayoutKind::System, LayoutKind::Session, LayoutKind::Dir] {
                for profile in CryptoProfile::ALL {
                    let value = key.default_value(kind, *profile);
                    let text = format!("{key} = {value}\n");
                    let read = crate::config::parse(&text, std::path::Path::new("f")).unwrap();
                    assert_eq!((read[0].key, read[0].value), (key, value), "{text}");
                }
            }
        }
    }

    #[test]
    fn names_of_memory_protection_are_those_of_its_type() {
        let Kind::Choice(names) = Key::MemoryProtection.spec().kind else { panic!() };
        for name in names {
            assert_eq!(name.parse::<secret_memory::Policy>().unwrap().as_str(), *name);
        }
    }

    #[test]
    fn names_in_a_set_are_those_of_its_type() {
        for key in Key::all() {
            if let Kind::Set(names) = key.spec().kind {
                assert_eq!(names, FactorKind::NAMES, "{key}");
            }
        }
    }

    #[test]
    fn what_lies_within_a_section_is_found_from_its_parent_alone() {
        for Spec { section, .. } in &TABLE {
            let (parent, name) = section.rsplit_once('.').unwrap_or(("", section));
            assert_eq!(Key::find_section(parent, name), Some(*section));
            if !parent.is_empty() {
                assert_eq!(Key::find_section("", section), None, "a second spelling of {section}");
                assert!(
                    TABLE.iter().any(|spec| spec.section == parent),
                    "[{parent}] is no section"
                );
                assert_eq!(Key::find(parent, name), None, "{section} is a key and a section");
            }
        }
    }

    #[test]
    fn a_key_splits_at_its_last_dot() {
        assert_eq!("auth.policy.required".parse(), Ok(Key::AuthPolicyRequired));
        assert_eq!(Key::AuthPolicyRequired.to_string(), "auth.policy.required");
        for bad in ["auth", "auth.policy", "policy.required", "auth.policy.required.", ".auth.mode"]
        {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_manual_lists_every_key() {
        insta::assert_snapshot!(markdown());
    }

    #[test]
    fn what_a_file_says_is_not_printed_raw() {
        assert_eq!(shown("a\u{1b}[31m"), "\"a\\u{1b}[31m\"");
        assert!(shown(&"x".repeat(1000)).len() < 100);
    }
}
