//! From `--dir` to a connection.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use ipc::audit::{AuditReply, AuditRequest};
use ipc::client::Expected;
use ipc::factors::{Enrolled, Source};
use ipc::secrets::{SecretsReply, SecretsRequest, Status};
use ipc::{Client, ClientError, Fault, Identity, Suite, codec};
use secret_memory::SecretBytes;
use site_config::{Daemon, Layout, Peers, Site};

use crate::exit::{Code, Failure};

/// Bytes of secret memory of a command: a value and its frames, and keys.
const ARENA_BYTES: usize = 1 << 20;
/// How long a daemon may take for a request: Argon2id and a slow disk fit in easily.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The site that a command works on, loaded and found consistent.
pub struct Context {
    pub site: Site,
}

impl Context {
    /// Loads configuration and policy; a contradiction ends every command here.
    pub fn load(dir: Option<PathBuf>) -> Result<Self, Failure> {
        let site = Site::load(Layout::choose(dir)?)?;
        secret_memory::init(site.settings.memory.protection, ARENA_BYTES, 0)
            .map_err(|error| Failure::new(Code::BELOW_FLOOR, error.to_string()))?;
        Ok(Self { site })
    }

    /// Connects to daemon-secrets.
    pub fn secrets(&self) -> Result<SecretsClient, Failure> {
        Ok(SecretsClient(self.connect(Daemon::Secrets)?))
    }

    /// Connects to daemon-audit.
    pub fn audit(&self) -> Result<AuditClient, Failure> {
        Ok(AuditClient(self.connect(Daemon::Audit)?))
    }

    /// A raw connection.
    pub fn connect(&self, daemon: Daemon) -> Result<Client, Failure> {
        let layout = &self.site.layout;
        let peers = Peers::load(layout.peers_file())?;
        let path = layout.operator_key()?;
        let identity = Identity::load(path).map_err(|error| {
            let next = match error.kind() {
                ErrorKind::NotFound => "; `sesame key` makes one",
                _ => "",
            };
            let text = format!("cannot read your key {} ({error}){next}", path.display());
            Failure::new(Code::REFUSED, text)
        })?;
        let crypto = &self.site.settings.crypto;
        let suite = Suite { cipher: crypto.noise_cipher, hash: crypto.noise_hash };
        let peer = peers.daemon(daemon);
        let expected = Expected { key: peer.key, uid: peer.uid };
        Ok(Client::connect(&layout.socket(daemon), suite, &identity, &expected, TIMEOUT)?)
    }
}

/// A connection to daemon-secrets.
pub struct SecretsClient(Client);

impl SecretsClient {
    /// Sends a request; `read` takes what it expects out of the reply.
    pub fn call<T>(
        &mut self,
        request: &SecretsRequest<'_>,
        read: impl FnOnce(SecretsReply<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let bytes = self.0.call(request)?;
        match codec::decode(bytes.expose()).map_err(ClientError::from)? {
            SecretsReply::Fault(fault) => Err(fault.into()),
            reply => read(reply).ok_or_else(|| ClientError::Protocol.into()),
        }
    }

    /// The factors of a profile or backup.
    pub fn enrolled(&mut self, source: Source<'_>) -> Result<Enrolled, Failure> {
        self.call(&SecretsRequest::FactorList { source }, |reply| match reply {
            SecretsReply::Enrolled(enrolled) => Some(enrolled),
            _ => None,
        })
    }

    /// Where everything stands.
    pub fn status(&mut self) -> Result<Status, Failure> {
        self.call(&SecretsRequest::Status, |reply| match reply {
            SecretsReply::Status(status) => Some(status),
            _ => None,
        })
    }

    /// For requests whose reply has nothing to say.
    pub fn done(&mut self, request: &SecretsRequest<'_>) -> Result<(), Failure> {
        self.call(request, |reply| matches!(reply, SecretsReply::Done).then_some(()))
    }

    /// The value of a secret.
    pub fn value(&mut self, request: &SecretsRequest<'_>) -> Result<SecretBytes, Failure> {
        let copied = self.call(request, |reply| match reply {
            SecretsReply::Value(value) => Some(SecretBytes::copy_of(value)),
            _ => None,
        })?;
        Ok(copied?)
    }
}

/// A connection to daemon-audit.
pub struct AuditClient(Client);

impl AuditClient {
    /// Sends a request; `read` takes what it expects out of the reply.
    pub fn call<T>(
        &mut self,
        request: &AuditRequest<'_>,
        read: impl FnOnce(AuditReply<'_>) -> Option<T>,
    ) -> Result<T, Failure> {
        let bytes = self.0.call(request)?;
        match codec::decode(bytes.expose()).map_err(ClientError::from)? {
            AuditReply::Fault(fault) => Err(Fault::into(fault)),
            reply => read(reply).ok_or_else(|| ClientError::Protocol.into()),
        }
    }

    /// Hands the checkpoints up to the one over `last` entries to `each`, with their sizes.
    pub fn checkpoints(
        &mut self,
        last: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut size = 0;
        loop {
            let bytes = self.0.call(&AuditRequest::Checkpoint { size })?;
            match codec::decode(bytes.expose()).map_err(ClientError::from)? {
                AuditReply::NoCheckpoint => return Ok(()),
                AuditReply::Checkpoint { size: next, .. } if next > last => return Ok(()),
                AuditReply::Checkpoint { size: next, note } if next > size => {
                    each(next, note)?;
                    size = next;
                }
                AuditReply::Fault(fault) => return Err(fault.into()),
                _ => return Err(ClientError::Protocol.into()),
            }
        }
    }

    /// Hands those entries of the trail to `each` page by page, whole lines.
    pub fn pages(
        &mut self,
        entries: Range<u64>,
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut next = entries.start;
        while next < entries.end {
            let bytes = self.0.call(&AuditRequest::Read { from: next })?;
            match codec::decode(bytes.expose()).map_err(ClientError::from)? {
                AuditReply::Lines([]) => return Ok(()),
                AuditReply::Lines(lines) => {
                    let mut length = 0;
                    for line in lines.split_inclusive(|byte| *byte == b'\n') {
                        if next == entries.end {
                            break;
                        }
                        length += line.len();
                        next += 1;
                    }
                    each(&lines[..length])?;
                }
                AuditReply::Fault(fault) => return Err(fault.into()),
                _ => return Err(ClientError::Protocol.into()),
            }
        }
        Ok(())
    }
}
