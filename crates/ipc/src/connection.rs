//! One connection at the server's end: a state machine that never blocks.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::frame::FrameBuffer;
use crate::identity::{Credentials, Identity, Peer};
use crate::pool::{Connection, End, Wait};
use crate::refusal::{Refusal, RefusalReason};
use crate::server::{Limits, Noise, NoiseWorker, Service};
use crate::session::{REQUEST_BYTES, Responder, Session};
use crate::suite::{PREAMBLE_BYTES, Suite};

const HELLO_BYTES: usize = PREAMBLE_BYTES + REQUEST_BYTES;

enum Phase {
    Handshake,
    Established(Box<(Session, Peer)>),
}

/// A peer that speaks Noise, or is about to.
pub struct NoiseConnection {
    stream: UnixStream,
    credentials: Credentials,
    phase: Phase,
    inbox: FrameBuffer,
    outbox: Vec<u8>,
    sent: usize,
    deadline: Instant,
}

impl Connection for NoiseConnection {
    fn stream(&self) -> &UnixStream {
        &self.stream
    }

    fn credentials(&self) -> Credentials {
        self.credentials
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    /// A handshake that never ended is a refusal.
    fn expired(&self) -> End {
        match self.phase {
            Phase::Handshake => self.refuse(None, RefusalReason::TimedOut),
            Phase::Established(_) => End::Closed,
        }
    }
}

impl NoiseConnection {
    pub(crate) fn new(stream: UnixStream, credentials: Credentials, limits: &Limits) -> Self {
        Self {
            stream,
            credentials,
            phase: Phase::Handshake,
            inbox: FrameBuffer::default(),
            outbox: Vec::new(),
            sent: 0,
            deadline: Instant::now() + limits.handshake,
        }
    }

    /// Goes one step on: sends what is left; or else answers one request with what `service` says to
    /// it, reading first unless a whole one is there already. One only, so that a client which sends
    /// many at once has its turns among the others.
    pub(crate) fn advance<S: Service>(
        &mut self,
        Noise { service, identity, limits }: &Noise<S>,
        NoiseWorker { service: worker, chunk }: &mut NoiseWorker<S::Worker>,
    ) -> Result<Wait, End> {
        // A peer that doesn't read its replies gets no more of them: flush before anything else.
        if self.flush()? == Wait::Writable {
            return Ok(Wait::Writable);
        }
        if !self.has_request() && !self.read(chunk)? {
            return Ok(Wait::Readable);
        }
        if matches!(self.phase, Phase::Handshake) {
            let Some(session) = self.shake_hands(identity, service)? else { return self.flush() };
            self.phase = Phase::Established(Box::new(session));
        }
        let Phase::Established(established) = &mut self.phase else { return Ok(Wait::Readable) };
        let (session, peer) = established.as_mut();
        let mut answered = false;
        if let Some(frame) = self.inbox.next_frame().map_err(|_| End::Closed)? {
            let request = session.open(frame).map_err(|_| End::Closed)?;
            let reply = service.handle(worker, peer, request.expose()).ok_or(End::Closed)?;
            drop(request);
            session.seal(reply.expose(), &mut self.outbox).map_err(|_| End::Closed)?;
            answered = true;
        }
        // Dribbling bytes doesn't buy time: a started frame must end within the handshake's limit.
        let now = Instant::now();
        self.deadline = if self.inbox.pending() == 0 {
            now + limits.idle_for(peer.role)
        } else if answered {
            now + limits.handshake
        } else {
            self.deadline.min(now + limits.handshake)
        };
        match self.flush()? {
            // At once, unless others wait.
            Wait::Readable if self.has_request() => Ok(Wait::Writable),
            wait => Ok(wait),
        }
    }

    fn has_request(&self) -> bool {
        matches!(self.phase, Phase::Established(_)) && self.inbox.has_frame()
    }

    /// Whether anything came.
    fn read(&mut self, chunk: &mut [u8]) -> Result<bool, End> {
        match self.stream.read(chunk) {
            Ok(0) if matches!(self.phase, Phase::Handshake) && self.inbox.pending() > 0 => {
                Err(self.refuse(None, RefusalReason::BadHandshake))
            }
            Ok(0) => Err(End::Closed),
            Ok(read) => {
                self.inbox.push(&chunk[..read]);
                Ok(true)
            }
            Err(error) if retry(&error) => Ok(false),
            Err(_) => Err(End::Closed),
        }
    }

    /// Once the whole hello is there: the session, or nothing yet, or a refusal without a word.
    fn shake_hands<S: Service>(
        &mut self,
        identity: &Identity,
        service: &S,
    ) -> Result<Option<(Session, Peer)>, End> {
        if self.inbox.pending() < HELLO_BYTES {
            return Ok(None);
        }
        let bad = |connection: &Self| connection.refuse(None, RefusalReason::BadHandshake);
        let preamble = self.inbox.take::<PREAMBLE_BYTES>().ok_or(End::Closed)?;
        let request = self.inbox.take::<REQUEST_BYTES>().ok_or(End::Closed)?;
        let suite = Suite::from_preamble(&preamble).ok_or_else(|| bad(self))?;
        if !service.accepts(suite) {
            return Err(self.refuse(None, RefusalReason::WeakSuite));
        }
        let responder = Responder::read(suite, identity, &request).map_err(|_| bad(self))?;
        let key = responder.client;
        let peer = service
            .peer(&key, self.credentials)
            .map_err(|reason| self.refuse(Some(key), reason))?;
        let (session, response) = responder.accept().map_err(|_| bad(self))?;
        self.outbox.extend_from_slice(&response);
        Ok(Some((session, peer)))
    }

    fn refuse(&self, key: Option<[u8; 32]>, reason: RefusalReason) -> End {
        End::Refused(Refusal { credentials: self.credentials, key, reason })
    }

    fn flush(&mut self) -> Result<Wait, End> {
        while self.sent < self.outbox.len() {
            match self.stream.write(&self.outbox[self.sent..]) {
                Ok(0) => return Err(End::Closed),
                Ok(written) => self.sent += written,
                Err(error) if retry(&error) => return Ok(Wait::Writable),
                Err(_) => return Err(End::Closed),
            }
        }
        self.outbox.clear();
        self.sent = 0;
        Ok(Wait::Readable)
    }
}

/// `EINTR` counts as "not now" too: the descriptor is armed again and reports at once.
fn retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
