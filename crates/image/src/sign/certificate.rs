//! The certificate that Secure Boot has to know, and the few parts of it that a signature repeats.

use std::fs;
use std::path::Path;

use media::Digest;
use media::signature::Signer;
use openssl::pkey::Id;
use openssl::x509::X509;

use super::der::descend;
use crate::failed::Failed;

/// `[0]`: the version, which the first certificates had not (RFC 5280, 4.1.2.1).
const VERSION: u8 = 0xa0;

/// An X.509 certificate with an RSA key.
pub struct Certificate {
    /// In PEM, that one certificate and nothing else.
    pub pem: Vec<u8>,
    /// In DER.
    pub der: Vec<u8>,
    /// IssuerAndSerialNumber (RFC 2315, 6.7), in DER without its header.
    pub issuer_and_serial: Vec<u8>,
    signer: Signer,
}

impl Certificate {
    /// Reads the first certificate of a file in PEM.
    pub fn read(path: &Path) -> Result<Self, Failed> {
        let pem = fs::read(path).map_err(Failed::io("read", path))?;
        Self::parse(&pem)
            .map_err(|reason| Failed(format!("{}: {reason}; nothing was signed", path.display())))
    }

    fn parse(pem: &[u8]) -> Result<Self, String> {
        let no_certificate = "it is not an X.509 certificate in PEM";
        let certificate = X509::from_pem(pem).map_err(|_| no_certificate)?;
        let (pem, der) = (certificate.to_pem(), certificate.to_der());
        let (pem, der) = pem.and_then(|pem| Ok((pem, der?))).map_err(|_| no_certificate)?;
        // Firmware knows no other key for Secure Boot (UEFI specification 2.10, 32.4.1).
        if certificate.public_key().map_err(|_| no_certificate)?.id() != Id::RSA {
            return Err("its key is not RSA, and firmware takes nothing else".to_owned());
        }
        let signer = Signer::parse(&pem).map_err(|error| error.to_string())?;
        let issuer_and_serial = issuer_and_serial(&der).ok_or(no_certificate)?;
        Ok(Self { pem, der, issuer_and_serial, signer })
    }

    /// What the manifest calls it by.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Checks a signature over these bytes: RSASSA-PKCS1-v1_5 with SHA-256.
    pub fn check(&self, what: &str, signed: &[u8], signature: &[u8]) -> Result<(), Failed> {
        self.signer.verify(signed, signature).map_err(|_| {
            Failed(format!(
                "the signature of {what} was not made with the key of this certificate (SHA-256 {}), or is \
                 over other bytes; target/image is as it was. Sign again, with the key that belongs to it.",
                self.sha256()
            ))
        })
    }
}

fn issuer_and_serial(certificate: &[u8]) -> Option<Vec<u8>> {
    let first = *descend(certificate, &[0, 0])?.first()?;
    let serial = usize::from(first == VERSION);
    // The algorithm of the certificate's own signature stands between the two.
    let (serial, issuer) =
        (descend(certificate, &[0, serial])?, descend(certificate, &[0, serial + 2])?);
    Some([issuer, serial].concat())
}
