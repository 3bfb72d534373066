//! cicada as its programs see it: bytes in, bytes out, as any user with any groups.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde_json::Value;
use site_config::Daemon;

use crate::binary;
use crate::host::Host;
use crate::snapshot;
use crate::wire::{receive, rest_of};

/// Every operation, as a rule of cicada.toml names them.
pub const OPERATIONS: [&str; 15] = [
    "get_key",
    "sign",
    "public_key",
    "encapsulate",
    "decapsulate",
    "identities",
    "status",
    "init",
    "unlock",
    "lock",
    "create",
    "rotate",
    "revoke",
    "backup",
    "restore",
];

/// The unlock key of [`Host::with_identities`].
pub const UNLOCK_KEY: [u8; 32] = *b"an unlock key of thirty-two byte";

/// A rule of cicada.toml; `whom` is `uid = 0`, for instance.
#[must_use]
pub fn allow(whom: &str, identity: &str, operations: &[&str]) -> String {
    format!("[[allow]]\n{whom}\nidentity = {identity:?}\noperations = {operations:?}\n")
}

/// A rule that lets this process's own user do everything.
#[must_use]
pub fn allow_me_everything() -> String {
    allow(&format!("uid = {}", Uid::effective()), "*", &OPERATIONS)
}

/// The request that makes a store, unlocks one or what else takes a key alone.
#[must_use]
pub fn with_key(operation: &str, unlock_key: &[u8; 32]) -> String {
    format!(r#"{{"op":"{operation}","unlock_key":"{}"}}"#, BASE64.encode(unlock_key))
}

/// A request about an identity that takes nothing else.
#[must_use]
pub fn about(operation: &str, identity: &str) -> String {
    format!(r#"{{"op":"{operation}","identity":"{identity}"}}"#)
}

/// The request for a signature of `data`.
#[must_use]
pub fn sign(identity: &str, data: &[u8]) -> String {
    let data = BASE64.encode(data);
    format!(r#"{{"op":"sign","identity":"{identity}","data":"{data}"}}"#)
}

/// A member of a reply that is a string.
///
/// # Panics
/// When the reply doesn't have it.
#[must_use]
#[track_caller]
pub fn text(reply: &str, member: &str) -> String {
    let value: Value = serde_json::from_str(reply).expect("a reply is JSON");
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {reply}")).to_owned()
}

/// A member of a reply that is base64.
///
/// # Panics
/// As for [`text`].
#[must_use]
#[track_caller]
pub fn bytes(reply: &str, member: &str) -> Vec<u8> {
    BASE64.decode(text(reply, member).as_bytes()).expect("base64")
}

/// The code of an error; nothing when the reply is none.
#[must_use]
pub fn code(reply: &str) -> Option<String> {
    let value: Value = serde_json::from_str(reply).ok()?;
    Some(value["error"]["code"].as_str()?.to_owned())
}

/// Waits for what a daemon does by itself, about every second.
///
/// # Panics
/// When it doesn't.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(120), "still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A program with a connection.
pub struct Program {
    /// The socket.
    pub stream: UnixStream,
    inbox: Vec<u8>,
}

impl Program {
    /// With a stream that nothing was said on yet. Reading and writing give up after a minute.
    ///
    /// # Panics
    /// When the stream is none.
    #[must_use]
    pub fn on(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Self { stream, inbox: Vec::new() }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// What writing reported.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// The next reply: one JSON object, exactly as it came.
    ///
    /// # Errors
    /// `UnexpectedEof` when the daemon closed before its end, `InvalidData` when it is no JSON.
    pub fn receive(&mut self) -> io::Result<String> {
        let mut chunk = [0; 8192];
        loop {
            if let Some(length) = first_object(&self.inbox)? {
                let reply = self.inbox.drain(..length).collect();
                return String::from_utf8(reply).map_err(io::Error::other);
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.inbox.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// A request and its reply.
    ///
    /// # Errors
    /// As for [`Program::send`] and [`Program::receive`].
    pub fn try_ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<String> {
        self.send(request)?;
        self.receive()
    }

    /// A request and its reply.
    ///
    /// # Panics
    /// When there is no reply.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> String {
        self.try_ask(request).expect("a reply")
    }

    /// Everything that still comes until the daemon closes.
    ///
    /// # Errors
    /// `WouldBlock` when it doesn't.
    pub fn rest(mut self) -> io::Result<Vec<u8>> {
        let rest = rest_of(&mut self.stream)?;
        Ok([self.inbox, rest].concat())
    }
}

/// The length of the JSON value that `bytes` begin with, once it is whole.
fn first_object(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    match values.next() {
        None => Ok(None),
        Some(Ok(_)) => Ok(Some(values.byte_offset())),
        Some(Err(error)) if error.is_eof() => Ok(None),
        Some(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

impl Host {
    /// Initialised, with a running cicada that has this configuration and no store yet.
    ///
    /// # Panics
    /// When something doesn't start.
    #[must_use]
    #[track_caller]
    pub fn with_cicada(text: &str) -> Self {
        let mut host = Self::builder().cicada(text).provision();
        host.start();
        host.init();
        host.start_cicada();
        host
    }

    /// As [`Host::with_cicada`], with a store that [`UNLOCK_KEY`] unlocks, unlocked, and these
    /// identities. The configuration must allow that to this process's user.
    ///
    /// # Panics
    /// When it is not as it should be.
    #[must_use]
    #[track_caller]
    pub fn with_identities(text: &str, identities: &[&str]) -> Self {
        let host = Self::with_cicada(text);
        let mut program = host.program();
        assert_eq!(program.ask(with_key("init", &UNLOCK_KEY)), r#"{"state":"unlocked"}"#);
        for name in identities {
            let reply = program.ask(about("create", name));
            assert_eq!(code(&reply), None, "{reply}");
        }
        host
    }

    /// Starts cicada.
    ///
    /// # Panics
    /// When it doesn't.
    #[track_caller]
    pub fn start_cicada(&mut self) {
        self.try_start(Daemon::Cicada).unwrap_or_else(|said| panic!("cicada starts: {said}"));
    }

    /// A connection of this process's own user.
    ///
    /// # Panics
    /// When there is nobody to connect to.
    #[must_use]
    #[track_caller]
    pub fn program(&self) -> Program {
        let socket = self.layout.cicada_socket();
        Program::on(UnixStream::connect(socket).expect("cicada listens"))
    }

    /// A connection of a process with this uid, primary group and supplementary groups.
    ///
    /// # Panics
    /// When `setpriv` or `socket-tool` can't do that.
    #[must_use]
    pub fn program_of(&self, uid: u32, gid: u32, groups: &[u32]) -> Program {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
        let groups: Vec<_> = groups.iter().map(u32::to_string).collect();
        command.arg(match groups.is_empty() {
            true => "--clear-groups".to_owned(),
            false => format!("--groups={}", groups.join(",")),
        });
        command.arg(binary("socket-tool")).arg(self.layout.cicada_socket()).arg("1");
        let status = command.stdin(Stdio::from(OwnedFd::from(theirs))).status();
        assert!(status.is_ok_and(|status| status.success()), "socket-tool connects");
        Program::on(receive(&ours).remove(0))
    }

    /// Lets cicada's threads connect to daemon-audit, which each does when it first has something to
    /// record. The configuration must allow this process's user to use this identity.
    ///
    /// # Panics
    /// When cicada doesn't answer.
    #[track_caller]
    pub fn warm_up(&self, identity: &str) {
        let mut programs: Vec<_> = (0..64).map(|_| self.program()).collect();
        for _ in 0..4 {
            for program in &mut programs {
                program.send(about("encapsulate", identity)).expect("cicada reads");
            }
            for program in &mut programs {
                program.receive().expect("a reply");
            }
        }
    }

    /// Stops daemon-audit, all of it: the signal is taken by one thread after the other.
    ///
    /// # Panics
    /// When it isn't running, or doesn't stop.
    #[track_caller]
    pub fn hang_audit(&self) {
        let pid = self.pid(Daemon::Audit);
        kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it runs");
        let is_stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).expect("a thread");
            stat.rsplit_once(") ").expect("stat").1.starts_with('T')
        };
        let tasks = || fs::read_dir(format!("/proc/{pid}/task")).expect("threads").flatten();
        eventually("daemon-audit is stopped", || tasks().all(is_stopped));
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it isn't there any more.
    #[track_caller]
    pub fn resume_audit(&self) {
        kill(Pid::from_raw(self.pid(Daemon::Audit)), Signal::SIGCONT).expect("it is stopped");
    }

    /// Whether nothing is in that directory but the store and identities.
    ///
    /// # Panics
    /// When there is.
    #[track_caller]
    pub fn assert_no_leftovers_of_cicada(&self) {
        for path in snapshot(&self.cicada_keys()).into_keys() {
            let known = path.ends_with("store.json")
                || path.extension().is_some_and(|extension| extension == "identity");
            assert!(known, "{}", path.display());
        }
    }

    /// The directory of the sealed files.
    #[must_use]
    pub fn cicada_keys(&self) -> PathBuf {
        self.layout.state(Daemon::Cicada).join("keys")
    }
}
