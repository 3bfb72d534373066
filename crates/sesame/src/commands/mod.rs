//! One file a command.

mod audit;
mod cicada;
mod completions;
mod config;
mod down;
mod factor;
mod init;
mod key;
mod lock;
mod media;
mod peer;
mod policy;
mod posture;
mod profile;
mod provision;
mod run;
mod secret;
mod share;
mod status;
mod unlock;
mod up;
mod vault;
mod wipe;

use crate::cli::{Cli, Command, Key};
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

/// Runs the command that was asked for.
pub fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    let dir = cli.dir;
    let context = || Context::load(dir.clone());
    match cli.command {
        Command::Init(arguments) => init::run(&context()?, output, arguments),
        Command::Wipe { i_understand } => wipe::run(&context()?, output, i_understand),
        Command::Up => up::run(&context()?, output),
        Command::Down => down::run(&context()?, output),
        Command::Unlock(arguments) => unlock::run(&context()?, output, &arguments),
        Command::Lock { profile } => lock::run(&context()?, output, profile.as_deref()),
        Command::Status { security_posture: false } => status::run(&context()?, output),
        Command::Status { security_posture: true } => posture::run(&context()?, output),
        Command::Profile(command) => profile::run(&context()?, output, command),
        Command::Factor(command) => factor::run(context, output, command),
        Command::Share(command) => share::run(&context()?, output, command),
        Command::Secret(command) => secret::run(&context()?, output, command),
        Command::Run(arguments) => run::run(&context()?, arguments),
        Command::Vault(command) => vault::run(&context()?, output, command),
        Command::Audit(command) => audit::run(dir, output, command),
        Command::Cicada(arguments) => cicada::run(dir, output, arguments),
        Command::Media(command) => media::run(output, command),
        Command::Config(command) => config::run(dir, output, &command),
        Command::Policy(command) => policy::run(&context()?, output, command),
        Command::Key { command: None } => key::show(&context()?, output),
        Command::Key { command: Some(Key::Rotate { profile, giving }) } => {
            key::rotate(&context()?, output, profile.as_deref(), &giving)
        }
        Command::Peer(command) => peer::run(&context()?, output, command),
        Command::Provision => provision::run(output),
        Command::Completions { shell } => completions::shell(output, shell),
        Command::Man { directory } => completions::man(output, &directory),
    }
}
