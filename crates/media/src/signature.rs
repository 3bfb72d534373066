//! The detached signature of a manifest: `MANIFEST.sig`.
//!
//! It is over the bytes of the manifest's file: RSASSA-PKCS1-v1_5 with SHA-256 and a key of 2048 to 4096
//! bits (RFC 8017), or ECDSA over P-256 with SHA-256, in DER (FIPS 186-5, RFC 3279). That is what
//! `openssl dgst -sha256 -sign KEY` writes.

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::sign::Verifier;
use openssl::x509::X509;

use crate::digest::Digest;

/// The longest key or certificate, in bytes.
const MAX_KEY: usize = 64 << 10;

/// The longest signature, in bytes: that of RSA with 4096 bits.
pub const MAX_SIGNATURE: usize = 512;

/// Why a signature isn't one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Neither a certificate nor a public key in PEM.
    #[error("it is neither a certificate nor a public key in PEM")]
    NoKey,
    /// A kind of key that isn't taken.
    #[error("its key is neither RSA of 2048 to 4096 bits nor ECDSA over P-256")]
    Kind,
    /// The signature is not by this key, or not over these bytes.
    #[error("the signature is not one of this key over this manifest")]
    Wrong,
}

/// Whose signature is asked for.
pub struct Signer {
    key: PKey<Public>,
    certificate: Option<Digest>,
}

impl Signer {
    /// Reads a certificate (X.509) or a public key (SubjectPublicKeyInfo) in PEM.
    ///
    /// Neither names nor dates of a certificate are looked at: whoever names the file trusts the key.
    ///
    /// # Errors
    /// [`SignatureError::NoKey`] and [`SignatureError::Kind`].
    pub fn parse(pem: &[u8]) -> Result<Self, SignatureError> {
        if pem.len() > MAX_KEY {
            return Err(SignatureError::NoKey);
        }
        let (key, certificate) = match X509::from_pem(pem) {
            Ok(certificate) => {
                let der = certificate.to_der().map_err(|_| SignatureError::NoKey)?;
                let key = certificate.public_key().map_err(|_| SignatureError::NoKey)?;
                (key, Some(Digest::of(&der)))
            }
            Err(_) => {
                let key = PKey::public_key_from_pem(pem).map_err(|_| SignatureError::NoKey)?;
                (key, None)
            }
        };
        if !is_taken(&key) {
            return Err(SignatureError::Kind);
        }
        Ok(Self { key, certificate })
    }

    /// The SHA-256 of the certificate, if it was one.
    #[must_use]
    pub fn certificate_sha256(&self) -> Option<Digest> {
        self.certificate
    }

    /// Checks a signature over the bytes of a manifest.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`], whatever is wrong with it.
    pub fn verify(&self, manifest: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let verify = || {
            let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key)?;
            verifier.verify_oneshot(signature, manifest)
        };
        let fits = signature.len() <= MAX_SIGNATURE && verify().unwrap_or(false);
        if fits { Ok(()) } else { Err(SignatureError::Wrong) }
    }
}

fn is_taken(key: &PKey<Public>) -> bool {
    match key.id() {
        Id::RSA => (2048..=4096).contains(&key.bits()),
        Id::EC => {
            key.ec_key().is_ok_and(|key| key.group().curve_name() == Some(Nid::X9_62_PRIME256V1))
        }
        _ => false,
    }
}
