//! The algorithms, profiles and requirements that a site chooses among, under their names.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};

/// The text is not one of the names of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} is one of {}", quoted(.names))]
pub struct UnknownName {
    /// What the name would have named.
    pub what: &'static str,
    /// The names that there are.
    pub names: &'static [&'static str],
}

/// `"a", "b"`, as error texts list alternatives.
pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// An enum whose values have names: one list for configuration, stored blobs and the manual.
///
/// Serialised as the name in every format: a variant's position means nothing outside the process.
macro_rules! named {
    (
        $(#[$meta:meta])* $what:literal
        pub enum $type:ident { $($(#[$variant_meta:meta])* $variant:ident = $name:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$variant_meta])* $variant,)+ }

        impl $type {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// Every name, in the order of [`Self::ALL`].
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name used in configuration and in stored data.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownName { what: $what, names: Self::NAMES }),
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = deserializer.deserialize_str(Name)?;
                name.parse().map_err(D::Error::custom)
            }
        }
    };
}

/// Takes a string in whatever form the format hands it out.
struct Name;

impl Visitor<'_> for Name {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<String, E> {
        Ok(name.to_owned())
    }
}

named! {
    /// How a password becomes a key.
    "key derivation function"
    pub enum Kdf {
        /// RFC 9106, memory-hard.
        Argon2id = "argon2id",
        /// RFC 8018 with HMAC-SHA-256, NIST SP 800-132.
        Pbkdf2Sha256 = "pbkdf2-sha256",
    }
}

named! {
    /// How one key becomes many.
    "key expansion"
    pub enum Hkdf {
        /// BLAKE3 in its derive_key mode.
        Blake3 = "blake3",
        /// RFC 5869 with SHA-256.
        HkdfSha256 = "hkdf-sha256",
    }
}

named! {
    /// The hash that chains the audit trail.
    "audit hash"
    pub enum AuditHash {
        /// BLAKE3.
        Blake3 = "blake3",
        /// FIPS 180-4.
        Sha256 = "sha256",
    }
}

named! {
    /// The cipher of the Noise transport.
    "Noise cipher"
    pub enum NoiseCipher {
        /// RFC 8439.
        ChaChaPoly = "chachapoly",
        /// NIST SP 800-38D, with a 256-bit key.
        AesGcm = "aesgcm",
    }
}

named! {
    /// The hash of the Noise transport.
    "Noise hash"
    pub enum NoiseHash {
        /// RFC 7693.
        Blake2s = "blake2s",
        /// FIPS 180-4.
        Sha256 = "sha256",
    }
}

named! {
    /// A set of five algorithms, chosen as a whole.
    "crypto profile"
    pub enum CryptoProfile {
        /// argon2id, blake3, blake3, chachapoly, blake2s.
        LeadingEdge = "leading-edge",
        /// pbkdf2-sha256, hkdf-sha256, sha256, aesgcm, sha256: NIST's.
        GovernanceCompatible = "governance-compatible",
    }
}

named! {
    /// What a pair of Noise algorithms amounts to. The order is that of the floor: a peer's profile
    /// must be at least the minimum.
    "peer profile"
    pub enum PeerProfile {
        /// Any mix of the two sets.
        Custom = "custom",
        /// `aesgcm` with `sha256`.
        GovernanceCompatible = "governance-compatible",
        /// `chachapoly` with `blake2s`.
        LeadingEdge = "leading-edge",
    }
}

named! {
    /// Whether a protection must be in force.
    "requirement"
    pub enum Requirement {
        /// Without it the daemon doesn't start.
        Require = "require",
        /// Not applied. Only ever chosen by name, and written to the trail.
        Off = "off",
    }
}

named! {
    /// What a person, a machine or a token can prove itself with. The order is that in which pieces
    /// of required kinds are combined.
    "factor"
    pub enum FactorKind {
        /// Something known.
        Password = "password",
        /// A signature by a key in an ssh-agent.
        SshAgent = "ssh-agent",
        /// A piece that a TPM 2.0 unseals in one state of the machine.
        Tpm = "tpm",
        /// The hmac-secret of a FIDO2 token.
        Fido2 = "fido2",
        /// The HMAC-SHA1 challenge-response of a YubiKey.
        Yubikey = "yubikey",
        /// Shares of a recovery secret, held by several people.
        Share = "share",
    }
}

