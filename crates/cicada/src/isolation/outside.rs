//! Root about the daemon: what its process, its socket and the machine's packet filter show.

use std::io::{BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc::Credentials;
use serde::Deserialize;

use super::common;
use super::mounts::Mounts;
use super::network;
use super::process::{Process, field};
use super::socket::{self, Owner};
use super::{IsolationCheck, Judge, Judgement, Place, Status, cgroup, nftables};

/// A reply about the isolation is far below this.
const REPLY_BYTES: u64 = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A daemon that answers on a socket.
#[derive(Debug)]
pub struct Daemon {
    /// Its process id, as the kernel noted it when the daemon began to listen.
    pub pid: i32,
    stream: UnixStream,
}

/// Why the daemon can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Nobody listens, or this user may not connect.
    #[error(
        "cannot connect to {path} ({source}); nothing was verified. Start cicada, and run this as root"
    )]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The listener is in another PID namespace, or gone.
    #[error(
        "who listens on {path} can't be told from here; nothing was verified. Run this on the host, \
         outside of containers"
    )]
    Unknown {
        /// The socket.
        path: PathBuf,
    },
}

impl Daemon {
    /// Connects to a socket and asks the kernel who listens there.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn find(socket: &Path) -> Result<Self, DaemonError> {
        let path = || socket.to_owned();
        let connected = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            let pid = Credentials::of(&stream)?.pid;
            Ok(Self { pid, stream })
        });
        match connected {
            Ok(daemon) if daemon.pid > 0 => Ok(daemon),
            Ok(_) => Err(DaemonError::Unknown { path: path() }),
            Err(source) => Err(DaemonError::Unreachable { path: path(), source }),
        }
    }

    /// What the daemon says about itself; a refusal is a failed check.
    fn own_view(&self) -> Vec<IsolationCheck> {
        self.ask().unwrap_or_else(|found| {
            vec![IsolationCheck { check: "view".to_owned(), status: Status::Fail, found }]
        })
    }

    fn ask(&self) -> Result<Vec<IsolationCheck>, String> {
        let failed = |error| format!("the daemon does not answer ({error})");
        (&self.stream).write_all(br#"{"op":"status"}"#).map_err(failed)?;
        // A reply has no delimiter; it ends where its JSON value does.
        let reader = BufReader::new((&self.stream).take(REPLY_BYTES));
        match serde_json::Deserializer::from_reader(reader).into_iter::<StatusReply>().next() {
            Some(Ok(StatusReply::Status { isolation })) if !isolation.is_empty() => Ok(isolation),
            Some(Ok(StatusReply::Status { .. })) => Err("the daemon says nothing of it".to_owned()),
            Some(Ok(StatusReply::Error { error })) => Err(format!(
                "the daemon answers {}; give uid 0 the operation status in cicada.toml",
                error.code
            )),
            Some(Err(error)) => Err(format!("the daemon's answer makes no sense ({error})")),
            None => Err("the daemon closed the connection".to_owned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StatusReply {
    Status { isolation: Vec<IsolationCheck> },
    Error { error: ReplyError },
}

#[derive(Deserialize)]
struct ReplyError {
    code: String,
}

/// Looks at `daemon` from outside, and asks it for its own view; the names of the checks of that view
/// begin with `inside:`.
#[must_use]
pub fn outside(place: &Place, daemon: &Daemon) -> Vec<IsolationCheck> {
    let process = Process::of(daemon.pid);
    let judge = Judge { unit: place.unit };
    let mut checks = of_process(&judge, place, &process);
    checks.extend(of_socket(&judge, place, &process));
    checks.push(of_packet_filter(&judge, &process));
    checks.extend(
        daemon
            .own_view()
            .into_iter()
            .map(|check| IsolationCheck { check: format!("inside:{}", check.check), ..check }),
    );
    checks
}

fn of_process(judge: &Judge, place: &Place, process: &Process) -> Vec<IsolationCheck> {
    let machine = Process::of(1);
    let namespace = |kind: &str| network::namespace(process.link(kind), machine.link(kind));
    let group = process.read("cgroup").and_then(|text| cgroup::directory(&text));
    let of_group = |file, look: fn(&str) -> Judgement| {
        group.clone().and_then(|group| cgroup::read(&group, file)).and_then(|text| look(&text))
    };
    let mounts = process.read("mountinfo").and_then(|text| Mounts::parse(&text));
    // How many filters were there before the daemon's own can't be told from here.
    let mut checks = common::checks(judge, place, process, 1);
    checks.extend([
        judge.of_either("network-namespace", namespace("ns/net")),
        judge.own("network-sockets", network_sockets(process, namespace("ns/net").is_ok())),
        judge.of_the_unit(
            "shared-memory",
            mounts.and_then(|mounts| shared_memory(&mounts, process)),
        ),
        judge.of_the_unit("ipc-namespace", namespace("ns/ipc")),
        judge.of_the_unit("memory-limit", of_group("memory.max", cgroup::memory)),
        judge.of_the_unit("cpu-limit", of_group("cpu.max", cgroup::cpu)),
    ]);
    checks
}

/// In a namespace of its own there must be no socket at all; in the machine's, none of the daemon's.
fn network_sockets(process: &Process, alone: bool) -> Judgement {
    let found = network::sockets(process)?;
    match alone {
        true => network::no_sockets(&found, None),
        false => network::no_sockets(&found, Some(&process.sockets()?)),
    }
}

fn shared_memory(mounts: &Mounts, process: &Process) -> Judgement {
    match std::fs::symlink_metadata(process.sees("/dev/shm")) {
        Ok(found) => mounts.shared_memory(Some(found.mode())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => mounts.shared_memory(None),
        Err(error) => Err(format!("/dev/shm can't be looked at ({error})")),
    }
}

fn of_socket(judge: &Judge, place: &Place, process: &Process) -> [IsolationCheck; 2] {
    let uid = process.read("status").and_then(|status| own_id(&status, "Uid"));
    let check = |path: &Path, mode| {
        Owner::of(path)?.expect(uid.clone()?, socket::group(&place.group)?, mode)
    };
    let directory = place.socket.parent().unwrap_or(&place.socket);
    [
        judge.of_the_unit("socket", check(&place.socket, 0o660)),
        judge.of_the_unit("socket-directory", check(directory, 0o750)),
    ]
}

/// The user's packets are dropped by uid, and by the gid of the user's own name.
fn of_packet_filter(judge: &Judge, process: &Process) -> IsolationCheck {
    let skip = |found: &str| IsolationCheck {
        check: "nftables".to_owned(),
        status: Status::Skip,
        found: found.to_owned(),
    };
    let Some(program) = nftables::program() else { return skip("nft is not installed") };
    if !judge.unit {
        return skip("loaded for the user of cicada.service only");
    }
    let judgement = || {
        let uid = process.read("status").and_then(|status| own_id(&status, "Uid"))?;
        let gid = socket::group("cicada")?;
        nftables::drops(&nftables::list(program)?, uid, gid)
    };
    judge.own("nftables", judgement())
}

fn own_id(status: &str, key: &str) -> Result<u32, String> {
    let id = field(status, key).and_then(|ids| ids.split_whitespace().next()?.parse().ok());
    id.ok_or_else(|| "the user can't be read".to_owned())
}
