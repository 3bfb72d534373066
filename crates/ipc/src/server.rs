//! The server's end of Noise: requests that come through a handshake, answered by a [`Service`].

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use secret_memory::SecretBytes;
use site_config::Role;

use crate::connection::NoiseConnection;
use crate::identity::{Credentials, Identity, Peer};
use crate::pool::{Bounds, End, Protocol, Wait};
use crate::refusal::{Refusal, RefusalReason};
use crate::suite::Suite;

/// Bytes that one read takes at most.
const CHUNK_BYTES: usize = 4096;

/// Bounds on what peers can take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many connections.
    pub connections: Bounds,
    /// From connecting to the end of the handshake, and from the first to the last byte of a frame.
    pub handshake: Duration,
    /// Between two requests of a person's program.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Bounds { connections: 256, connections_per_uid: 96, preferred: 0 },
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(300),
        }
    }
}

impl Limits {
    /// Daemons keep their connections; a person's program that says nothing is let go.
    pub(crate) fn idle_for(&self, role: Role) -> Duration {
        match role {
            Role::DaemonAudit | Role::DaemonSecrets | Role::Cicada => {
                Duration::from_secs(365 * 86400)
            }
            Role::Operator | Role::Custodian | Role::Auditor => self.idle,
        }
    }
}

/// What a daemon does with its peers.
pub trait Service: Send + Sync + 'static {
    /// State of each thread, such as a connection to another daemon.
    type Worker;

    /// Called once on each thread before the gate opens.
    fn worker(&self) -> Self::Worker;

    /// Whether a client may speak this suite.
    fn accepts(&self, suite: Suite) -> bool;

    /// Who holds `key`, if it may come from this uid.
    ///
    /// # Errors
    /// Why not.
    fn peer(&self, key: &[u8; 32], credentials: Credentials) -> Result<Peer, RefusalReason>;

    /// A connection was refused; to be recorded.
    fn refused(&self, worker: &mut Self::Worker, refusal: &Refusal);

    /// Answers one request; `None` closes the connection (bytes that are no request).
    fn handle(&self, worker: &mut Self::Worker, peer: &Peer, request: &[u8])
    -> Option<SecretBytes>;
}

/// Noise IK in front of a service.
pub struct Noise<S> {
    /// What answers.
    pub service: S,
    pub(crate) identity: Arc<Identity>,
    pub(crate) limits: Limits,
}

/// State of each thread: the service's, and a buffer.
pub struct NoiseWorker<W> {
    /// The service's.
    pub service: W,
    /// Scratch for one read.
    pub(crate) chunk: Vec<u8>,
}

impl<S> Noise<S> {
    /// With this key, and the default limits.
    #[must_use]
    pub fn new(service: S, identity: Arc<Identity>) -> Self {
        Self { service, identity, limits: Limits::default() }
    }

    /// With other limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

impl<S: Service> Protocol for Noise<S> {
    type Worker = NoiseWorker<S::Worker>;
    type Connection = NoiseConnection;

    fn bounds(&self) -> Bounds {
        self.limits.connections
    }

    fn worker(&self) -> Self::Worker {
        NoiseWorker { service: self.service.worker(), chunk: vec![0; CHUNK_BYTES] }
    }

    fn open(&self, stream: UnixStream, credentials: Credentials) -> NoiseConnection {
        NoiseConnection::new(stream, credentials, &self.limits)
    }

    fn turn_away(&self, _: &NoiseConnection) {}

    fn advance(
        &self,
        worker: &mut Self::Worker,
        connection: &mut NoiseConnection,
    ) -> Result<Wait, End> {
        connection.advance(self, worker)
    }

    fn refused(&self, worker: &mut Self::Worker, refusal: &Refusal) {
        self.service.refused(&mut worker.service, refusal);
    }
}
