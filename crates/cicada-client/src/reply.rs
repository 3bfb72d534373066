//! Replies: JSON in secret memory, read where it lies, into types that a program can rely on.

use std::collections::BTreeMap;

use secret_memory::{Secret, SecretBytes};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{ClientError, Code};
use crate::{
    KEM_ALGORITHM, KEY_TYPE, ML_DSA_65_PUBLIC_BYTES, ML_DSA_65_SIGNATURE_BYTES,
    ML_KEM_768_CIPHERTEXT_BYTES, ML_KEM_768_PUBLIC_BYTES, SIGNATURE_ALGORITHM, base64,
};

/// The public half of one version of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its name.
    pub identity: String,
    /// 1 for the first, one more with each rotation.
    pub version: u32,
    /// X25519 (RFC 7748), as WireGuard wants it.
    pub x25519: [u8; 32],
    /// ML-KEM-768 encapsulation key (FIPS 203).
    pub ml_kem_768: Box<[u8; ML_KEM_768_PUBLIC_BYTES]>,
    /// ML-DSA-65 verification key (FIPS 204).
    pub ml_dsa_65: Box<[u8; ML_DSA_65_PUBLIC_BYTES]>,
}

/// What [`Client::encapsulate`](crate::Client::encapsulate) makes.
#[derive(Debug)]
pub struct Encapsulated {
    /// For whoever has the decapsulation key.
    pub ciphertext: Box<[u8; ML_KEM_768_CIPHERTEXT_BYTES]>,
    /// What they will get out of it.
    pub shared_secret: Secret<32>,
}

/// An identity that this user has a rule for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IdentitySummary {
    /// Its name.
    pub identity: String,
    /// The version in use; none once it is revoked.
    pub version: Option<u32>,
    /// When that was made (RFC 3339).
    pub created: String,
    /// Versions whose grace time is not over, the present one among them.
    pub readable: Vec<u32>,
    /// When it was revoked (RFC 3339), if it was.
    pub revoked: Option<String>,
    /// What this user may do with it.
    pub operations: Vec<String>,
}

/// Whether there are keys, and whether they can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Keys can be used.
    Unlocked,
    /// There is a store, and it needs the unlock key.
    Locked,
    /// There is no store: `sesame cicada init`.
    Uninitialised,
}

/// What cicada says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether keys can be used.
    pub state: State,
    /// Version of the daemon.
    pub version: String,
    /// How many identities there are.
    pub identities: u64,
    /// What each `type` of the protocol is.
    pub types: BTreeMap<String, String>,
    /// What each `algorithm` of the protocol is.
    pub algorithms: BTreeMap<String, String>,
    /// What `cicada verify-isolation` found.
    pub isolation: Vec<IsolationCheck>,
}

/// One line of `cicada verify-isolation`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IsolationCheck {
    /// What was looked at.
    pub check: String,
    /// `pass`, or what else came of it.
    pub status: String,
    /// What was seen there.
    pub found: String,
}

/// An identity that is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Revocation {
    /// Its name.
    pub identity: String,
    /// Since when (RFC 3339).
    pub revoked: String,
}

/// An identity as it rests on the disk: encrypted under the unlock key of its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub identity: String,
    /// The sealed file.
    pub sealed: Vec<u8>,
}

/// One reply that is not an error.
pub struct Reply(SecretBytes);

impl Reply {
    /// # Errors
    /// [`ClientError::Refused`] where cicada said so; [`ClientError::Protocol`].
    pub fn new(json: SecretBytes) -> Result<Self, ClientError> {
        let answer: MaybeError = parse(&json)?;
        match answer.error {
            None => Ok(Self(json)),
            Some(ErrorReply { code, message }) => {
                Err(ClientError::Refused { code: Code::from(code), message })
            }
        }
    }

