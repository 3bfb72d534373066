//! Keys, made once: by root for the system (`sesame provision`), or by `sesame up`.
//!
//! A key that is there is used and never made again; peers.toml comes last, so that an interrupted
//! run can be repeated.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ipc::Identity;
use nix::unistd::{Uid, User};
use serde_json::json;
use site_config::durable::{create_new_atomically, write_atomically};
use site_config::{Daemon, Environment, Layout, PeerName, Peers, Role};

use crate::exit::{Code, Failure};
use crate::output::Output;

/// `sesame provision`: the system's keys. Cicada's too, when it has a user; also later.
pub fn run(output: &Output) -> Result<(), Failure> {
    let layout = Layout::system(&Environment::of_process());
    let cicada = User::from_name(Daemon::Cicada.as_str()).ok().flatten();
    let cicada = cicada.map(|user| user.uid.as_raw());
    if layout.peers_file().exists() {
        return add_cicada(&layout, cicada, output);
    }
    let audit = user("sesame-audit")?;
    let secrets = user("sesame-secrets")?;
    directory(Path::new("/etc/pds"), 0o755)?;
    directory(Path::new("/etc/pds/keys"), 0o700)?;
    let mut peers = vec![
        daemon_peer(&layout, Daemon::Audit, audit)?,
        daemon_peer(&layout, Daemon::Secrets, secrets)?,
    ];
    if let Some(uid) = cicada {
        peers.push(daemon_peer(&layout, Daemon::Cicada, uid)?);
    }
    write_peers(&layout, peers)?;
    let text = "The daemons' keys are made. Operators run `sesame key`, and root adds them with \
                `sesame peer add`.\n";
    output.result(text, json!({ "peers": layout.peers_file().display().to_string() }))
}

/// A host that was provisioned before cicada was installed.
fn add_cicada(layout: &Layout, uid: Option<u32>, output: &Output) -> Result<(), Failure> {
    let path = layout.peers_file();
    let mut peers = Peers::load(path)?;
    let Some(uid) = uid.filter(|_| peers.find_daemon(Daemon::Cicada).is_none()) else {
        let text = format!("{} exists, and lacks nobody; nothing was made", path.display());
        return Err(Failure::new(Code::EXISTS, text));
    };
    let failed = |error: String| Failure::new(Code::FAILED, error);
    let peer = daemon_peer(layout, Daemon::Cicada, uid)?;
    peers.add(peer).map_err(|error| failed(error.to_string()))?;
    write_atomically(path, peers.render().as_bytes(), 0o644)
        .map_err(|error| storage(path, &error))?;
    let text = "Cicada's key is made. Restart daemon-audit, so that it takes notice: systemctl \
                restart sesame-audit\n";
    output.result(text, json!({ "peers": path.display().to_string() }))
}

/// What `sesame up` needs: directories, keys, and peers.toml. A session has cicada when it has a
/// cicada.toml.
pub fn for_session(layout: &Layout) -> Result<(), Failure> {
    let operator_key = layout.operator_key()?;
    let mut directories =
        vec![layout.audit_state(), layout.secrets_state(), layout.operator_state()?];
    directories.extend(operator_key.parent());
    directories.extend(layout.config_file().parent());
    for path in directories {
        directory(path, 0o700)?;
    }
    let cicada = layout.cicada_config().exists();
    if cicada {
        directory(layout.state(Daemon::Cicada), 0o700)?;
    }
    let all = [Daemon::Audit, Daemon::Secrets, Daemon::Cicada];
    for daemon in all.into_iter().filter(|daemon| cicada || *daemon != Daemon::Cicada) {
        if let Some(parent) = layout.socket(daemon).parent() {
            directory(parent, 0o700)?;
        }
    }
    let uid = Uid::effective().as_raw();
    if layout.peers_file().exists() {
        let mut peers = Peers::load(layout.peers_file())?;
        if cicada && peers.find_daemon(Daemon::Cicada).is_none() {
            refuse_while_running(layout)?;
            let added = peers.add(daemon_peer(layout, Daemon::Cicada, uid)?);
            added.map_err(|error| Failure::new(Code::FAILED, error.to_string()))?;
            write_atomically(layout.peers_file(), peers.render().as_bytes(), 0o644)
                .map_err(|error| storage(layout.peers_file(), &error))?;
        }
        return Ok(());
    }
    let mut peers = vec![
        daemon_peer(layout, Daemon::Audit, uid)?,
        daemon_peer(layout, Daemon::Secrets, uid)?,
        site_config::Peer {
            name: name("operator")?,
            role: Role::Operator,
            uid,
            key: *load_or_make(operator_key)?.public(),
        },
    ];
    if cicada {
        peers.push(daemon_peer(layout, Daemon::Cicada, uid)?);
    }
    write_peers(layout, peers)
}

/// daemon-audit reads peers.toml at its start, and would refuse a cicada that it doesn't know.
fn refuse_while_running(layout: &Layout) -> Result<(), Failure> {
    if UnixStream::connect(layout.audit_socket()).is_err() {
        return Ok(());
    }
    let text = "cicada.toml is new, and daemon-audit, which runs already, learns of cicada when it \
                starts; nothing was started. Run `sesame down`, and then `sesame up`";
    Err(Failure::new(Code::UNREACHABLE, text))
}

fn daemon_peer(layout: &Layout, daemon: Daemon, uid: u32) -> Result<site_config::Peer, Failure> {
    let key = *load_or_make(&layout.daemon_key(daemon))?.public();
    Ok(site_config::Peer { name: name(daemon.as_str())?, role: Role::from(daemon), uid, key })
}

fn write_peers(layout: &Layout, peers: Vec<site_config::Peer>) -> Result<(), Failure> {
    let peers = Peers::new(peers).map_err(|error| Failure::new(Code::FAILED, error.to_string()))?;
    create_new_atomically(layout.peers_file(), peers.render().as_bytes(), 0o644)
        .map_err(|error| storage(layout.peers_file(), &error))
}

/// The key in `path`; a new one, durable before it is used, when there is none.
pub fn load_or_make(path: &Path) -> Result<Identity, Failure> {
    match Identity::load(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        loaded => return loaded.map_err(|error| storage(path, &error)),
    }
    if let Some(parent) = path.parent() {
        directory(parent, 0o700)?;
    }
    let identity = Identity::generate().map_err(|error| storage(path, &error))?;
    create_new_atomically(path, identity.private().expose(), 0o600)
        .map_err(|error| storage(path, &error))?;
    Ok(identity)
}

/// Makes a directory that is not there; one that is there stays as it is.
fn directory(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| storage(parent, &error))?;
    }
    DirBuilder::new().mode(mode).create(path).map_err(|error| storage(path, &error))
}

fn user(name: &str) -> Result<u32, Failure> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => {
            let text = format!("there is no user {name}; install sysusers.d/sesame.conf first");
            Err(Failure::new(Code::CONFIG, text))
        }
    }
}

fn name(text: &str) -> Result<PeerName, Failure> {
    PeerName::try_from(text).map_err(|error| Failure::new(Code::FAILED, error.to_string()))
}

fn storage(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::STORAGE, format!("cannot use {}: {error}", path.display()))
}

/// A public key as peers.toml writes it.
pub fn hex(key: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(key)
}

/// The reverse of [`hex`].
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
