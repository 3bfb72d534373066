//! The signature that firmware looks for in a UKI: PKCS #7 (RFC 2315) over the digest of the file, after
//! Microsoft's "Windows Authenticode Portable Executable Signature Format" of 2008.
//!
//! osslsigncode computes the digest, and sbattach puts the signature into the file. What lies between the two
//! is put together here, because no tool leaves it to a key on another machine and to `openssl` alone. The
//! bytes to be signed carry no time, so that the same key gives the same signature.

use der::oid::ObjectIdentifier;
use der::{Encode, Tag, TagNumber};
use media::Digest;

use super::certificate::Certificate;
use super::der::{content, descend, element};
use crate::failed::Failed;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const SPC_INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const NULL: [u8; 2] = [5, 0];
const VERSION_1: [u8; 3] = [2, 1, 1];
/// `[0]`, of the attributes in the SignerInfo as of what is explicit.
const CONTEXT_0: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };

/// What is to be signed of one UKI.
pub struct ToBeSigned {
    /// SpcIndirectDataContent, which has the digest of the file.
    indirect_data: Vec<u8>,
    /// The attributes of the signature, without the header that says where they stand.
    attributes: Vec<u8>,
}

impl ToBeSigned {
    /// From what `osslsigncode extract-data` writes: a PKCS #7 structure that nobody has signed.
    pub fn of_unsigned(pkcs7: &[u8]) -> Result<Self, Failed> {
        let strange = || Failed("osslsigncode extracted no data to be signed".to_owned());
        let indirect_data = descend(pkcs7, &[1, 0, 2, 1, 0]).ok_or_else(strange)?;
        // Over the content without its header (RFC 2315, 9.3).
        let digest = Digest::of(content(indirect_data).ok_or_else(strange)?);
        let digest = element(Tag::OctetString, &[&digest.0])?;
        // In the order of their encodings, as a SET OF has to be.
        let attributes = [
            attribute(CONTENT_TYPE, &oid(SPC_INDIRECT_DATA)?)?,
            attribute(MESSAGE_DIGEST, &digest)?,
        ];
        Ok(Self { indirect_data: indirect_data.to_owned(), attributes: attributes.concat() })
    }

    /// The very bytes that the key signs (RFC 2315, 9.3).
    pub fn bytes(&self) -> Result<Vec<u8>, Failed> {
        element(Tag::Set, &[&self.attributes])
    }

    /// The PKCS #7 structure with the signature, for sbattach(1).
    pub fn signed(&self, certificate: &Certificate, signature: &[u8]) -> Result<Vec<u8>, Failed> {
        let sha256 = element(Tag::Sequence, &[&oid(SHA256)?, &NULL])?;
        let rsa = element(Tag::Sequence, &[&oid(RSA_ENCRYPTION)?, &NULL])?;
        let signer = element(
            Tag::Sequence,
            &[
                &VERSION_1,
                &element(Tag::Sequence, &[&certificate.issuer_and_serial])?,
                &sha256,
                &element(CONTEXT_0, &[&self.attributes])?,
                &rsa,
                &element(Tag::OctetString, &[signature])?,
            ],
        )?;
        let indirect_data = element(CONTEXT_0, &[&self.indirect_data])?;
        let signed_data = element(
            Tag::Sequence,
            &[
                &VERSION_1,
                &element(Tag::Set, &[&sha256])?,
                &element(Tag::Sequence, &[&oid(SPC_INDIRECT_DATA)?, &indirect_data])?,
                &element(CONTEXT_0, &[&certificate.der])?,
                &element(Tag::Set, &[&signer])?,
            ],
        )?;
        element(Tag::Sequence, &[&oid(SIGNED_DATA)?, &element(CONTEXT_0, &[&signed_data])?])
    }
}

fn attribute(name: ObjectIdentifier, value: &[u8]) -> Result<Vec<u8>, Failed> {
    element(Tag::Sequence, &[&oid(name)?, &element(Tag::Set, &[value])?])
}

fn oid(name: ObjectIdentifier) -> Result<Vec<u8>, Failed> {
    name.to_der().map_err(|error| Failed(format!("cannot write DER: {error}; nothing was signed")))
}
