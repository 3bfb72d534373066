//! What a connection may ask for, and the threads that answer.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use ipc::pool::{Bounds, Connection, End, Protocol, Wait};
use ipc::trail::Trail;
use ipc::{Credentials, Refusal, RefusalReason};
use secret_memory::SecretBytes;
use site_config::CicadaOperation;
use site_config::names::IdentityName;

use crate::conversation::{CHUNK_BYTES, Caller, Conversation};
use crate::error::{Code, Refused};
use crate::handlers;
use crate::reply::Reply;
use crate::request::Request;
use crate::service::{Cicada, Worker, refusal};

/// One uid has less than half of the connections, and some are kept for those who may lock.
const BOUNDS: Bounds = Bounds { connections: 512, connections_per_uid: 240, preferred: 32 };

impl Protocol for Cicada {
    type Worker = Worker;
    type Connection = Conversation;

    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn worker(&self) -> Worker {
        let chunk = SecretBytes::zeroed(CHUNK_BYTES).expect("an arena with room for every thread");
        Worker { trail: Trail::new(Arc::clone(&self.audit)), chunk }
    }

    /// One may be recording a lock while the other lets somebody in.
    fn preferred_workers(&self) -> usize {
        2
    }

    /// A program that no rule is about gets a place as well: it is told so once that is recorded.
    fn open(&self, stream: UnixStream, credentials: Credentials) -> Conversation {
        let groups = hardening::peer::groups(&stream).unwrap_or_default();
        let grants = self.config.grants(credentials.uid, &groups);
        Conversation::new(stream, Caller { credentials, grants }, &self.shares)
    }

    fn turn_away(&self, conversation: &Conversation) {
        let text = "too many connections at once; close some, or try again";
        say(conversation.stream(), &Refused::new(Code::Busy, text));
    }

    fn advance(&self, worker: &mut Worker, conversation: &mut Conversation) -> Result<Wait, End> {
        let Worker { trail, chunk } = worker;
        if conversation.caller().grants.is_empty() {
            return Err(self.send_away(trail, conversation));
        }
        let is_lock = |request: &[u8]| matches!(Request::parse(request), Ok(Request::Lock));
        conversation.advance(chunk.expose_mut(), is_lock, |caller, request| {
            self.answer(trail, caller, request)
        })
    }

    fn refused(&self, worker: &mut Worker, refused: &Refusal) {
        let record = refusal(refused.credentials, refused.reason.as_str());
        self.record_refused(&mut worker.trail, refused.reason.as_str(), record);
    }
}

impl Cicada {
    /// One request, one reply.
    fn answer(&self, trail: &mut Trail, caller: &Caller, request: &[u8]) -> Reply {
        let answered = Request::parse(request).and_then(|request| {
            self.permit(trail, caller, request.operation(), request.identity())?;
            // How the daemon is can be told before the first `sesame init`, too; and a lock waits for
            // nothing.
            if !matches!(request, Request::Status | Request::Lock) {
                self.record_start(trail)?;
            }
            handlers::handle(self, trail, caller, request)
        });
        answered.unwrap_or_else(|refused| Reply::error(&refused))
    }

    /// What is not in cicada.toml is refused, whether or not the identity exists.
    pub fn permit(
        &self,
        trail: &mut Trail,
        caller: &Caller,
        operation: CicadaOperation,
        identity: Option<&IdentityName>,
    ) -> Result<(), Refused> {
        if caller.grants.on(identity).contains(operation) {
            return Ok(());
        }
        let mut record = refusal(caller.credentials, "no rule in cicada.toml");
        record.detail.insert("request".to_owned(), operation.to_string());
        if let Some(identity) = identity {
            record.detail.insert("identity".to_owned(), identity.to_string());
        }
        let noted = self.record_refused(trail, operation.as_str(), record);
        let about = identity.map(|identity| format!(" on {identity}")).unwrap_or_default();
        let text = format!(
            "no rule in cicada.toml gives uid {} {operation}{about}; {noted}",
            caller.credentials.uid
        );
        Err(Refused::new(Code::Denied, text))
    }

    /// The one answer to a program that no rule is about.
    fn send_away(&self, trail: &mut Trail, conversation: &Conversation) -> End {
        let credentials = conversation.caller().credentials;
        let reason = RefusalReason::NoRule.as_str();
        let noted = self.record_refused(trail, reason, refusal(credentials, reason));
        let uid = credentials.uid;
        let text =
            format!("neither uid {uid} nor a group of it has a rule in cicada.toml; {noted}");
        say(conversation.stream(), &Refused::new(Code::Denied, text));
        End::Closed
    }
}

/// The one thing that is said to a program which is not let in; if it doesn't fit, then nothing.
fn say(mut stream: &UnixStream, refused: &Refused) {
    let _ = stream.write(Reply::error(refused).bytes());
}
