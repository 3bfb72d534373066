//! A profile's unlock policy and factors as they lie on disk (`unlock.json`).
//!
//! Each wrap is bound to its installation, profile, policy and own parameters as associated data,
//! and the file as a whole carries a MAC under a key that derives from the master key. So a changed
//! file is refused by whoever can open it, and tells nothing to whoever cannot.

use hmac::{Hmac, KeyInit, Mac};
use secret_memory::{Secret, with_clean_stack};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::derive::Derivation;
use crate::kdf::{KdfError, KdfParameters, WorkingMemory};
use crate::master::MasterKey;
use crate::wrap::{self, WrappedKey};

/// Largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024;
const VERSION: u32 = 1;

/// Where a profile belongs; part of every wrap's associated data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The installation.
    pub installation: Uuid,
    /// The profile's name.
    pub profile: String,
}

/// How factors combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each factor alone unwraps the master key.
    Any,
}

/// One enrolled factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Stable number within the profile.
    pub id: u32,
    /// What kind it is, with its parameters.
    pub kind: FactorKind,
    /// Tells "wrong factor" from "edited file" without the master key.
    #[serde(with = "crate::hex")]
    pub check: [u8; 16],
    /// The master key under this factor's KEK.
    pub wrapped: WrappedKey,
}

/// The kinds of factors, each with what it needs to be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FactorKind {
    /// A password.
    Password {
        /// How it is stretched.
        kdf: KdfParameters,
    },
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    version: u32,
    binding: Binding,
    mode: Mode,
    derivation: Derivation,
    factors: Vec<Factor>,
    #[serde(with = "crate::hex")]
    mac: [u8; 32],
}

/// What cannot be metadata.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Not the JSON that this program writes.
    #[error("the unlock metadata is damaged: {0}")]
    Malformed(#[source] serde_json::Error),
    /// Larger than any that this program writes.
    #[error("the unlock metadata is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// Written by a later program.
    #[error("the unlock metadata has version {0}, and this program knows version {VERSION}")]
    Version(u32),
    /// It belongs to another profile or installation.
    #[error(
        "the unlock metadata belongs to profile {profile} of installation {installation}: it was \
         moved here from elsewhere"
    )]
    Foreign {
        /// The installation that it names.
        installation: Uuid,
        /// The profile that it names.
        profile: String,
    },
}

/// Why a profile did not unlock.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// No enrolled factor accepts it.
    #[error("wrong password")]
    WrongFactor,
    /// The factor is right and the file is not what was enrolled.
    #[error(
        "the unlock metadata was edited: the password is right, and the file does not match it"
    )]
    Edited,
    /// The factor could not be tried at all.
    #[error(transparent)]
    Kdf(#[from] KdfError),
}

/// The part of the file that a wrap is bound to.
#[derive(Serialize)]
struct WrapContext<'a> {
    domain: &'static str,
    version: u32,
    binding: &'a Binding,
    mode: Mode,
    derivation: Derivation,
    id: u32,
    kind: &'a FactorKind,
}

impl Metadata {
    /// A new profile with one password: mode `any`.
    ///
    /// # Errors
    /// [`KdfError`].
    pub fn with_password(
        binding: Binding,
        derivation: Derivation,
        master: &MasterKey,
        kdf: KdfParameters,
        password: &[u8],
        memory: &mut WorkingMemory,
    ) -> Result<Self, KdfError> {
        let mut metadata = Self {
            version: VERSION,
            binding,
            mode: Mode::Any,
            derivation,
            factors: Vec::new(),
            mac: [0; 32],
        };
        let secret = kdf.stretch(password, memory)?;
        let kind = FactorKind::Password { kdf };
        let context = metadata.wrap_context(1, &kind);
        let wrapped = wrap::wrap(&metadata.kek(1, &secret), master.secret(), &context)?;
        let check = metadata.check(1, &secret);
        metadata.factors.push(Factor { id: 1, kind, check, wrapped });
        metadata.mac = metadata.compute_mac(master);
        Ok(metadata)
    }

