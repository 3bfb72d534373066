//! `sesame vault …`: one file a command.

mod backup;
mod restore;

use crate::cli::Vault;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(context: &Context, output: &Output, command: Vault) -> Result<(), Failure> {
    match command {
        Vault::Backup { file, profile } => backup::run(context, output, &file, profile.as_deref()),
        Vault::Restore(arguments) => restore::run(context, output, &arguments),
    }
}
