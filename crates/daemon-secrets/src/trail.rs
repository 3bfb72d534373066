//! The connection to daemon-audit. Nothing happens that it did not confirm first.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipc::audit::{AuditReply, AuditRequest, Record, TrailStatus};
use ipc::client::Expected;
use ipc::{Client, ClientError, Fault, FaultKind, Identity, Suite, codec};
use site_config::Installation;
use uuid::Uuid;

/// How long an entry may take to become durable before the operation is refused.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where daemon-audit is and who it must be.
pub struct AuditDaemon {
    pub socket: PathBuf,
    pub expected: Expected,
    pub suite: Suite,
    pub identity: Arc<Identity>,
}

/// One thread's connection, made when it is first needed and again after daemon-audit restarted.
pub struct Trail {
    daemon: Arc<AuditDaemon>,
    connection: Option<Client>,
}

impl Trail {
    pub fn new(daemon: Arc<AuditDaemon>) -> Self {
        Self { daemon, connection: None }
    }

    /// Returns once the entry is durable.
    pub fn record(&mut self, record: Record) -> Result<(), Fault> {
        let recorded = self.request(&AuditRequest::Append(record), |reply| match reply {
            AuditReply::Appended { .. } => Some(()),
            _ => None,
        });
        recorded.map_err(|fault| match fault.kind {
            FaultKind::NotInitialised => without_trail(),
            _ => fault,
        })
    }

    /// Which trail there is.
    pub fn status(&mut self) -> Result<Option<TrailStatus>, Fault> {
        self.request(&AuditRequest::Status, |reply| match reply {
            AuditReply::Status(status) => Some(status),
            _ => None,
        })
    }

    /// Whether daemon-audit is as confined as it must be.
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
        let reply = self.call(request).map_err(|error| unavailable(&error))?;
        match codec::decode(reply.expose()) {
            Ok(AuditReply::Fault(fault)) => Err(fault),
            Ok(reply) => expected(reply).ok_or_else(|| unavailable(&ClientError::Protocol)),
            Err(error) => Err(unavailable(&error.into())),
        }
    }

    fn call(
        &mut self,
        request: &AuditRequest<'_>,
    ) -> Result<secret_memory::SecretBytes, ClientError> {
        // A request is sent once: one that may have been carried out is never repeated.
        if self.connection.as_ref().is_some_and(Client::is_stale) {
            self.connection = None;
        }
        let AuditDaemon { socket, expected, suite, identity } = &*self.daemon;
        let client = match &mut self.connection {
            Some(client) => client,
            none => none.insert(Client::connect(socket, *suite, identity, expected, TIMEOUT)?),
        };
        let reply = client.call(request);
        if reply.is_err() {
            self.connection = None;
        }
        reply
    }
}

fn unavailable(error: &ClientError) -> Fault {
    let text = format!(
        "the audit trail can't be written ({error}), so nothing was done; check that daemon-audit \
         runs (`sesame status`)"
    );
    Fault::new(FaultKind::AuditUnavailable, text)
}

/// Whoever has something to record has an installation: its trail was there once.
fn without_trail() -> Fault {
    let text = "daemon-audit has no trail, so nothing was done; restore the trail from an export, \
                and restart the daemons";
    Fault::new(FaultKind::AuditUnavailable, text)
}