    /// Reads a file and checks that it belongs here.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn parse(bytes: &[u8], expected: &Binding) -> Result<Self, MetadataError> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(MetadataError::TooLarge);
        }
        let metadata: Self = serde_json::from_slice(bytes).map_err(MetadataError::Malformed)?;
        if metadata.version != VERSION {
            return Err(MetadataError::Version(metadata.version));
        }
        if metadata.binding != *expected {
            let Binding { installation, profile } = metadata.binding;
            return Err(MetadataError::Foreign { installation, profile });
        }
        Ok(metadata)
    }

    /// The file's bytes.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data always serialises");
        bytes.push(b'\n');
        bytes
    }

    /// Which function derives this profile's keys.
    #[must_use]
    pub fn derivation(&self) -> Derivation {
        self.derivation
    }

    /// The enrolled factors.
    #[must_use]
    pub fn factors(&self) -> &[Factor] {
        &self.factors
    }

    /// Unlocks with a password; every password factor is tried.
    ///
    /// # Errors
    /// [`UnlockError`].
    pub fn unlock_with_password(
        &self,
        password: &[u8],
        memory: &mut WorkingMemory,
    ) -> Result<MasterKey, UnlockError> {
        for factor in &self.factors {
            let FactorKind::Password { kdf } = &factor.kind;
            let secret = kdf.stretch(password, memory)?;
            if bool::from(self.check(factor.id, &secret).ct_eq(&factor.check)) {
                return self.open(factor, &secret);
            }
        }
        Err(UnlockError::WrongFactor)
    }

    fn open(&self, factor: &Factor, secret: &Secret<32>) -> Result<MasterKey, UnlockError> {
        let context = self.wrap_context(factor.id, &factor.kind);
        let master = wrap::unwrap(&self.kek(factor.id, secret), &factor.wrapped, &context)
            .map(MasterKey::from_secret)
            .map_err(|_| UnlockError::Edited)?;
        if bool::from(self.compute_mac(&master).ct_eq(&self.mac)) {
            Ok(master)
        } else {
            Err(UnlockError::Edited)
        }
    }

    fn kek(&self, id: u32, secret: &Secret<32>) -> Secret<32> {
        self.factor_key("factor-kek", id, secret)
    }

    /// Half of a key that is derived for nothing else; it reveals nothing of the KEK, and testing a
    /// password against it costs as much as against the wrap.
    fn check(&self, id: u32, secret: &Secret<32>) -> [u8; 16] {
        let key = self.factor_key("factor-check", id, secret);
        let (check, _) = key.expose().split_first_chunk().expect("16 of 32 bytes");
        *check
    }

    fn factor_key(&self, purpose: &str, id: u32, secret: &Secret<32>) -> Secret<32> {
        let context = format!("pds v2 {purpose} {} {id}", self.binding.profile);
        self.derivation.derive(&context, secret.expose())
    }

    fn wrap_context(&self, id: u32, kind: &FactorKind) -> Vec<u8> {
        let context = WrapContext {
            domain: "pds v2 factor-wrap",
            version: self.version,
            binding: &self.binding,
            mode: self.mode,
            derivation: self.derivation,
            id,
            kind,
        };
        serde_json::to_vec(&context).expect("plain data always serialises")
    }

    /// HMAC-SHA256 over the file with a zero MAC, whatever the derivation: both sets have it.
    fn compute_mac(&self, master: &MasterKey) -> [u8; 32] {
        let key = master.metadata_key(self.derivation, &self.binding.profile);
        let unsigned = Self { mac: [0; 32], ..self.clone() };
        let text = unsigned.render();
        with_clean_stack(|| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes any key");
            mac.update(&text);
            mac.finalize().into_bytes().into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binding() -> Binding {
        Binding { installation: Uuid::from_u128(7), profile: "default".to_owned() }
    }

    fn cheap() -> KdfParameters {
        KdfParameters::Argon2id { memory_kib: 64, iterations: 1, parallelism: 1, salt: [3; 16] }
    }

    fn profile(derivation: Derivation) -> (Metadata, MasterKey) {
        let master = MasterKey::generate().unwrap();
        let metadata = Metadata::with_password(
            binding(),
            derivation,
            &master,
            cheap(),
            b"right",
            &mut WorkingMemory::new(),
        )
        .unwrap();
        (metadata, master)
    }

    #[test]
    fn the_right_password_gives_the_master_key_back() {
        for derivation in [Derivation::Blake3, Derivation::HkdfSha256] {
            let (metadata, master) = profile(derivation);
            let read = Metadata::parse(&metadata.render(), &binding()).unwrap();
            let opened = read.unlock_with_password(b"right", &mut WorkingMemory::new()).unwrap();
            assert_eq!(opened.secret().expose(), master.secret().expose());
            let wrong = read.unlock_with_password(b"wrong", &mut WorkingMemory::new());
            assert!(matches!(wrong, Err(UnlockError::WrongFactor)));
        }
    }

    /// Every single edit that still parses is refused, and none gives a key.
    #[test]
    fn every_flipped_character_is_refused() {
        let (metadata, _) = profile(Derivation::Blake3);
        let file = metadata.render();
        let mut parsed = 0;
        for position in 0..file.len() {
            let mut edited = file.clone();
            edited[position] ^= 1;
            let Ok(read) = Metadata::parse(&edited, &binding()) else { continue };
            if read == metadata {
                continue; // white space between two tokens
            }
            parsed += 1;
            assert!(
                read.unlock_with_password(b"right", &mut WorkingMemory::new()).is_err(),
                "byte {position}"
            );
        }
        assert!(parsed > 100, "the edits reached the checks: {parsed}");
    }

    #[test]
    fn a_file_from_another_profile_or_installation_is_foreign() {
        let (metadata, _) = profile(Derivation::Blake3);
        let elsewhere = [
            Binding { installation: Uuid::from_u128(8), ..binding() },
            Binding { profile: "other".to_owned(), ..binding() },
        ];
        for binding in elsewhere {
            let foreign = Metadata::parse(&metadata.render(), &binding);
            assert!(matches!(foreign, Err(MetadataError::Foreign { .. })));
            // An attacker who edits the binding as well meets the associated data.
            let mut moved = metadata.clone();
            moved.binding = binding;
            assert!(moved.unlock_with_password(b"right", &mut WorkingMemory::new()).is_err());
        }
    }

    #[test]
    fn a_second_factor_added_by_editing_the_file_is_detected() {
        let (metadata, _) = profile(Derivation::Blake3);
        let (other, _) = profile(Derivation::Blake3);
        let mut edited = metadata.clone();
        edited.factors.push(Factor { id: 2, ..other.factors[0].clone() });
        assert!(matches!(
            edited.unlock_with_password(b"right", &mut WorkingMemory::new()),
            Err(UnlockError::Edited)
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Metadata::parse(&bytes, &binding());
        }
    }
}
