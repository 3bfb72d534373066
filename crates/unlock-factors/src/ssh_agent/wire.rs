//! Requests and answers on the agent's socket (draft-miller-ssh-agent §3).

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use secret_memory::SecretBytes;

use super::SshAgentError;
use super::key::{Algorithm, PublicKey};

/// `SSH_AGENTC_REQUEST_IDENTITIES`.
pub(super) const REQUEST_IDENTITIES: u8 = 11;
/// `SSH_AGENTC_SIGN_REQUEST`.
const SIGN_REQUEST: u8 = 13;
/// `SSH_AGENT_RSA_SHA2_512`, a flag: without it, RSA signs by SHA-1.
const RSA_SHA2_512: u32 = 4;

/// The longest message, in bytes; OpenSSH's limit.
pub(super) const MAX_MESSAGE: usize = 256 << 10;
/// The longest answer with a signature: RSA's are up to 2 KiB.
pub(super) const MAX_SIGNATURE_MESSAGE: usize = 4 << 10;

/// The request to sign `data`.
pub(super) fn sign_request(key: &PublicKey, data: &[u8]) -> Vec<u8> {
    let flags = match key.algorithm {
        Algorithm::Ed25519 => 0,
        Algorithm::Rsa { .. } => RSA_SHA2_512,
    };
    let mut request = vec![SIGN_REQUEST];
    put_string(&mut request, &key.blob);
    put_string(&mut request, data);
    request.extend_from_slice(&flags.to_be_bytes());
    request
}

/// Sends `request` on a new connection; gives the answer without its length.
///
/// The answer is never in ordinary memory: it may be a signature that nobody else shall have.
pub(super) fn ask(
    socket: &Path,
    request: &[u8],
    limit: usize,
    time: Duration,
) -> Result<SecretBytes, SshAgentError> {
    let late = SshAgentError::Silent { seconds: time.as_secs() };
    let deadline = Instant::now() + time;
    let mut stream = connect(socket, time)?;
    let mut message = Vec::with_capacity(4 + request.len());
    put_string(&mut message, request);
    let exchanged = stream.write_all(&message).and_then(|()| receive(&mut stream, limit, deadline));
    exchanged.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => late,
        ErrorKind::InvalidData => SshAgentError::Malformed("a message of an impossible length"),
        ErrorKind::OutOfMemory => SshAgentError::Memory(secret_memory::OutOfSecretMemory),
        _ => SshAgentError::Broken(error),
    })
}

/// Connects within `time`, which is also how long a send may take later.
pub(super) fn connect(socket: &Path, time: Duration) -> Result<UnixStream, SshAgentError> {
    open(socket, time).map_err(|error| match error.kind() {
        // The queue of an agent that accepts nobody stayed full.
        ErrorKind::WouldBlock => SshAgentError::Silent { seconds: time.as_secs() },
        _ => SshAgentError::NoAgent { socket: socket.to_owned(), source: error },
    })
}

/// By hand, for the standard library connects without a limit of time.
fn open(path: &Path, time: Duration) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let (family, kind) = (AddressFamily::Unix, SockType::Stream);
    let stream = UnixStream::from(socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?);
    stream.set_write_timeout(Some(time))?;
    socket::connect(stream.as_raw_fd(), &address)?;
    Ok(stream)
}

/// Reads a length and so many bytes; memory grows as they come, not as they are announced.
fn receive(stream: &mut UnixStream, limit: usize, deadline: Instant) -> io::Result<SecretBytes> {
    let mut length = [0; 4];
    read_exact(stream, &mut length, deadline)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > limit {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut reply = SecretBytes::new();
    while reply.len() < length {
        let start = reply.len();
        reply.resize((start + 4096).min(length)).map_err(|_| ErrorKind::OutOfMemory)?;
        read_exact(stream, &mut reply.expose_mut()[start..], deadline)?;
    }
    Ok(reply)
}

fn read_exact(stream: &mut UnixStream, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => buffer = &mut buffer[read..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Appends a string of RFC 4251 §5: its length in four bytes, and its bytes.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("no request is long");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Takes the data types of RFC 4251 §5 off the front of a message.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn uint32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.uint32()? as usize;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}
