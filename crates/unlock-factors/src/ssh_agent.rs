//! A key in an ssh-agent.
//!
//! The evidence is the key's signature over a stored challenge. Ed25519 (RFC 8032) and RSA PKCS#1 v1.5
//! (RFC 8017) give the same signature each time, so that only the key's holder can make it, and can
//! make it again. Keys whose signatures differ each time are refused ([`UnusableKey`]).
//!
//! Most signatures are public; this one is a secret, and serves nothing else. Whoever can ask the agent
//! can make it: an agent that is forwarded to a host gives that host the factor. A key that was added
//! with `ssh-add -c` asks its owner each time.
//!
//! The protocol is draft-miller-ssh-agent; the formats are those of RFC 4253, RFC 8332 and RFC 8709.

mod answer;
mod error;
mod key;
#[cfg(test)]
mod tests;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use key_hierarchy::parameters::SshAgentParameters;
use secret_memory::SecretBytes;

pub use error::SshAgentError;
pub use key::{AgentKey, UnusableKey};

use key::PublicKey;

/// Goes before the challenge in what is signed.
///
/// The result is neither a login nor a signed file, whatever the challenge is. What is signed for a
/// login (RFC 4252 §7) begins with the length of the session id, and these letters would be a length
/// of two gigabytes. What is signed for a file (PROTOCOL.sshsig of OpenSSH) begins with `SSHSIG`.
const DOMAIN: &[u8] = b"sesame ssh-agent factor v1";

/// An ssh-agent, known by its socket.
///
/// Each request has a connection of its own, so that an answer that comes too late is never taken for
/// the answer to the next request.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    patience: Patience,
}

/// How long the agent may take for a whole answer.
#[derive(Clone, Copy, Debug)]
struct Patience {
    list: Duration,
    /// A person may have to confirm (`ssh-add -c`) or to touch a token.
    sign: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { list: Duration::from_secs(10), sign: Duration::from_secs(60) }
    }
}

impl Agent {
    /// Finds out whether an agent listens on `socket`: the path that `SSH_AUTH_SOCK` names.
    ///
    /// # Errors
    /// [`SshAgentError::NoAgent`]; [`SshAgentError::Silent`] when it accepts nobody for 10 s.
    pub fn connect(socket: &Path) -> Result<Self, SshAgentError> {
        let agent = Self { socket: socket.to_owned(), patience: Patience::default() };
        wire::connect(socket, agent.patience.list)?;
        Ok(agent)
    }

    /// The keys that it holds, in its order; also those that can't be a factor.
    ///
    /// A locked agent (`ssh-add -x`) says that it holds none.
    ///
    /// # Errors
    /// When the agent is gone, takes more than 10 s, or answers something else than keys.
    pub fn keys(&self) -> Result<Vec<AgentKey>, SshAgentError> {
        let request = [wire::REQUEST_IDENTITIES];
        let reply = wire::ask(&self.socket, &request, wire::MAX_MESSAGE, self.patience.list)?;
        answer::identities(reply.expose())
    }

    /// Makes a factor of `key`: a new random challenge, and the first evidence.
    ///
    /// The agent signs twice, so a key that asks its owner asks twice.
    ///
    /// # Errors
    /// [`SshAgentError::Unusable`] for the wrong kind of key, [`SshAgentError::NotDeterministic`] when
    /// the two signatures differ, and those of [`Agent::evidence`].
    pub fn enroll(
        &self,
        key: &AgentKey,
    ) -> Result<(SshAgentParameters, SecretBytes), SshAgentError> {
        if let Some(reason) = &key.unusable {
            let fingerprint = key.fingerprint.clone();
            return Err(SshAgentError::Unusable { fingerprint, reason: reason.clone() });
        }
        let mut challenge = [0; 32];
        getrandom::fill(&mut challenge).map_err(|_| SshAgentError::Randomness)?;
        let parameters = SshAgentParameters { public_key: key.public_key.clone(), challenge };
        let first = self.evidence(&parameters)?;
        let second = self.evidence(&parameters)?;
        if first.expose() != second.expose() {
            return Err(SshAgentError::NotDeterministic { fingerprint: key.fingerprint.clone() });
        }
        Ok((parameters, first))
    }

    /// Asks for the evidence again: 64 bytes for Ed25519, the length of the modulus for RSA.
    ///
    /// # Errors
    /// [`SshAgentError::KeyMissing`], [`SshAgentError::NoKeys`] or [`SshAgentError::Refused`] when the
    /// agent doesn't sign; others when it is gone, takes more than 60 s, or answers something else
    /// than a signature by that key's algorithm.
    pub fn evidence(&self, parameters: &SshAgentParameters) -> Result<SecretBytes, SshAgentError> {
        let key = PublicKey::from_text(&parameters.public_key)?;
        let request = wire::sign_request(&key, &[DOMAIN, &parameters.challenge].concat());
        let reply =
            wire::ask(&self.socket, &request, wire::MAX_SIGNATURE_MESSAGE, self.patience.sign)?;
        match answer::signature(reply.expose(), &key)? {
            Some(signature) => Ok(signature),
            None => Err(self.why_refused(&key)),
        }
    }

    /// Whether the agent holds the key that made this factor.
    ///
    /// # Errors
    /// As [`Agent::keys`], and [`SshAgentError::BadParameters`].
    pub fn holds(&self, parameters: &SshAgentParameters) -> Result<bool, SshAgentError> {
        let key = PublicKey::from_text(&parameters.public_key)?;
        Ok(self.keys()?.iter().any(|held| held.fingerprint == key.fingerprint()))
    }

    /// The protocol has one refusal for every reason; what the agent lists tells them apart.
    fn why_refused(&self, key: &PublicKey) -> SshAgentError {
        let fingerprint = key.fingerprint();
        match self.keys() {
            Err(error) => error,
            Ok(keys) if keys.is_empty() => SshAgentError::NoKeys { fingerprint },
            Ok(keys) if keys.iter().any(|held| held.fingerprint == fingerprint) => {
                SshAgentError::Refused { fingerprint }
            }
            Ok(_) => SshAgentError::KeyMissing { fingerprint },
        }
    }
}
