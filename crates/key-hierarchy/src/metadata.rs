//! A profile's enrolment as it lies on disk (`unlock.json`), with the master key wrapped under it.
//!
//! Each factor's piece and the master key's wrap are bound to the whole public half as associated
//! data, and the file carries a MAC under a key that derives from the master key. So a changed file is
//! refused by whoever can open it, and tells nothing to whoever cannot.
//!
//! Sealing to public keys needs no secret, so a whole file can be made up, under a master key of the
//! forger's. It opens, and no vault opens with what it gives but the forger's own: a caller that holds an
//! open vault asks [`Metadata::is_authentic`] first.
//!
//! A change seals everything anew: new pieces, to the public keys of all factors, present or not.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use secret_memory::{Secret, with_clean_stack};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::enrolment::{Binding, Enrolment, EnrolmentError};
use crate::factor::FactorSecret;
use crate::kdf::KdfError;
use crate::kem::SealedKey;
use crate::master::MasterKey;
use crate::policy_tree::{Pieces, Tree};
use crate::wrap::{self, WrappedKey};

/// Largest file that is read, in bytes; sixteen factors take less than half of it.
pub const MAX_FILE_BYTES: usize = 256 * 1024;
const VERSION: u32 = 2;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    version: u32,
    enrolment: Enrolment,
    /// Each factor's piece, by the factor's id.
    pieces: BTreeMap<u32, SealedKey>,
    master: WrappedKey,
    #[serde(with = "crate::hex")]
    mac: [u8; 32],
}

/// What cannot be metadata.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Not the JSON that this program writes.
    #[error("the unlock metadata is damaged: {}", printable(.0))]
    Malformed(#[source] serde_json::Error),
    /// JSON that this program could not have written.
    #[error("the unlock metadata is damaged: it contradicts itself")]
    Inconsistent,
    /// Larger than any that this program writes.
    #[error("the unlock metadata is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// Written by another version of the program.
    #[error("the unlock metadata has version {0}, and this program knows version {VERSION}")]
    Version(u32),
    /// It belongs to another profile or installation.
    #[error(
        "the unlock metadata belongs to profile {} of installation {installation}: it was moved \
         here from elsewhere",
        printable(.profile)
    )]
    Foreign {
        /// The installation that it names.
        installation: Uuid,
        /// The profile that it names.
        profile: String,
    },
}

/// Why a factor gave no piece.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    /// No such factor.
    #[error("there is no factor {0}")]
    NoFactor(u32),
    /// Not what was enrolled.
    #[error("that is not the factor that was enrolled")]
    Wrong,
    /// The factor is right and the file is not what was enrolled.
    #[error("the unlock metadata was edited: the factor is right, and the file does not match it")]
    Edited,
    /// The factor could not be tried at all.
    #[error(transparent)]
    Kdf(#[from] KdfError),
}

/// Why enough pieces gave no master key.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// They are too few.
    #[error("more factors are needed")]
    Incomplete,
    /// The pieces are right and the file is not what was enrolled.
    #[error(
        "the unlock metadata was edited: the factors are right, and the file does not match them"
    )]
    Edited,
    /// No memory for it.
    #[error(transparent)]
    Kdf(#[from] KdfError),
}

/// What a wrap is bound to.
#[derive(Serialize)]
struct Context<'a> {
    domain: &'static str,
    version: u32,
    /// Which factor's piece; `None` for the master key.
    factor: Option<u32>,
    enrolment: &'a Enrolment,
}

impl Metadata {
    /// Seals `master` so that the enrolment's policy opens it: a new generation, with new pieces.
    ///
    /// # Errors
    /// [`EnrolmentError::Unsatisfiable`], [`EnrolmentError::Kdf`].
    pub fn seal(mut enrolment: Enrolment, master: &MasterKey) -> Result<Self, EnrolmentError> {
        enrolment.generation += 1;
        let tree = enrolment.tree()?;
        let (dealt, material) = tree.deal()?;
        let derivation = enrolment.derivation();
        let mut pieces = BTreeMap::new();
        for (id, piece) in &dealt {
            let factor = enrolment.factor(*id).ok_or(EnrolmentError::NoFactor(*id))?;
            let context = context(&enrolment, Some(*id));
            pieces.insert(*id, factor.public_key.seal(derivation, piece, &context)?);
        }
        let kek = kek(&enrolment, material.expose());
        let wrapped = wrap::wrap(&kek, master.secret(), &context(&enrolment, None))?;
        let mut metadata =
            Self { version: VERSION, enrolment, pieces, master: wrapped, mac: [0; 32] };
        metadata.mac = metadata.compute_mac(master);
        Ok(metadata)
    }

