//! `sesame down`: ends the daemons of a session, audit last, so that the others' end is recorded.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipc::Credentials;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use site_config::{Daemon, LayoutKind, Peers};

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// How long a daemon may take to end.
const WITHIN: Duration = Duration::from_secs(20);

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let layout = &context.site.layout;
    if layout.kind() == LayoutKind::System {
        let text =
            "this system's daemons are services: systemctl stop cicada sesame-secrets sesame-audit";
        return Err(Failure::new(Code::USAGE, text));
    }
    let peers = Peers::load(layout.peers_file())?;
    let mut text = String::new();
    let mut stopped = Vec::new();
    for daemon in [Daemon::Cicada, Daemon::Secrets, Daemon::Audit] {
        let Some(peer) = peers.find_daemon(daemon) else { continue };
        let name = daemon.as_str();
        if stop(&layout.socket(daemon), peer.uid, name)? {
            text.push_str(&format!("{name} has stopped.\n"));
            stopped.push(name);
        } else {
            text.push_str(&format!("{name} was not running.\n"));
        }
    }
    output.result(&text, json!({ "stopped": stopped }))
}

/// The kernel says whose socket it is; no file of process ids could be stale.
fn stop(socket: &Path, uid: u32, name: &str) -> Result<bool, Failure> {
    let Ok(stream) = UnixStream::connect(socket) else { return Ok(false) };
    let failed =
        |reason: String| Failure::new(Code::FAILED, format!("cannot stop {name}: {reason}"));
    let server = Credentials::of(&stream).map_err(|error| failed(error.to_string()))?;
    drop(stream);
    if server.uid != uid || server.pid <= 1 {
        return Err(failed(format!("its socket belongs to uid {}", server.uid)));
    }
    let pid = Pid::from_raw(server.pid);
    kill(pid, Signal::SIGTERM).map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + WITHIN;
    while kill(pid, None).is_ok() && UnixStream::connect(socket).is_ok() {
        if Instant::now() > deadline {
            return Err(failed(format!("process {pid} does not end")));
        }
        sleep(Duration::from_millis(10));
    }
    Ok(true)
}
