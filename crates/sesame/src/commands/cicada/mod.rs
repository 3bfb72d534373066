//! `sesame cicada …`: one file a command. They talk to cicada as every other program does, over its
//! socket; what they may do is what cicada.toml gives this user.

mod identity;
mod init;
mod lock;
mod rules;
mod status;
mod unlock;
mod unlock_key;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use cicada_client::{Client, DEFAULT_TIMEOUT};
use ipc::Credentials;
use site_config::{Daemon, Layout, LayoutKind, Peers};

use crate::cli::{Cicada, CicadaCommand};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// Runs the command that was asked for, in the installation in `dir` or in the default place.
pub fn run(dir: Option<PathBuf>, output: &Output, arguments: Cicada) -> Result<(), Failure> {
    let Cicada { socket, command } = arguments;
    if matches!(command, CicadaCommand::Rules) {
        return rules::run(&Layout::choose(dir)?, output);
    }
    let context = Context::load(dir)?;
    let socket = socket.unwrap_or_else(|| context.site.layout.cicada_socket());
    let connect = || connect(&context.site.layout, &socket);
    match command {
        CicadaCommand::Init(arguments) => init::run(&context, connect()?, output, &arguments),
        CicadaCommand::Unlock(arguments) => unlock::run(&context, connect()?, output, &arguments),
        CicadaCommand::Lock => lock::run(connect()?, output),
        CicadaCommand::Status => status::run(connect()?, output),
        CicadaCommand::Identity(command) => identity::run(&context, connect, output, command),
        CicadaCommand::Rules => Ok(()),
    }
}

/// Whether a file is standard input or output.
fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// A connection to the daemon whose uid peers.toml names, and to nobody else: it may be given the unlock
/// key.
fn connect(layout: &Layout, socket: &Path) -> Result<Client, Failure> {
    let closed = |error: io::Error| unreachable(layout, socket, &error);
    let stream = UnixStream::connect(socket).map_err(closed)?;
    let found = Credentials::of(&stream).map_err(closed)?.uid;
    let peers = Peers::load(layout.peers_file())?;
    match peers.find_daemon(Daemon::Cicada) {
        Some(peer) if peer.uid == found => Ok(Client::over(stream, DEFAULT_TIMEOUT)),
        Some(peer) => {
            let (socket, expected) = (socket.display(), peer.uid);
            let text = format!(
                "{socket} is served by uid {found}, and cicada is uid {expected}; nothing was sent"
            );
            Err(Failure::new(Code::REFUSED, text))
        }
        None => {
            let peers = layout.peers_file().display();
            let text = format!("{peers} has no cicada; nothing was sent. Run `sesame provision`");
            Err(Failure::new(Code::REFUSED, text))
        }
    }
}

/// Which door is closed, and who opens it.
fn unreachable(layout: &Layout, socket: &Path, error: &io::Error) -> Failure {
    let config = layout.cicada_config().display();
    let (code, next) = match (error.kind(), layout.kind()) {
        (io::ErrorKind::PermissionDenied, _) => {
            (Code::REFUSED, "it belongs to a group that you are not in".to_owned())
        }
        (_, LayoutKind::System) => {
            (Code::UNREACHABLE, "start it with `systemctl start cicada`".to_owned())
        }
        (_, LayoutKind::Session | LayoutKind::Dir) => {
            (Code::UNREACHABLE, format!("`sesame up` starts it where there is a {config}"))
        }
    };
    let socket = socket.display();
    Failure::new(
        code,
        format!("cannot reach cicada at {socket} ({error}); nothing was done: {next}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_is_not_ours_is_a_refusal_and_one_that_is_not_there_is_not() {
        let dir = Layout::dir(Path::new("/d")).unwrap();
        let of = |layout, kind: io::ErrorKind| {
            unreachable(layout, Path::new("/d/run/cicada/cicada.sock"), &kind.into())
        };
        let failure = of(&dir, io::ErrorKind::NotFound);
        assert_eq!(failure.code, Code::UNREACHABLE);
        assert!(failure.message.contains("/d/cicada.toml"), "{}", failure.message);
        assert_eq!(of(&dir, io::ErrorKind::PermissionDenied).code, Code::REFUSED);
        let system = Layout::system(&site_config::Environment::default());
        let failure = of(&system, io::ErrorKind::ConnectionRefused);
        assert!(failure.message.contains("systemctl start cicada"), "{}", failure.message);
    }
}
