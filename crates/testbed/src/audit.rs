//! Requests to daemon-audit as one-liners, and daemon-secrets as a test plays it.

use std::fs;
use std::path::PathBuf;

use audit_log::{Operation, Outcome};
use ipc::audit::{AuditReply, AuditRequest, Record, TrailStatus};
use ipc::{Client, ClientError, Identity, Suite, codec};
use site_config::Daemon;
use tlog::PublicKeys;
use uuid::Uuid;

use crate::ask::Refused;
use crate::host::{Host, HostBuilder};
use crate::users::Users;

/// Sends any request; `read` takes what is expected out of the reply.
///
/// # Errors
/// [`Refused`].
///
/// # Panics
/// When the reply is neither a fault nor what was expected.
pub fn ask<T>(
    client: &mut Client,
    request: &AuditRequest<'_>,
    read: impl FnOnce(AuditReply<'_>) -> Option<T>,
) -> Result<T, Refused> {
    let reply = client.call(request).map_err(Refused::Connection)?;
    match codec::decode(reply.expose()) {
        Ok(AuditReply::Fault(fault)) => Err(Refused::Fault(fault)),
        Ok(reply) => Ok(read(reply).expect("a reply to this request")),
        Err(error) => Err(Refused::Connection(error.into())),
    }
}

/// Reports a read of the secret `subject`, as daemon-secrets does; returns the number of the entry.
///
/// # Errors
/// [`Refused`].
pub fn append(client: &mut Client, subject: &str) -> Result<u64, Refused> {
    let mut record = Record::new(Operation::SecretGet, Outcome::Authorised);
    record.subject = Some(subject.to_owned());
    report(client, record)
}

/// Reports anything.
///
/// # Errors
/// [`Refused`].
pub fn report(client: &mut Client, record: Record) -> Result<u64, Refused> {
    ask(client, &AuditRequest::Append(record), |reply| match reply {
        AuditReply::Appended { sequence } => Some(sequence),
        _ => None,
    })
}

/// Seals the trail; returns how many entries the checkpoint covers.
///
/// # Errors
/// [`Refused`].
pub fn seal(client: &mut Client) -> Result<u64, Refused> {
    ask(client, &AuditRequest::Seal, |reply| match reply {
        AuditReply::Sealed { size } => Some(size),
        _ => None,
    })
}

/// Makes a new signing key; returns its public half.
///
/// # Errors
/// [`Refused`].
pub fn rotate(client: &mut Client) -> Result<PublicKeys, Refused> {
    ask(client, &AuditRequest::RotateKey, read_key)
}

/// The public half of the key that signs the next checkpoint.
///
/// # Errors
/// [`Refused`].
pub fn public_key(client: &mut Client) -> Result<PublicKeys, Refused> {
    ask(client, &AuditRequest::PublicKey, read_key)
}

fn read_key(reply: AuditReply<'_>) -> Option<PublicKeys> {
    match reply {
        AuditReply::PublicKey(text) => text.parse().ok(),
        _ => None,
    }
}

/// Where the trail stands; none before there is one.
///
/// # Errors
/// [`Refused`].
pub fn status(client: &mut Client) -> Result<Option<TrailStatus>, Refused> {
    ask(client, &AuditRequest::Status, |reply| match reply {
        AuditReply::Status(status) => Some(status),
        _ => None,
    })
}

impl HostBuilder {
    /// A host of which only daemon-audit runs, as this process's own user, with a trail; the test is
    /// its daemon-secrets ([`Host::reporter`]).
    ///
    /// # Panics
    /// When it doesn't start.
    #[must_use]
    #[track_caller]
    pub fn with_a_trail(self) -> Host {
        let mut host = self.users(Users::only_me()).provision();
        host.begin_trail();
        host
    }
}

impl Host {
    /// Starts daemon-audit and asks it for a trail, as daemon-secrets; all of one user.
    ///
    /// # Panics
    /// When it doesn't start.
    #[track_caller]
    pub fn begin_trail(&mut self) {
        self.try_start(Daemon::Audit).unwrap_or_else(|said| panic!("daemon-audit starts: {said}"));
        let mut reporter = self.reporter().expect("a connection");
        let installation = Uuid::from_u128(0x5e5a_0000_0000_4000_8000_0000_0000_0001);
        let request = AuditRequest::Genesis { installation, org: None, machine_binding: None };
        let begun = ask(&mut reporter, &request, |reply| {
            matches!(reply, AuditReply::Genesis(id) if id == installation).then_some(())
        });
        begun.expect("a trail");
    }

    /// A connection to daemon-audit with the key of daemon-secrets, where that is this process's
    /// user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn reporter(&self) -> Result<Client, ClientError> {
        let key = Identity::load(&self.layout.daemon_key(Daemon::Secrets));
        self.connect_as(Daemon::Audit, &key.expect("the key of daemon-secrets"), Suite::ALL[0])
    }

    /// The directory of the trail.
    #[must_use]
    pub fn trail(&self) -> PathBuf {
        self.layout.audit_state().join("trail")
    }

    /// How many entries each checkpoint on the disk covers, in order.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<u64> {
        let names = fs::read_dir(self.trail()).into_iter().flatten().flatten();
        let mut sizes: Vec<u64> = names
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_prefix("checkpoint-")?.strip_suffix(".note")?.parse().ok()
            })
            .collect();
        sizes.sort_unstable();
        sizes
    }

    /// The path of a checkpoint.
    #[must_use]
    pub fn checkpoint(&self, size: u64) -> PathBuf {
        self.trail().join(format!("checkpoint-{size:020}.note"))
    }

    /// Writes what `sesame audit key` shows into a file that everybody may read.
    ///
    /// # Panics
    /// When there is no trail.
    #[track_caller]
    pub fn save_key(&self, name: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, self.sesame(["audit", "key"]).succeed()).expect("a key file");
        path
    }
}
