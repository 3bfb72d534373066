//! One program at the other end of the socket: a state machine that never blocks.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipc::Credentials;
use ipc::pool::{Connection, End, Wait};
use secret_memory::SecretBytes;
use site_config::Grants;

use crate::error::{Code, Refused};
use crate::framing::{Scanner, is_white_space};
use crate::reply::Reply;

/// Bytes that one read takes at most: nearly every request is whole then.
pub const CHUNK_BYTES: usize = 16_384;
/// From the first to the last byte of a request, and for taking a reply.
const WITHIN: Duration = Duration::from_secs(5);
/// Between two requests.
const IDLE: Duration = Duration::from_secs(300);
/// Bytes of unfinished requests that the programs of one uid may have lying here.
const UNFINISHED_BYTES_PER_UID: usize = 256 << 10;
/// Bytes of unfinished requests in all.
const UNFINISHED_BYTES: usize = 1 << 20;

/// Who asks, and what it may do.
pub struct Caller {
    /// What the kernel says of it.
    pub credentials: Credentials,
    /// What cicada.toml says of it.
    pub grants: Grants,
}

/// A connection.
pub struct Conversation {
    stream: UnixStream,
    caller: Caller,
    /// The beginning of a request; empty between two.
    inbox: SecretBytes,
    scanner: Scanner,
    unfinished: Unfinished,
    outbox: Option<Reply>,
    sent: usize,
    /// Nothing more is read: what came can't be understood.
    closing: bool,
    deadline: Instant,
}

impl Connection for Conversation {
    fn stream(&self) -> &UnixStream {
        &self.stream
    }

    fn credentials(&self) -> Credentials {
        self.caller.credentials
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn expired(&self) -> End {
        End::Closed
    }
}

impl Conversation {
    /// With a program that has some rule in cicada.toml.
    #[must_use]
    pub fn new(stream: UnixStream, caller: Caller, shares: &Arc<Shares>) -> Self {
        let unfinished =
            Unfinished { shares: Arc::clone(shares), uid: caller.credentials.uid, bytes: 0 };
        Self {
            stream,
            caller,
            inbox: SecretBytes::new(),
            scanner: Scanner::default(),
            unfinished,
            outbox: None,
            sent: 0,
            closing: false,
            deadline: Instant::now() + IDLE,
        }
    }

    /// Goes one step on: sends what is left; or else answers one request, reading first unless a whole
    /// one is there already. One only, so that a program which sends many at once has its turns among
    /// the others.
    ///
    /// # Errors
    /// [`End`] when the connection is over.
    pub fn advance(
        &mut self,
        chunk: &mut [u8],
        answer: impl FnOnce(&Caller, &[u8]) -> Reply,
    ) -> Result<Wait, End> {
        if self.flush()? == Wait::Writable {
            return Ok(Wait::Writable);
        }
        if self.closing {
            return Err(End::Closed);
        }
        let mut end = self.scanner.end(self.inbox.expose());
        if end == Ok(None) {
            if !self.read(chunk)? {
                return Ok(Wait::Readable);
            }
            end = self.scanner.end(self.inbox.expose());
        }
        match end {
            Ok(Some(length)) => {
                let reply = answer(&self.caller, &self.inbox.expose()[..length]);
                self.say(reply);
                self.drop_request(length)?;
                self.deadline = Instant::now() + IDLE;
            }
            Ok(None) => {}
            Err(broken) => self.give_up(&broken.into()),
        }
        if !self.closing && !self.unfinished.holds(self.inbox.len()) {
            let text = "too much of unfinished requests at once; nothing of this one was done";
            self.give_up(&Refused::new(Code::Busy, text));
        }
        if !self.inbox.is_empty() || self.outbox.is_some() {
            // Dribbling bytes doesn't buy time, neither does not reading.
            self.deadline = self.deadline.min(Instant::now() + WITHIN);
        }
        // At once, unless others wait: there may be another whole request.
        let more = !self.inbox.is_empty() && matches!(end, Ok(Some(_)));
        match self.flush()? {
            Wait::Readable if self.closing => Err(End::Closed),
            Wait::Readable if more => Ok(Wait::Writable),
            wait => Ok(wait),
        }
    }

    /// Whether anything came.
    fn read(&mut self, chunk: &mut [u8]) -> Result<bool, End> {
        let read = match self.stream.read(chunk) {
            Ok(0) => return Err(End::Closed),
            Ok(read) => read,
            Err(error) if retry(&error) => return Ok(false),
            Err(_) => return Err(End::Closed),
        };
        let mut came = &chunk[..read];
        if self.inbox.is_empty() {
            came = skip_white_space(came);
        }
        let kept = self.inbox.extend_from_slice(came);
        wipe(&mut chunk[..read]);
        if kept.is_err() {
            self.give_up(&Refused::out_of_memory());
        }
        Ok(true)
    }

    /// Takes a request, and the white space behind it, from the front of the inbox.
    fn drop_request(&mut self, length: usize) -> Result<(), End> {
        let rest = skip_white_space(&self.inbox.expose()[length..]);
        let rest = SecretBytes::copy_of(rest).map_err(|_| End::Closed)?;
        self.inbox = rest;
        self.scanner = Scanner::default();
        Ok(())
    }

    fn give_up(&mut self, error: &Refused) {
        self.inbox = SecretBytes::new();
        self.closing = true;
        self.say(Reply::error(error));
    }

    fn say(&mut self, reply: Reply) {
        // A reply that is still going out comes first; two never wait, because each step begins with
        // a flush.
        self.outbox = Some(reply);
        self.sent = 0;
    }

    fn flush(&mut self) -> Result<Wait, End> {
        let Some(reply) = &self.outbox else { return Ok(Wait::Readable) };
        let bytes = reply.bytes();
        while self.sent < bytes.len() {
            match self.stream.write(&bytes[self.sent..]) {
                Ok(0) => return Err(End::Closed),
                Ok(written) => self.sent += written,
                Err(error) if retry(&error) => return Ok(Wait::Writable),
                Err(_) => return Err(End::Closed),
            }
        }
        self.outbox = None;
        Ok(Wait::Readable)
    }
}

/// How much of unfinished requests lies here, and whose it is: secret memory is small, and one uid
/// must not have all of it.
#[derive(Default)]
pub struct Shares(Mutex<HashMap<u32, usize>>);

/// What one connection has of it.
struct Unfinished {
    shares: Arc<Shares>,
    uid: u32,
    bytes: usize,
}

impl Unfinished {
    /// Takes as much as is needed now, if there is so much.
    fn holds(&mut self, bytes: usize) -> bool {
        if bytes == self.bytes {
            return true;
        }
        let mut shares = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others: usize = shares.values().sum::<usize>() - self.bytes;
        let own = shares.entry(self.uid).or_default();
        let own_others = *own - self.bytes;
        let fits =
            own_others + bytes <= UNFINISHED_BYTES_PER_UID && others + bytes <= UNFINISHED_BYTES;
        self.bytes = if fits { bytes } else { 0 };
        *own = own_others + self.bytes;
        if *own == 0 {
            shares.remove(&self.uid);
        }
        fits
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.holds(0);
    }
}

fn skip_white_space(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_white_space(*byte));
    &bytes[start.unwrap_or(bytes.len())..]
}

/// The chunk is in secret memory; what was in it must not be there longer than it has to.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
}

/// `EINTR` counts as "not now" too: the descriptor is armed again and reports at once.
fn retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
