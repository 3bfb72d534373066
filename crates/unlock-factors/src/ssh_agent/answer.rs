//! What an agent's answers say.

use secret_memory::SecretBytes;

use super::key::{Algorithm, PublicKey};
use super::wire::Fields;
use super::{AgentKey, SshAgentError};

/// `SSH_AGENT_FAILURE`.
const FAILURE: u8 = 5;
/// `SSH_AGENT_IDENTITIES_ANSWER`.
const IDENTITIES_ANSWER: u8 = 12;
/// `SSH_AGENT_SIGN_RESPONSE`.
const SIGN_RESPONSE: u8 = 14;

/// The most keys in a list, as in OpenSSH.
const MAX_KEYS: u32 = 2048;

/// The keys of an answer to `SSH_AGENTC_REQUEST_IDENTITIES`.
pub(super) fn identities(message: &[u8]) -> Result<Vec<AgentKey>, SshAgentError> {
    const CUT: SshAgentError = SshAgentError::Malformed("its list of keys is cut short");
    let mut fields = Fields::new(message);
    match fields.byte() {
        Some(IDENTITIES_ANSWER) => {}
        Some(FAILURE) => return Err(SshAgentError::Malformed("it refuses to list its keys")),
        _ => return Err(SshAgentError::Malformed("it lists no keys when asked to")),
    }
    let count = fields.uint32().ok_or(CUT)?;
    if count > MAX_KEYS {
        return Err(SshAgentError::Malformed("it lists more than 2048 keys"));
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        let blob = fields.string().ok_or(CUT)?;
        let comment = fields.string().ok_or(CUT)?;
        keys.push(AgentKey::new(blob, comment));
    }
    if !fields.is_at_end() {
        return Err(SshAgentError::Malformed("its list of keys is longer than it says"));
    }
    Ok(keys)
}

/// The signature of an answer to `SSH_AGENTC_SIGN_REQUEST`; none when the agent refuses.
pub(super) fn signature(
    message: &[u8],
    key: &PublicKey,
) -> Result<Option<SecretBytes>, SshAgentError> {
    let mut fields = Fields::new(message);
    match fields.byte() {
        Some(SIGN_RESPONSE) => {}
        Some(FAILURE) => return Ok(None),
        _ => return Err(SshAgentError::Malformed("it does not sign when asked to")),
    }
    let (name, bytes) = named_signature(&mut fields)
        .ok_or(SshAgentError::Malformed("its signature is cut short, or goes on"))?;
    if name != key.algorithm.signature_name() {
        return Err(SshAgentError::Malformed(match key.algorithm {
            Algorithm::Ed25519 => "its signature is not by ssh-ed25519",
            Algorithm::Rsa { .. } => {
                "its signature is not by rsa-sha2-512, which OpenSSH has since 7.2"
            }
        }));
    }
    padded(bytes, key.algorithm).map(Some)
}

/// The name and the bytes of the signature (RFC 4253 §6.6), when nothing follows them.
fn named_signature<'a>(fields: &mut Fields<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let mut signature = Fields::new(fields.string()?);
    let parts = (signature.string()?, signature.string()?);
    (signature.is_at_end() && fields.is_at_end()).then_some(parts)
}

/// The signature in full length.
///
/// RSA's is a number as long as the modulus (RFC 8332 §3). Some agents cut zeros off its front; the
/// evidence must be the same bytes whichever agent holds the key.
fn padded(bytes: &[u8], algorithm: Algorithm) -> Result<SecretBytes, SshAgentError> {
    let length = algorithm.signature_bytes();
    let missing = match algorithm {
        Algorithm::Ed25519 if bytes.len() == length => 0,
        Algorithm::Rsa { .. } if !bytes.is_empty() && bytes.len() <= length => length - bytes.len(),
        _ => return Err(SshAgentError::Malformed("its signature has a wrong length")),
    };
    let mut signature = SecretBytes::zeroed(length)?;
    signature.expose_mut()[missing..].copy_from_slice(bytes);
    Ok(signature)
}
