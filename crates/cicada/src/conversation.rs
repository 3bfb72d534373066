//! One program at the other end of the socket: a state machine that never blocks.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipc::Credentials;
use ipc::pool::{Connection, End, Wait};
use secret_memory::SecretBytes;
use site_config::{CicadaOperation, Grants};

use crate::error::{Code, Refused};
use crate::framing::{Scanner, is_white_space};
use crate::reply::Reply;
use crate::shares::{Shares, Unfinished};

/// Bytes that one read takes at most: nearly every request is whole then.
pub const CHUNK_BYTES: usize = 16_384;
/// From the first to the last byte of a request, and for taking a reply.
const WITHIN: Duration = Duration::from_secs(5);
/// Between two requests.
const IDLE: Duration = Duration::from_secs(300);

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
    /// Whoever may pull the brake must not have to wait for those whom it is to stop; but for as long as
    /// something else is asked, they wait like everybody.
    is_preferred: bool,
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

    /// Whoever has no rule is told so, whatever it has to say.
    fn first_wait(&self) -> Wait {
        if self.caller.grants.is_empty() { Wait::Writable } else { Wait::Readable }
    }

    fn is_preferred(&self) -> bool {
        self.is_preferred
    }
}

impl Conversation {
    /// With a program that has just connected.
    #[must_use]
    pub fn new(stream: UnixStream, caller: Caller, shares: &Arc<Shares>) -> Self {
        let unfinished = Unfinished::new(shares, caller.credentials.uid);
        let is_preferred = may_lock(&caller);
        Self {
            stream,
            caller,
            is_preferred,
            inbox: SecretBytes::new(),
            scanner: Scanner::default(),
            unfinished,
            outbox: None,
            sent: 0,
            closing: false,
            deadline: Instant::now() + IDLE,
        }
    }

    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
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
        is_lock: impl FnOnce(&[u8]) -> bool,
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
            Ok(Some(length)) if self.is_preferred && !is_lock(&self.inbox.expose()[..length]) => {
                // For another thread.
                self.is_preferred = false;
                return Ok(Wait::Writable);
            }
            Ok(Some(length)) => {
                self.is_preferred = may_lock(&self.caller);
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
        // The answer to the request before comes first, and is worth more.
        if self.outbox.is_none() {
            self.say(Reply::error(error));
        }
    }

    fn say(&mut self, reply: Reply) {
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
        if self.inbox.is_empty() {
            self.deadline = Instant::now() + IDLE;
        }
        Ok(Wait::Readable)
    }
}

