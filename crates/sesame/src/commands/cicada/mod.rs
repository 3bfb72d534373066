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
use std::path::{Path, PathBuf};

use cicada_client::{Client, ClientError};
use site_config::{Layout, LayoutKind};

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

fn connect(layout: &Layout, socket: &Path) -> Result<Client, Failure> {
    Client::connect(socket).map_err(|error| match error {
        ClientError::Unreachable { source, .. } => unreachable(layout, socket, &source),
        error => error.into(),
    })
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
