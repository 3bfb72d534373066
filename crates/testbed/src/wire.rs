//! The protocol by hand: connections of any uid, with any bytes.

use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipc::frame::FrameBuffer;
use ipc::session::{Initiator, RESPONSE_BYTES, Session};
use ipc::{Identity, Suite};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use secret_memory::SecretBytes;
use site_config::Daemon;

use crate::binary;
use crate::host::Host;
use crate::users::group_of;

/// Connections that one `socket-tool` hands over; the kernel takes 253 in one message.
const BATCH: usize = 100;

/// Connections of another user, and the process that made them.
pub struct Foreign {
    /// In the order in which they were made.
    pub streams: Vec<UnixStream>,
    /// The process, which has ended.
    pub pid: u32,
}

impl Host {
    /// A connection of `uid` on which nothing was said yet.
    #[must_use]
    pub fn stream_of(&self, uid: u32, daemon: Daemon) -> UnixStream {
        self.streams_of(uid, daemon, 1).streams.remove(0)
    }

    /// Several. The kernel's word about them is `uid`, whoever uses them.
    ///
    /// # Panics
    /// When `socket-tool` can't connect.
    #[must_use]
    pub fn streams_of(&self, uid: u32, daemon: Daemon, count: usize) -> Foreign {
        let mut foreign = Foreign { streams: Vec::new(), pid: 0 };
        while foreign.streams.len() < count {
            let batch = BATCH.min(count - foreign.streams.len());
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            let mut tool = Command::new(binary("socket-tool"))
                .arg(self.layout.socket(daemon))
                .arg(batch.to_string())
                .stdin(Stdio::from(OwnedFd::from(theirs)))
                .uid(uid)
                .gid(group_of(uid))
                .spawn()
                .expect("socket-tool starts");
            foreign.pid = tool.id();
            foreign.streams.extend(receive(&ours));
            assert!(tool.wait().is_ok_and(|status| status.success()), "socket-tool connects");
        }
        for stream in &foreign.streams {
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        }
        foreign
    }

    /// The bytes that a client with this key sends first, and what it awaits the response with.
    ///
    /// # Panics
    /// When the key of the daemon is none.
    #[must_use]
    pub fn hello(&self, daemon: Daemon, identity: &Identity, suite: Suite) -> (Initiator, Vec<u8>) {
        let server = self.expected(daemon).key;
        let (initiator, request) = Initiator::start(suite, identity, &server).expect("a key");
        let mut hello = suite.preamble().to_vec();
        hello.extend_from_slice(&request);
        (initiator, hello)
    }
}

/// The streams in one message of `socket-tool`.
pub(crate) fn receive(socket: &UnixStream) -> Vec<UnixStream> {
    let mut space = [const { std::mem::MaybeUninit::uninit() }; 4096];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut parts, &mut ancillary, flags).expect("a message");
    let mut streams = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            streams.extend(fds.map(UnixStream::from));
        }
    }
    streams
}

/// An established connection that its holder may misuse.
pub struct Raw {
    /// The socket.
    pub stream: UnixStream,
    session: Session,
    inbox: FrameBuffer,
}

impl Raw {
    /// Shakes hands on a stream.
    ///
    /// # Errors
    /// `UnexpectedEof` when the daemon closes without a word, `InvalidData` when its word is wrong.
    pub fn establish(
        mut stream: UnixStream,
        (initiator, hello): (Initiator, Vec<u8>),
    ) -> io::Result<Self> {
        stream.write_all(&hello)?;
        let mut response = [0; RESPONSE_BYTES];
        stream.read_exact(&mut response)?;
        let session = initiator.finish(&response).map_err(io::Error::other)?;
        Ok(Self { stream, session, inbox: FrameBuffer::default() })
    }

    /// A request as the bytes of its frame, not sent.
    ///
    /// # Panics
    /// When it is too large for a frame.
    #[must_use]
    pub fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        self.session.seal(plaintext, &mut frame).expect("it fits");
        frame
    }

    /// The next reply.
    ///
    /// # Errors
    /// What reading reported; `UnexpectedEof` when the daemon closed.
    pub fn receive(&mut self) -> io::Result<SecretBytes> {
        let mut chunk = [0; 8192];
        loop {
            if let Some(frame) = self.inbox.next_frame().map_err(io::Error::other)? {
                return self.session.open(frame).map_err(io::Error::other);
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.inbox.push(&chunk[..read]),
            }
        }
    }
}

/// Every byte that still comes until the other end closes; an error when it doesn't.
///
/// # Errors
/// What reading reported: `WouldBlock` when nobody closed in time.
pub fn rest_of(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // Bytes that we sent and nobody read were thrown away with the connection.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(bytes),
        read => read.map(|_| bytes),
    }
}