    /// A reply in which nothing is secret and nothing has a length to check.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        parse(&self.0)
    }

    pub fn private_key(&self) -> Result<Secret<32>, ClientError> {
        let reply: KeyReply = parse(&self.0)?;
        expect(reply.key_type, KEY_TYPE)?;
        base64::secret(reply.key)?.ok_or(WRONG_BYTES)
    }

    pub fn signature(&self) -> Result<Vec<u8>, ClientError> {
        let reply: SignatureReply = parse(&self.0)?;
        expect(reply.algorithm, SIGNATURE_ALGORITHM)?;
        let signature = base64::public::<ML_DSA_65_SIGNATURE_BYTES>(reply.signature);
        Ok(signature.ok_or(WRONG_BYTES)?.to_vec())
    }

    pub fn public_key(&self) -> Result<PublicKey, ClientError> {
        let reply: PublicKeyReply = parse(&self.0)?;
        expect(reply.key_type, KEY_TYPE)?;
        expect(reply.algorithm, SIGNATURE_ALGORITHM)?;
        Ok(PublicKey {
            identity: reply.identity.to_owned(),
            version: reply.version,
            x25519: *base64::public(reply.x25519).ok_or(WRONG_BYTES)?,
            ml_kem_768: base64::public(reply.ml_kem_768).ok_or(WRONG_BYTES)?,
            ml_dsa_65: base64::public(reply.ml_dsa_65).ok_or(WRONG_BYTES)?,
        })
    }

    pub fn encapsulated(&self) -> Result<Encapsulated, ClientError> {
        let reply: KemReply = parse(&self.0)?;
        let ciphertext = reply.ciphertext.and_then(base64::public).ok_or(WRONG_BYTES)?;
        Ok(Encapsulated { ciphertext, shared_secret: reply.shared_secret()? })
    }

    pub fn shared_secret(&self) -> Result<Secret<32>, ClientError> {
        parse::<KemReply>(&self.0)?.shared_secret()
    }

    pub fn state(&self) -> Result<State, ClientError> {
        Ok(parse::<StateReply>(&self.0)?.state)
    }

    pub fn identities(&self) -> Result<Vec<IdentitySummary>, ClientError> {
        Ok(self.read::<IdentitiesReply>()?.identities)
    }

    pub fn backup(&self) -> Result<Backup, ClientError> {
        let reply: BackupReply = parse(&self.0)?;
        let sealed = base64::any(reply.backup).ok_or(WRONG_BYTES)?;
        Ok(Backup { identity: reply.identity.to_owned(), sealed })
    }
}

const WRONG_BYTES: ClientError =
    ClientError::Protocol("a key or signature in the reply has the wrong size");

/// Borrows every string from `json`. What serde_json says about text that it can't read may quote it,
/// so that is dropped.
fn parse<'a, T: Deserialize<'a>>(json: &'a SecretBytes) -> Result<T, ClientError> {
    let unexpected = ClientError::Protocol("the reply does not have the fields of its operation");
    serde_json::from_slice(json.expose()).map_err(|_| unexpected)
}

fn expect(found: &str, algorithm: &str) -> Result<(), ClientError> {
    if found == algorithm {
        return Ok(());
    }
    Err(ClientError::Protocol("the reply names an algorithm that this client does not know"))
}

/// Strings are never copied: a field of this type is skipped.
#[derive(Deserialize)]
struct MaybeError {
    error: Option<ErrorReply>,
}

#[derive(Deserialize)]
struct ErrorReply {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct KeyReply<'a> {
    key: &'a str,
    #[serde(rename = "type")]
    key_type: &'a str,
}

#[derive(Deserialize)]
struct SignatureReply<'a> {
    signature: &'a str,
    algorithm: &'a str,
}

#[derive(Deserialize)]
struct PublicKeyReply<'a> {
    identity: &'a str,
    version: u32,
    #[serde(rename = "type")]
    key_type: &'a str,
    algorithm: &'a str,
    x25519: &'a str,
    ml_kem_768: &'a str,
    ml_dsa_65: &'a str,
}

#[derive(Deserialize)]
struct KemReply<'a> {
    #[serde(borrow)]
    ciphertext: Option<&'a str>,
    shared_secret: &'a str,
    algorithm: &'a str,
}

impl KemReply<'_> {
    fn shared_secret(&self) -> Result<Secret<32>, ClientError> {
        expect(self.algorithm, KEM_ALGORITHM)?;
        base64::secret(self.shared_secret)?.ok_or(WRONG_BYTES)
    }
}

#[derive(Deserialize)]
struct StateReply {
    state: State,
}

#[derive(Deserialize)]
struct IdentitiesReply {
    identities: Vec<IdentitySummary>,
}

#[derive(Deserialize)]
struct BackupReply<'a> {
    identity: &'a str,
    backup: &'a str,
}
