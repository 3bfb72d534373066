//! The connection to daemon-audit. Nothing happens that it did not confirm first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secret_memory::SecretBytes;
use site_config::{Daemon, Installation, Peers, Site};
use uuid::Uuid;

use crate::audit::{AuditReply, AuditRequest, Record, TrailStatus};
use crate::client::{Client, ClientError, Expected};
use crate::codec;
use crate::fault::{Fault, FaultKind};
use crate::identity::Identity;
use crate::suite::Suite;

/// How long an entry may take to become durable before the operation is refused.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where daemon-audit is and who it must be.
pub struct AuditDaemon {
    socket: PathBuf,
    expected: Expected,
    suite: Suite,
    identity: Arc<Identity>,
}

impl AuditDaemon {
    /// The one of this site, for the daemon that holds `identity`.
    #[must_use]
    pub fn of(site: &Site, peers: &Peers, identity: Arc<Identity>) -> Self {
        let peer = peers.daemon(Daemon::Audit);
        let crypto = &site.settings.crypto;
        Self {
            socket: site.layout.audit_socket(),
            expected: Expected { key: peer.key, uid: peer.uid },
            suite: Suite { cipher: crypto.noise_cipher, hash: crypto.noise_hash },
            identity,
        }
    }
}

/// One thread's connection, made when it is first needed and again after daemon-audit restarted.
pub struct Trail {
    daemon: Arc<AuditDaemon>,
    connection: Option<Client>,
}

impl Trail {
    /// Not connected yet.
    #[must_use]
    pub fn new(daemon: Arc<AuditDaemon>) -> Self {
        Self { daemon, connection: None }
    }

    /// Returns once the entry is durable.
    ///
    /// # Errors
    /// The entry may not be there: nothing may happen that it was to announce.
    pub fn record(&mut self, record: Record) -> Result<(), Fault> {
        self.begin(record)?.durable()
    }

    /// Sends an entry, so that something can be computed while it becomes durable. What was computed
    /// must not leave before [`Pending::durable`] said so.
    ///
    /// # Errors
    /// The entry was not sent, or not wholly.
    pub fn begin(&mut self, record: Record) -> Result<Pending<'_>, Fault> {
        self.send(&AuditRequest::Append(record)).map_err(|error| unavailable(&error))?;
        Ok(Pending(Some(self)))
    }

    /// Which trail there is.
    ///
    /// # Errors
    /// daemon-audit can't be asked.
    pub fn status(&mut self) -> Result<Option<TrailStatus>, Fault> {
        self.request(&AuditRequest::Status, |reply| match reply {
            AuditReply::Status(status) => Some(status),
            _ => None,
        })
    }

    /// Whether daemon-audit is as confined as it must be.
    ///
    /// # Errors
    /// daemon-audit can't be asked.
    pub fn floor_holds(&mut self) -> Result<bool, Fault> {
        self.request(&AuditRequest::Posture, |reply| match reply {
            AuditReply::Posture(checks) => {
                Some(!checks.is_empty() && hardening::posture::floor_holds(&checks))
            }
            _ => None,
        })
    }

    /// Starts the trail of an installation. Returns the id of the trail that is there now: another
    /// one than `installation`'s when an earlier `init` was interrupted.
    ///
    /// # Errors
    /// There is a trail with vaults already, or it can't be written.
    pub fn genesis(&mut self, installation: &Installation) -> Result<Uuid, Fault> {
        let binding = installation.machine_binding.to_text();
        let request = AuditRequest::Genesis {
            installation: installation.id,
            org: installation.org.as_ref().map(|org| org.as_str()),
            machine_binding: binding.as_deref(),
        };
        self.request(&request, |reply| match reply {
            AuditReply::Genesis(id) => Some(id),
            _ => None,
        })
    }

    fn request<T>(
        &mut self,
        request: &AuditRequest<'_>,
        expected: impl FnOnce(AuditReply<'_>) -> Option<T>,
    ) -> Result<T, Fault> {
        let sent = self.send(request);
        let reply = sent.and_then(|()| self.receive()).map_err(|error| unavailable(&error))?;
        decode(&reply, expected)
    }

    fn send(&mut self, request: &AuditRequest<'_>) -> Result<(), ClientError> {
        // A request is sent once: one that may have been carried out is never repeated.
        if self.connection.as_ref().is_some_and(Client::is_stale) {
            self.connection = None;
        }
        let AuditDaemon { socket, expected, suite, identity } = &*self.daemon;
        let client = match &mut self.connection {
            Some(client) => client,
            none => none.insert(Client::connect(socket, *suite, identity, expected, TIMEOUT)?),
        };
        let sent = client.send(request);
        if sent.is_err() {
            self.connection = None;
        }
        sent
    }

    fn receive(&mut self) -> Result<SecretBytes, ClientError> {
        let reply = match &mut self.connection {
            Some(client) => client.receive(),
            None => Err(ClientError::Protocol),
        };
        if reply.is_err() {
            self.connection = None;
        }
        reply
    }
}

/// An entry on its way to the disk.
#[must_use = "nothing may leave before the entry is durable"]
pub struct Pending<'t>(Option<&'t mut Trail>);

impl Pending<'_> {
    /// Returns once the entry is durable.
    ///
    /// # Errors
    /// As for [`Trail::record`].
    pub fn durable(mut self) -> Result<(), Fault> {
        let Some(trail) = self.0.take() else { return Err(unavailable(&ClientError::Protocol)) };
        let reply = trail.receive().map_err(|error| unavailable(&error))?;
        let recorded = decode(&reply, |reply| match reply {
            AuditReply::Appended { .. } => Some(()),
            _ => None,
        });
        recorded.map_err(|fault| match fault.kind {
            FaultKind::NotInitialised => without_trail(),
            _ => fault,
        })
    }
}

impl Drop for Pending<'_> {
    /// A reply that nobody waited for must not be taken for the next one.
    fn drop(&mut self) {
        if let Some(trail) = &mut self.0 {
            trail.connection = None;
        }
    }
}

fn decode<T>(
    reply: &SecretBytes,
    expected: impl FnOnce(AuditReply<'_>) -> Option<T>,
) -> Result<T, Fault> {
    match codec::decode(reply.expose()) {
        Ok(AuditReply::Fault(fault)) => Err(fault),
        Ok(reply) => expected(reply).ok_or_else(|| unavailable(&ClientError::Protocol)),
        Err(error) => Err(unavailable(&error.into())),
    }
}

fn unavailable(error: &ClientError) -> Fault {
    let text = format!(
        "the audit trail can't be written ({error}), so nothing was done; check that daemon-audit \
         runs (`sesame status`)"
    );
    Fault::new(FaultKind::AuditUnavailable, text)
}

/// Before the first `init`, or its trail was there once.
fn without_trail() -> Fault {
    let text = "daemon-audit has no trail, so nothing was done; on a new host run `sesame init`, \
                else restore the trail from an export, and restart the daemons";
    Fault::new(FaultKind::AuditUnavailable, text)
}
