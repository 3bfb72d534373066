//! One connection at the server's end: a state machine that never blocks.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::frame::FrameBuffer;
use crate::identity::{Credentials, Identity, Peer};
use crate::server::{Limits, Refusal, RefusalReason, Service};
use crate::session::{REQUEST_BYTES, Responder, Session};
use crate::suite::{PREAMBLE_BYTES, Suite};

const HELLO_BYTES: usize = PREAMBLE_BYTES + REQUEST_BYTES;

/// What to wait for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Readable,
    Writable,
}

/// Why a connection is over.
pub(crate) enum End {
    /// The peer closed, broke the protocol or timed out.
    Closed,
    /// It was never let in; to be recorded.
    Refused(Refusal),
}

enum Phase {
    Handshake,
    Established(Box<(Session, Peer)>),
}

pub(crate) struct Connection {
    stream: UnixStream,
    credentials: Credentials,
    phase: Phase,
    inbox: FrameBuffer,
    outbox: Vec<u8>,
    sent: usize,
    /// When the peer must have done its next step.
    pub(crate) deadline: Instant,
}

impl Connection {
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

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(crate) fn credentials(&self) -> Credentials {
        self.credentials
    }

    /// What a connection that ran out of time was: a handshake that never ended is a refusal.
    pub(crate) fn expired(&self) -> End {
        match self.phase {
            Phase::Handshake => self.refuse(None, RefusalReason::TimedOut),
            Phase::Established(_) => End::Closed,
        }
    }

    /// Goes on as far as the socket allows: sends what is left, reads what is there, answers each
    /// whole request with what `service` says to it.
    pub(crate) fn advance<S: Service>(
        &mut self,
        identity: &Identity,
        limits: &Limits,
        service: &S,
        worker: &mut S::Worker,
    ) -> Result<Wait, End> {
        // A peer that doesn't read its replies gets no more of them: flush before reading.
        if self.flush()? == Wait::Writable {
            return Ok(Wait::Writable);
        }
        let mut chunk = [0; 16 * 1024];
        let read = match self.stream.read(&mut chunk) {
            Ok(0) if matches!(self.phase, Phase::Handshake) && self.inbox.pending() > 0 => {
                return Err(self.refuse(None, RefusalReason::BadHandshake));
            }
            Ok(0) => return Err(End::Closed),
            Ok(read) => read,
            Err(error) if retry(&error) => return Ok(Wait::Readable),
            Err(_) => return Err(End::Closed),
        };
        self.inbox.push(&chunk[..read]);
        if matches!(self.phase, Phase::Handshake) {
            let Some(session) = self.shake_hands(identity, service)? else { return self.flush() };
            self.phase = Phase::Established(Box::new(session));
        }
        let Phase::Established(established) = &mut self.phase else { return Ok(Wait::Readable) };
        let (session, peer) = established.as_mut();
        let mut progressed = false;
        while let Some(frame) = self.inbox.next_frame().map_err(|_| End::Closed)? {
            let request = session.open(frame).map_err(|_| End::Closed)?;
            let reply = service.handle(worker, peer, request.expose()).ok_or(End::Closed)?;
            drop(request);
            session.seal(reply.expose(), &mut self.outbox).map_err(|_| End::Closed)?;
            progressed = true;
        }
        // Dribbling bytes doesn't buy time: a started frame must end within the handshake's limit.
        if progressed || self.inbox.pending() == 0 {
            self.deadline = Instant::now() + limits.idle_for(peer.role);
        } else {
            self.deadline = self.deadline.min(Instant::now() + limits.handshake);
        }
        self.flush()
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
