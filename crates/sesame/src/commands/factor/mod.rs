//! `sesame factor …`: one file a command.

mod approve;
mod cancel;
mod enroll;
mod list;
mod policy;
mod rename;
mod revoke;
mod test;

use crate::cli::Factor;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

/// Runs the command that was asked for, on an installation if it needs one.
pub fn run(
    context: impl FnOnce() -> Result<Context, Failure>,
    output: &Output,
    command: Factor,
) -> Result<(), Failure> {
    match command {
        Factor::List { available: true, devices, .. } => list::available(output, &devices),
        Factor::List { profile, available: false, .. } => {
            list::run(&context()?, output, profile.as_deref())
        }
        Factor::Enroll(arguments) => enroll::run(&context()?, output, &arguments),
        Factor::Revoke { factor, profile, giving } => {
            revoke::run(&context()?, output, &factor, profile.as_deref(), &giving)
        }
        Factor::Rename { factor, label, profile, giving } => {
            rename::run(&context()?, output, &factor, &label, profile.as_deref(), &giving)
        }
        Factor::Test { factor, profile, giving } => {
            test::run(&context()?, output, &factor, profile.as_deref(), &giving)
        }
        Factor::Policy(arguments) => policy::run(&context()?, output, &arguments),
        Factor::Cancel { profile, restore } => {
            cancel::run(&context()?, output, profile.as_deref(), restore.as_deref())
        }
        Factor::Approve(arguments) => approve::run(&context()?, output, &arguments),
    }
}
