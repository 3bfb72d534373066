//! `sesame cicada identity …`: one file a command.

mod backup;
mod create;
mod list;
mod public_key;
mod restore;
mod revoke;
mod rotate;
mod show;

use cicada_client::Client;

use crate::cli::Identity;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

/// Runs the command that was asked for. Each connects when everything else is in order.
pub fn run(
    context: &Context,
    connect: impl FnOnce() -> Result<Client, Failure>,
    output: &Output,
    command: Identity,
) -> Result<(), Failure> {
    match command {
        Identity::Create { name } => create::run(connect()?, output, &name),
        Identity::List => list::run(connect()?, output),
        Identity::Show(arguments) => show::run(connect()?, output, &arguments),
        Identity::Rotate { name, grace } => rotate::run(connect()?, output, &name, grace),
        Identity::Revoke { name, yes } => revoke::run(connect, output, &name, yes),
        Identity::Backup { name, file } => backup::run(connect, output, &name, &file),
        Identity::Restore(arguments) => restore::run(context, connect, output, &arguments),
    }
}
