//! A connection: one request out, one JSON object back, without a delimiter.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use secret_memory::SecretBytes;

use crate::error::ClientError;

/// Size of a request, in bytes, above which cicada refuses it.
pub const MAX_REQUEST_BYTES: usize = 65536;

/// Size of a reply, in bytes, above which this client gives up.
pub const MAX_REPLY_BYTES: usize = 1 << 20;

/// Bytes that one read takes at most; most replies fit.
const CHUNK_BYTES: usize = 8192;

pub struct Connection {
    stream: UnixStream,
    timeout: Duration,
    /// False once a request and its reply may have come apart: a late reply must not be taken for the
    /// answer to the next request.
    in_step: bool,
}

impl Connection {
    pub fn open(socket: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable { socket: socket.to_owned(), source };
        Ok(Self::over(UnixStream::connect(socket).map_err(unreachable)?, timeout))
    }

    pub fn over(stream: UnixStream, timeout: Duration) -> Self {
        Self { stream, timeout, in_step: true }
    }

    /// Sends `request` and waits for the reply, both within the time limit.
    ///
    /// # Errors
    /// [`ClientError`]; but for `Closed` nothing more can be sent afterwards.
    pub fn exchange(&mut self, request: &[u8]) -> Result<SecretBytes, ClientError> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(ClientError::Closed);
        }
        let deadline = Instant::now() + self.timeout;
        let sent = self.send(request, deadline);
        // Cicada closes the connection of a peer that it does not serve without reading a request; what
        // it said before that is still there to be read.
        let reply = match (self.receive(deadline), sent) {
            (Ok(reply), _) => reply,
            (Err(ClientError::Io(_)), Err(error)) | (Err(error), _) => return Err(error),
        };
        self.in_step = true;
        Ok(reply)
    }

    /// Lets nothing more be sent.
    pub fn close(&mut self) {
        self.in_step = false;
    }

    fn send(&mut self, mut rest: &[u8], deadline: Instant) -> Result<(), ClientError> {
        while !rest.is_empty() {
            let left = time_left(deadline)?;
            self.stream.set_write_timeout(Some(left)).map_err(ClientError::Io)?;
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(timed(error)),
            }
        }
        Ok(())
    }

    /// Reads until the object is whole; a byte after it is an answer that nobody asked for.
    fn receive(&mut self, deadline: Instant) -> Result<SecretBytes, ClientError> {
        let mut reply = SecretBytes::new();
        let mut scan = ObjectEnd::default();
        loop {
            let start = reply.len();
            if start == MAX_REPLY_BYTES {
                return Err(ClientError::Protocol("a reply has more than 1 MiB"));
            }
            reply.resize((start + CHUNK_BYTES).min(MAX_REPLY_BYTES))?;
            let left = time_left(deadline)?;
            self.stream.set_read_timeout(Some(left)).map_err(ClientError::Io)?;
            let read = match self.stream.read(&mut reply.expose_mut()[start..]) {
                Ok(0) => return Err(ClientError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(timed(error)),
            };
            reply.truncate(start + read);
            match scan.push(&reply.expose()[start..])? {
                Some(0) => return Ok(reply),
                Some(_) => return Err(ClientError::Protocol("more than one reply came")),
                None => {}
            }
        }
    }
}

fn time_left(deadline: Instant) -> Result<Duration, ClientError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timed_out = || ClientError::Io(io::ErrorKind::TimedOut.into());
    if left.is_zero() { Err(timed_out()) } else { Ok(left) }
}

/// A socket whose time limit has passed says EAGAIN (socket(7), SO_RCVTIMEO).
fn timed(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::WouldBlock => ClientError::Io(io::ErrorKind::TimedOut.into()),
        _ => ClientError::Io(error),
    }
}

/// Finds the end of a JSON object (RFC 8259) by its braces, without looking into it any further.
#[derive(Default)]
struct ObjectEnd {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl ObjectEnd {
    /// Takes the next bytes; when the object ends among them, how many there are after it.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<usize>, ClientError> {
        for (index, &byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'{' => self.depth += 1,
                _ if self.depth == 0 => {
                    return Err(ClientError::Protocol("the reply is no JSON object"));
                }
                b'"' => self.in_string = true,
                b'}' => self.depth -= 1,
                _ => {}
            }
            if self.depth == 0 {
                return Ok(Some(bytes.len() - index - 1));
            }
        }
        Ok(None)
    }
}