fn may_lock(caller: &Caller) -> bool {
    caller.grants.on(None).contains(CicadaOperation::Lock)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::UNFINISHED_BYTES_PER_UID;
    use std::cell::RefCell;

    struct Talk {
        program: UnixStream,
        conversation: Conversation,
    }

    fn talk_of(uid: u32, shares: &Arc<Shares>) -> Talk {
        let (program, stream) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        program.set_nonblocking(true).unwrap();
        let caller = Caller { credentials: Credentials { uid, pid: 1 }, grants: Grants::default() };
        let conversation = Conversation::new(stream, caller, shares);
        Talk { program, conversation }
    }

    fn talk() -> Talk {
        talk_of(1, &Arc::default())
    }

    impl Talk {
        /// Sends, goes on for as long as there is something to do at once, and returns the requests.
        fn send(&mut self, bytes: &[u8]) -> (Vec<String>, Result<Wait, End>) {
            self.program.write_all(bytes).unwrap();
            let requests = RefCell::new(Vec::new());
            let mut chunk = vec![0; CHUNK_BYTES];
            for _ in 0..1000 {
                let before = requests.borrow().len();
                let step = self.conversation.advance(
                    &mut chunk,
                    |_| false,
                    |_, request| {
                        requests.borrow_mut().push(String::from_utf8(request.to_vec()).unwrap());
                        Reply::Public(b"{}".to_vec())
                    },
                );
                let stuck = requests.borrow().len() == before && step.is_ok();
                if step.is_err() || (stuck && !self.has_more()) {
                    return (requests.take(), step);
                }
            }
            panic!("it never ends");
        }

        fn has_more(&self) -> bool {
            use std::os::fd::AsFd;
            let fd = self.conversation.stream.as_fd();
            let mut fds = [nix::poll::PollFd::new(fd, nix::poll::PollFlags::POLLIN)];
            nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO).unwrap() > 0
        }

        fn heard(&mut self) -> String {
            let mut text = String::new();
            let _ = self.program.read_to_string(&mut text);
            text
        }
    }

    #[test]
    fn requests_need_no_delimiter_and_are_answered_in_order() {
        let mut talk = talk();
        let (requests, _) = talk.send(b" \n{\"a\":1}{\"b\":2}\t{\"c\":\"}\"} {\"d\":");
        assert_eq!(requests, [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":"}"}"#]);
        let (requests, _) = talk.send(b"4} ");
        assert_eq!(requests, [r#"{"d":4}"#]);
        assert_eq!(talk.heard(), "{}{}{}{}");
        assert!(talk.conversation.inbox.is_empty());
    }

    #[test]
    fn one_step_answers_one_request() {
        let mut talk = talk();
        talk.program.write_all(b"{}{}{}").unwrap();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut answered = 0;
        let step = talk.conversation.advance(
            &mut chunk,
            |_| false,
            |_, _| {
                answered += 1;
                Reply::Public(b"{}".to_vec())
            },
        );
        assert_eq!((answered, step.unwrap()), (1, Wait::Writable));
        assert!(chunk.iter().all(|byte| *byte == 0), "what was read stays in the scratch buffer");
    }

    #[test]
    fn bytes_that_are_no_object_are_answered_once_and_end_the_connection() {
        let mut talk = talk();
        let (requests, step) = talk.send(b"GET / HTTP/1.1\r\n\r\n");
        assert!(requests.is_empty() && matches!(step, Err(End::Closed)));
        assert!(talk.heard().starts_with(r#"{"error":{"code":"bad_request""#));
    }

    #[test]
    fn dribbling_buys_no_time() {
        let mut talk = talk();
        talk.send(b"  ").1.unwrap();
        let idle = talk.conversation.deadline;
        talk.send(b"{").1.unwrap();
        let first = talk.conversation.deadline;
        assert!(first < idle && first <= Instant::now() + WITHIN);
        for _ in 0..3 {
            talk.send(b" ").1.unwrap();
            assert_eq!(talk.conversation.deadline, first);
        }
        talk.send(b"}").1.unwrap();
        assert!(talk.conversation.deadline > first);
    }

    #[test]
    fn one_uid_cannot_fill_the_memory_with_unfinished_requests() {
        let shares = Arc::default();
        let beginning = [b"{\"a\":\"".as_slice(), &vec![b'x'; 60_000]].concat();
        let mut talks: Vec<Talk> = Vec::new();
        let refused = loop {
            let mut talk = talk_of(7, &shares);
            // A socket takes only so much at once.
            let mut step = Ok(Wait::Readable);
            for part in beginning.chunks(CHUNK_BYTES) {
                step = talk.send(part).1;
                if step.is_err() {
                    break;
                }
            }
            match step {
                Ok(_) => talks.push(talk),
                Err(_) => break talk.heard(),
            }
            assert!(talks.len() < 100, "nothing was refused");
        };
        assert!(refused.starts_with(r#"{"error":{"code":"busy""#), "{refused}");
        assert_eq!(talks.len(), UNFINISHED_BYTES_PER_UID / beginning.len());
        let mut other = talk_of(8, &shares);
        assert_eq!(other.send(b"{\"a\":").1.unwrap(), Wait::Readable);
        drop((talks, other));
        assert!(shares.is_empty(), "what was given up is free again");
    }
}