named! {
    /// How the factors of a profile combine.
    "unlock mode"
    pub enum AuthMode {
        /// Each factor alone opens the profile.
        Any = "any",
        /// All of them together do.
        All = "all",
        /// One of each required kind does, with so many of the others.
        Policy = "policy",
    }
}

impl CryptoProfile {
    /// The profile's key derivation function.
    #[must_use]
    pub const fn kdf(self) -> Kdf {
        match self {
            Self::LeadingEdge => Kdf::Argon2id,
            Self::GovernanceCompatible => Kdf::Pbkdf2Sha256,
        }
    }

    /// The profile's key expansion.
    #[must_use]
    pub const fn hkdf(self) -> Hkdf {
        match self {
            Self::LeadingEdge => Hkdf::Blake3,
            Self::GovernanceCompatible => Hkdf::HkdfSha256,
        }
    }

    /// The profile's audit hash.
    #[must_use]
    pub const fn audit_hash(self) -> AuditHash {
        match self {
            Self::LeadingEdge => AuditHash::Blake3,
            Self::GovernanceCompatible => AuditHash::Sha256,
        }
    }

    /// The profile's Noise cipher.
    #[must_use]
    pub const fn noise_cipher(self) -> NoiseCipher {
        match self {
            Self::LeadingEdge => NoiseCipher::ChaChaPoly,
            Self::GovernanceCompatible => NoiseCipher::AesGcm,
        }
    }

    /// The profile's Noise hash.
    #[must_use]
    pub const fn noise_hash(self) -> NoiseHash {
        match self {
            Self::LeadingEdge => NoiseHash::Blake2s,
            Self::GovernanceCompatible => NoiseHash::Sha256,
        }
    }
}

impl PeerProfile {
    /// What this pair amounts to.
    #[must_use]
    pub const fn of(cipher: NoiseCipher, hash: NoiseHash) -> Self {
        match (cipher, hash) {
            (NoiseCipher::ChaChaPoly, NoiseHash::Blake2s) => Self::LeadingEdge,
            (NoiseCipher::AesGcm, NoiseHash::Sha256) => Self::GovernanceCompatible,
            (NoiseCipher::ChaChaPoly, NoiseHash::Sha256)
            | (NoiseCipher::AesGcm, NoiseHash::Blake2s) => Self::Custom,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for (profile, name) in CryptoProfile::ALL.iter().zip(CryptoProfile::NAMES) {
            assert_eq!(profile.as_str(), *name);
            assert_eq!(name.parse(), Ok(*profile));
        }
        assert!("Argon2id".parse::<Kdf>().is_err(), "names are exact");
    }

    #[test]
    fn serde_uses_the_names() {
        #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
        struct Stored {
            kdf: Kdf,
        }
        let text = toml::to_string(&Stored { kdf: Kdf::Pbkdf2Sha256 }).unwrap();
        assert_eq!(text, "kdf = \"pbkdf2-sha256\"\n");
        assert_eq!(toml::from_str(&text), Ok(Stored { kdf: Kdf::Pbkdf2Sha256 }));
        let error = toml::from_str::<Stored>("kdf = \"md5\"").unwrap_err();
        assert_eq!(
            error.message(),
            "the key derivation function is one of \"argon2id\", \"pbkdf2-sha256\""
        );
    }

    #[test]
    fn a_profile_is_its_own_peer_profile_and_a_mix_is_custom() {
        for (crypto, peer) in [
            (CryptoProfile::LeadingEdge, PeerProfile::LeadingEdge),
            (CryptoProfile::GovernanceCompatible, PeerProfile::GovernanceCompatible),
        ] {
            assert_eq!(PeerProfile::of(crypto.noise_cipher(), crypto.noise_hash()), peer);
        }
        let mix = PeerProfile::of(NoiseCipher::AesGcm, NoiseHash::Blake2s);
        assert_eq!(mix, PeerProfile::Custom);
        assert!(PeerProfile::Custom < PeerProfile::GovernanceCompatible);
        assert!(PeerProfile::GovernanceCompatible < PeerProfile::LeadingEdge);
    }
}