    /// Reads a file and checks that it belongs here.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn parse(bytes: &[u8], expected: &Binding) -> Result<Self, MetadataError> {
        let metadata = Self::parse_any(bytes)?;
        if metadata.enrolment.binding != *expected {
            let Binding { installation, profile } = metadata.enrolment.binding;
            return Err(MetadataError::Foreign { installation, profile });
        }
        Ok(metadata)
    }

    /// Reads a file that may belong anywhere, as a backup does.
    ///
    /// # Errors
    /// [`MetadataError`], but never [`MetadataError::Foreign`].
    pub fn parse_any(bytes: &[u8]) -> Result<Self, MetadataError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if bytes.len() > MAX_FILE_BYTES {
            return Err(MetadataError::TooLarge);
        }
        let Versioned { version } =
            serde_json::from_slice(bytes).map_err(MetadataError::Malformed)?;
        if version != VERSION {
            return Err(MetadataError::Version(version));
        }
        let metadata: Self = serde_json::from_slice(bytes).map_err(MetadataError::Malformed)?;
        let enrolment = &metadata.enrolment;
        let members = enrolment.tree().map_err(|_| MetadataError::Inconsistent)?.members();
        if enrolment.is_consistent() && metadata.pieces.keys().eq(&members) {
            Ok(metadata)
        } else {
            Err(MetadataError::Inconsistent)
        }
    }

    /// The file's bytes.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data always serialises");
        bytes.push(b'\n');
        bytes
    }

    /// Who may unlock.
    #[must_use]
    pub const fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }

    /// How the factors combine.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.enrolment.tree().expect("sealed and parsed metadata is consistent")
    }

    /// The piece of one factor; `None` when the policy has no use for this factor, which is right all
    /// the same.
    ///
    /// # Errors
    /// [`FactorError`].
    pub fn piece(&self, id: u32, secret: &FactorSecret) -> Result<Option<Secret<32>>, FactorError> {
        let factor = self.enrolment.factor(id).ok_or(FactorError::NoFactor(id))?;
        let derivation = self.enrolment.derivation();
        if !factor.accepts(derivation, secret)? {
            return Err(FactorError::Wrong);
        }
        let Some(sealed) = self.pieces.get(&id) else { return Ok(None) };
        let private = secret.private_key(derivation, &factor.salt)?;
        sealed
            .open(derivation, &private, &context(&self.enrolment, Some(id)))
            .map(Some)
            .map_err(|_| FactorError::Edited)
    }

    /// The master key, out of enough pieces.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, pieces: &Pieces) -> Result<MasterKey, OpenError> {
        let material = self.tree().combine(pieces)?.ok_or(OpenError::Incomplete)?;
        let kek = kek(&self.enrolment, material.expose());
        let master = wrap::unwrap(&kek, &self.master, &context(&self.enrolment, None))
            .map(MasterKey::from_secret)
            .map_err(|_| OpenError::Edited)?;
        if self.is_authentic(&master) { Ok(master) } else { Err(OpenError::Edited) }
    }

    /// Whether this file was sealed with this master key, and not edited since.
    #[must_use]
    pub fn is_authentic(&self, master: &MasterKey) -> bool {
        self.compute_mac(master).ct_eq(&self.mac).into()
    }

    /// HMAC-SHA256 over the file with a zero MAC, whatever the derivation: both sets have it.
    fn compute_mac(&self, master: &MasterKey) -> [u8; 32] {
        let key = master
            .metadata_key(self.enrolment.derivation(), self.enrolment.binding.profile.as_str());
        let unsigned = Self { mac: [0; 32], ..self.clone() };
        let text = unsigned.render();
        with_clean_stack(|| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes any key");
            mac.update(&text);
            mac.finalize().into_bytes().into()
        })
    }
}

/// What a stranger may have written into the file, without what would move a terminal's cursor or turn
/// its text around.
fn printable(text: &impl ToString) -> String {
    let escaped = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    text.to_string().chars().map(escaped).collect()
}

fn kek(enrolment: &Enrolment, material: &[u8]) -> Secret<32> {
    let context = format!("pds v2 combined-master-key {}", enrolment.binding.profile);
    enrolment.derivation().derive(&context, material)
}

fn context(enrolment: &Enrolment, factor: Option<u32>) -> Vec<u8> {
    let context = Context { domain: "pds v2 unlock", version: VERSION, factor, enrolment };
    serde_json::to_vec(&context).expect("plain data always serialises")
}
