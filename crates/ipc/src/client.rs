//! The client's end: blocking, with a time limit on every wait.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use secret_memory::SecretBytes;
use serde::Serialize;

use crate::codec::{self, CodecError};
use crate::frame::{FrameBuffer, Oversized};
use crate::identity::{Credentials, Identity};
use crate::session::{Initiator, RESPONSE_BYTES, Session, SessionError};
use crate::suite::Suite;

/// Bytes that one read takes at most.
const CHUNK_BYTES: usize = 4096;

/// The daemon that a client means to reach.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its public key, from peers.toml.
    pub key: [u8; 32],
    /// Its uid, from peers.toml.
    pub uid: u32,
}

/// Why a request got no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot reach {}", .socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The errno of connect(2).
        #[source]
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("{} is served by uid {found}, and should be by uid {expected}", .socket.display())]
    WrongServer {
        /// The socket.
        socket: PathBuf,
        /// Who listens.
        found: u32,
        /// Who should.
        expected: u32,
    },
    /// The daemon closed the connection during the handshake: it does not know this key from this
    /// uid, or has another one itself.
    #[error("the daemon refused this key")]
    Refused,
    /// The connection ended or stalled in the middle.
    #[error("the connection to the daemon broke")]
    Broken(#[source] io::Error),
    /// A frame or message that cannot be.
    #[error("the daemon and this program don't understand each other")]
    Protocol,
    /// The request is larger than a frame may be.
    #[error("the request is too large")]
    TooLarge,
    /// No room in secret memory.
    #[error("out of secret memory")]
    OutOfMemory,
}

impl From<SessionError> for ClientError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Handshake => Self::Refused,
            SessionError::Decrypt => Self::Protocol,
            SessionError::TooLarge => Self::TooLarge,
            SessionError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<CodecError> for ClientError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Malformed => Self::Protocol,
            CodecError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<Oversized> for ClientError {
    fn from(_: Oversized) -> Self {
        Self::Protocol
    }
}

/// An established connection to a daemon.
pub struct Client {
    stream: UnixStream,
    session: Session,
    inbox: FrameBuffer,
    outbox: Vec<u8>,
    /// Scratch for one read.
    chunk: Vec<u8>,
}

impl Client {
    /// Connects and shakes hands; `timeout` bounds each wait, here and in [`Client::call`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn connect(
        socket: &Path,
        suite: Suite,
        identity: &Identity,
        server: &Expected,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable { socket: socket.to_owned(), source };
        let mut stream = connect(socket, timeout).map_err(unreachable)?;
        let found = Credentials::of(&stream).map_err(ClientError::Broken)?.uid;
        if found != server.uid {
            let (socket, expected) = (socket.to_owned(), server.uid);
            return Err(ClientError::WrongServer { socket, found, expected });
        }
        let (initiator, request) = Initiator::start(suite, identity, &server.key)?;
        let mut hello = suite.preamble().to_vec();
        hello.extend_from_slice(&request);
        stream.write_all(&hello).map_err(handshake_ended)?;
        let mut response = [0; RESPONSE_BYTES];
        stream.read_exact(&mut response).map_err(handshake_ended)?;
        let session = initiator.finish(&response)?;
        Ok(Self {
            stream,
            session,
            inbox: FrameBuffer::default(),
            outbox: Vec::new(),
            chunk: vec![0; CHUNK_BYTES],
        })
    }

    /// Sends a request and waits for its reply; decode that with [`codec::decode`].
    ///
    /// # Errors
    /// [`ClientError`]; except for `TooLarge` and `OutOfMemory` on the way out the connection is
    /// of no further use, and whether the request was carried out is unknown.
    pub fn call(
        &mut self,
        request: &(impl Serialize + ?Sized),
    ) -> Result<SecretBytes, ClientError> {
        self.send(request)?;
        self.receive()
    }

    /// The first half of [`Client::call`], for whoever has something else to do meanwhile.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn send(&mut self, request: &(impl Serialize + ?Sized)) -> Result<(), ClientError> {
        let message = codec::encode(request)?;
        self.outbox.clear();
        self.session.seal(message.expose(), &mut self.outbox)?;
        drop(message);
        self.stream.write_all(&self.outbox).map_err(ClientError::Broken)
    }

    /// The second half of [`Client::call`]: waits for the reply to what was sent.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn receive(&mut self) -> Result<SecretBytes, ClientError> {
        loop {
            if let Some(frame) = self.inbox.next_frame()? {
                return Ok(self.session.open(frame)?);
            }
            match self.stream.read(&mut self.chunk) {
                Ok(0) => return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => self.inbox.push(&self.chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ClientError::Broken(error)),
            }
        }
    }

    /// Whether the daemon closed the connection while it was idle (it was restarted, say).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(0))
    }
}

/// A daemon that accepts nobody must not hold whoever connects: `SO_SNDTIMEO` bounds connect(2) as well,
/// when it is set before (unix(7), socket(7)).
fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let limit = TimeVal::new(seconds, timeout.subsec_micros().into());
    setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &limit)?;
    nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn handshake_ended(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => ClientError::Refused,
        _ => ClientError::Broken(error),
    }
}
