//! `sesame up`: the daemons as children of an ordinary user's session.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Uid;
use serde_json::json;
use site_config::{Daemon, Layout, LayoutKind, Peers};

use crate::commands::provision;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// How long a daemon may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let layout = &context.site.layout;
    if layout.kind() == LayoutKind::System {
        let text = "this system's daemons are services: systemctl start sesame-secrets";
        return Err(Failure::new(Code::USAGE, text));
    }
    provision::for_session(layout)?;
    raise_locked_memory_limit();
    let mut text = String::new();
    let mut started = Vec::new();
    let mut daemons = vec![Daemon::Audit, Daemon::Secrets];
    daemons.extend(layout.cicada_config().exists().then_some(Daemon::Cicada));
    for daemon in daemons {
        let name = daemon.as_str();
        if UnixStream::connect(layout.socket(daemon)).is_ok() {
            text.push_str(&format!("{name} is running already.\n"));
            continue;
        }
        start(layout, daemon)?;
        text.push_str(&format!("{name} is ready.\n"));
        started.push(name);
    }
    output.result(&text, json!({ "started": started }))
}

/// Secret memory counts as locked memory: as the units do, ask for 64 MiB. Without the privilege to
/// raise the hard limit the soft one goes as far as it may.
fn raise_locked_memory_limit() {
    const WANTED: u64 = 64 << 20;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK) else { return };
    if soft < WANTED && setrlimit(Resource::RLIMIT_MEMLOCK, WANTED, hard.max(WANTED)).is_err() {
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, hard.min(WANTED).max(soft), hard);
    }
}

fn start(layout: &Layout, daemon: Daemon) -> Result<(), Failure> {
    let name = daemon.as_str();
    let log_path = layout.operator_state()?.join(format!("{name}.log"));
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(|error| cannot(name, &error))?;
    let log_start = log.metadata().map_or(0, |metadata| metadata.len());
    let (notify, notify_path) =
        notify_socket(layout, daemon).map_err(|error| cannot(name, &error))?;
    let mut command = Command::new(binary(name)?);
    match layout.kind() {
        LayoutKind::Dir => command.arg("--dir").args(layout.audit_state().parent()),
        _ => command.arg("--session"),
    };
    // Without root, an empty network takes a user namespace, in which peers can't be told apart.
    let own = Uid::effective().as_raw();
    if Peers::load(layout.peers_file())?.iter().all(|peer| peer.uid == own) {
        command.arg("--single-user");
    }
    // A group of its own: ^C at the prompt is not meant for it.
    let spawned = command
        .env("NOTIFY_SOCKET", &notify_path)
        .env_remove("CREDENTIALS_DIRECTORY")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn();
    let mut child = spawned.map_err(|error| cannot(name, &error))?;
    let ready = wait_until_ready(&notify, &mut child);
    let _ = fs::remove_file(&notify_path);
    match ready {
        Ok(()) => Ok(()),
        Err(reason) => {
            let _ = child.kill();
            let said = said_since(&log_path, log_start);
            let text = format!("{name} did not start ({reason}): {said}");
            Err(Failure::new(Code::UNREACHABLE, text))
        }
    }
}

/// A socket on which the daemon says READY=1 (sd_notify(3)).
fn notify_socket(layout: &Layout, daemon: Daemon) -> io::Result<(UnixDatagram, PathBuf)> {
    let path = layout.socket(daemon).with_file_name("notify");
    let _ = fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok((socket, path))
}

fn wait_until_ready(notify: &UnixDatagram, child: &mut Child) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut message = [0; 256];
    while Instant::now() < deadline {
        if let Ok(length) = notify.recv(&mut message)
            && message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
        {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(status.to_string());
        }
    }
    Err(format!("not ready within {} s", READY_WITHIN.as_secs()))
}

/// What the daemon wrote to its log this time.
fn said_since(log: &Path, start: u64) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut text = String::new();
    if let Ok(mut file) = File::open(log) {
        let _ = file.seek(SeekFrom::Start(start));
        let _ = file.take(4096).read_to_string(&mut text);
    }
    let text = text.trim();
    if text.is_empty() { format!("see {}", log.display()) } else { text.to_owned() }
}

/// The daemon beside this program, or where a package puts it. Never from PATH.
fn binary(name: &str) -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().map_err(|error| cannot(name, &error))?;
    let directory = here.parent().unwrap_or(Path::new("/"));
    let places = [directory.join(name), directory.join("../libexec/sesame").join(name)];
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let text = format!("there is no {name} beside {}", here.display());
        Failure::new(Code::UNREACHABLE, text)
    })
}

fn cannot(name: &str, error: &io::Error) -> Failure {
    Failure::new(Code::FAILED, format!("cannot start {name}: {error}"))
}
