//! What is public about a factor: all that is needed to ask for it again.
//!
//! daemon-secrets stores it and interprets passwords and shares only; the others are for the drivers
//! in `unlock-factors`, which run in the command of the person who holds the device.

use serde::{Deserialize, Serialize};
use site_config::FactorKind;

use crate::kdf::KdfParameters;

/// The public parameters of a factor, by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Parameters {
    /// A password.
    Password(PasswordParameters),
    /// A key in an ssh-agent.
    SshAgent(SshAgentParameters),
    /// A TPM 2.0.
    Tpm(TpmParameters),
    /// A FIDO2 token.
    Fido2(Fido2Parameters),
    /// A YubiKey.
    Yubikey(YubikeyParameters),
    /// Shares of a recovery secret.
    Share(ShareParameters),
}

/// How a password is stretched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordParameters {
    /// The function, its costs and salt.
    pub kdf: KdfParameters,
}

/// Which key of an agent signs what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshAgentParameters {
    /// The public key as OpenSSH writes it, without comment: `ssh-ed25519 AAAA…`.
    pub public_key: String,
    /// Random; what is signed contains it.
    #[serde(with = "crate::hex")]
    pub challenge: [u8; 32],
}

/// A random piece sealed to a TPM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmParameters {
    /// The Name (TPM 2.0 Part 1, "Names") of the storage primary that the piece is sealed under: a hash
    /// of its public key, which tells this TPM from every other, and from one in between.
    #[serde(with = "crate::hex::vec")]
    pub primary: Vec<u8>,
    /// The marshalled `TPM2B_PUBLIC` of the sealed object.
    #[serde(with = "crate::hex::vec")]
    pub public: Vec<u8>,
    /// The content of the `TPM2B_PRIVATE`, encrypted by the TPM.
    #[serde(with = "crate::hex::vec")]
    pub private: Vec<u8>,
    /// The PCRs of the SHA-256 bank whose values at enrolment are demanded, sorted.
    pub pcrs: Vec<u8>,
    /// Whether a PIN is demanded too.
    pub pin: bool,
}

/// A credential on a FIDO2 token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fido2Parameters {
    /// The credential's id, as the token gave it.
    #[serde(with = "crate::hex::vec")]
    pub credential: Vec<u8>,
    /// The salt of hmac-secret (CTAP 2.1 §12.5).
    #[serde(with = "crate::hex")]
    pub salt: [u8; 32],
    /// Whether the token demands its PIN.
    pub pin: bool,
}

/// A slot of a YubiKey that answers challenges by HMAC-SHA1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YubikeyParameters {
    /// The device's serial number, where it tells it.
    pub serial: Option<u32>,
    /// 1 or 2.
    pub slot: u8,
    /// Random.
    #[serde(with = "crate::hex")]
    pub challenge: [u8; 32],
}

/// A recovery secret that was split among custodians.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareParameters {
    /// The first bytes of the UUID of the installation that made the split.
    #[serde(with = "crate::hex")]
    pub installation: [u8; 4],
    /// Tells this split from every other one.
    #[serde(with = "crate::hex")]
    pub split: [u8; 8],
    /// How many shares give the secret back.
    pub threshold: u8,
    /// A check value for each share, in order: share `n` is at `n - 1`.
    pub checks: Vec<Check>,
}

/// Half of a key that is derived for nothing else; tells a right secret from a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Check(#[serde(with = "crate::hex")] pub [u8; 16]);

impl Parameters {
    /// The kind of factor that they are for.
    #[must_use]
    pub const fn kind(&self) -> FactorKind {
        match self {
            Self::Password(_) => FactorKind::Password,
            Self::SshAgent(_) => FactorKind::SshAgent,
            Self::Tpm(_) => FactorKind::Tpm,
            Self::Fido2(_) => FactorKind::Fido2,
            Self::Yubikey(_) => FactorKind::Yubikey,
            Self::Share(_) => FactorKind::Share,
        }
    }
}
