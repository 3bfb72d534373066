//! Public keys: which can be a factor, and how they are written.

use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};

use super::SshAgentError;
use super::wire::Fields;

/// Shorter ones are factored before long (NIST SP 800-131A).
const MIN_RSA_BITS: usize = 2048;
/// The longest that OpenSSH makes.
const MAX_RSA_BITS: usize = 16384;

/// A key that an agent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentKey {
    /// As OpenSSH writes it, without comment: `ssh-ed25519 AAAA…`.
    pub public_key: String,
    /// What its owner called it; fit for a terminal.
    pub comment: String,
    /// As `ssh-add -l` shows it: `SHA256:…`.
    pub fingerprint: String,
    /// Why it can't be a factor, where it can't.
    pub unusable: Option<UnusableKey>,
}

/// Why a key can't be a factor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// ECDSA (RFC 5656).
    #[error("ECDSA signatures differ each time")]
    Ecdsa,
    /// `sk-`: a FIDO token signs (PROTOCOL.u2f of OpenSSH).
    #[error("a FIDO token counts its signatures, so they differ each time")]
    SecurityKey,
    /// DSA (FIPS 186-4).
    #[error("DSA signatures differ each time, and DSA is withdrawn")]
    Dsa,
    /// A certificate (PROTOCOL.certkeys of OpenSSH).
    #[error("it is a certificate, which expires; take the key that it is for")]
    Certificate,
    /// An RSA modulus of another size than 2048 to 16384 bits.
    #[error("an RSA key of {bits} bits; 2048 to 16384 are needed")]
    RsaSize {
        /// Of the modulus.
        bits: usize,
    },
    /// An algorithm that nothing is known about, by name.
    #[error("nothing is known about {0:?} signatures")]
    Unknown(String),
    /// Not a public key.
    #[error("its public half cannot be read")]
    Malformed,
}

/// A public key that can be a factor.
#[derive(Debug)]
pub(super) struct PublicKey {
    /// In the format of RFC 4253 §6.6.
    pub blob: Vec<u8>,
    pub algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Ed25519,
    Rsa { modulus_bytes: usize },
}

impl AgentKey {
    /// From what an agent lists. Any bytes will do: what they can't be is in `unusable`.
    pub(super) fn new(blob: &[u8], comment: &[u8]) -> Self {
        let name = Fields::new(blob).string().map(printable).unwrap_or_default();
        Self {
            public_key: format!("{name} {}", BASE64.encode(blob)),
            comment: printable(comment),
            fingerprint: fingerprint(blob),
            unusable: algorithm(blob).err(),
        }
    }
}

impl PublicKey {
    /// From `ssh-ed25519 AAAA…`.
    pub(super) fn from_text(text: &str) -> Result<Self, SshAgentError> {
        let (name, base64) = text.split_once(' ').ok_or(SshAgentError::BadParameters)?;
        let blob = BASE64.decode(base64.as_bytes()).map_err(|_| SshAgentError::BadParameters)?;
        let algorithm = algorithm(&blob).map_err(|_| SshAgentError::BadParameters)?;
        if Fields::new(&blob).string() != Some(name.as_bytes()) {
            return Err(SshAgentError::BadParameters);
        }
        Ok(Self { blob, algorithm })
    }

    pub(super) fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }
}

impl Algorithm {
    /// How the signature names it (RFC 8709 §6, RFC 8332 §3).
    pub(super) const fn signature_name(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => b"ssh-ed25519",
            Self::Rsa { .. } => b"rsa-sha2-512",
        }
    }

    /// How long each of its signatures is.
    pub(super) const fn signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 64,
            Self::Rsa { modulus_bytes } => modulus_bytes,
        }
    }
}

/// What the key in `blob` signs by.
fn algorithm(blob: &[u8]) -> Result<Algorithm, UnusableKey> {
    let mut fields = Fields::new(blob);
    let name = fields.string().ok_or(UnusableKey::Malformed)?;
    match name {
        b"ssh-ed25519" => {
            let key = fields.string().ok_or(UnusableKey::Malformed)?;
            let whole = key.len() == 32 && fields.is_at_end();
            whole.then_some(Algorithm::Ed25519).ok_or(UnusableKey::Malformed)
        }
        b"ssh-rsa" => {
            let _exponent = fields.string().ok_or(UnusableKey::Malformed)?;
            let modulus = fields.string().ok_or(UnusableKey::Malformed)?;
            if !fields.is_at_end() {
                return Err(UnusableKey::Malformed);
            }
            rsa(modulus)
        }
        b"ssh-dss" => Err(UnusableKey::Dsa),
        _ if name.ends_with(b"-cert-v01@openssh.com") => Err(UnusableKey::Certificate),
        _ if name.starts_with(b"sk-") => Err(UnusableKey::SecurityKey),
        _ if name.starts_with(b"ecdsa-sha2-") => Err(UnusableKey::Ecdsa),
        _ => Err(UnusableKey::Unknown(printable(name))),
    }
}

/// By its modulus, an mpint (RFC 4251 §5): big-endian, a zero byte in front of a first bit that is set.
fn rsa(modulus: &[u8]) -> Result<Algorithm, UnusableKey> {
    let number = match modulus {
        [0, number @ ..] if number.first().is_some_and(|first| *first >= 0x80) => number,
        [1..=0x7f, ..] => modulus,
        _ => return Err(UnusableKey::Malformed),
    };
    let unset = number.first().map_or(0, |first| first.leading_zeros() as usize);
    match 8 * number.len() - unset {
        MIN_RSA_BITS..=MAX_RSA_BITS => Ok(Algorithm::Rsa { modulus_bytes: number.len() }),
        bits => Err(UnusableKey::RsaSize { bits }),
    }
}

fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(blob)))
}

/// What an agent calls something, so that it moves no cursor, hides nothing and fills no screen.
fn printable(text: &[u8]) -> String {
    const MOST: usize = 128;
    let shown = |c| if is_shown(c) { c } else { char::REPLACEMENT_CHARACTER };
    String::from_utf8_lossy(text).chars().take(MOST).map(shown).collect()
}

/// Neither a control character nor one that only steers how others are shown.
fn is_shown(c: char) -> bool {
    let steers = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !steers
}
