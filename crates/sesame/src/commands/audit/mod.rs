//! `sesame audit …`: one file a command.

mod cosign;
mod export;
mod head;
mod key;
mod pins;
mod prove;
mod seal;
mod tail;
mod verify;
mod verify_proof;
mod witness;

use std::path::PathBuf;

use crate::cli::Audit;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

/// Runs the command that was asked for, on the installation in `dir` if it needs one.
pub fn run(dir: Option<PathBuf>, output: &Output, command: Audit) -> Result<(), Failure> {
    // On another machine there is nothing but this program: what only reads files needs no site.
    let context = || Context::load(dir.clone());
    match command {
        Audit::Tail { lines } => tail::run(&context()?, output, lines),
        Audit::Head => head::run(&context()?, output),
        Audit::Seal => seal::run(&context()?, output),
        Audit::Verify(arguments) => verify::run(context, output, &arguments),
        Audit::Export(arguments) => export::run(&context()?, output, &arguments),
        Audit::Key => key::show(&context()?, output),
        Audit::RotateKey => key::rotate(&context()?, output),
        Audit::Prove(arguments) => prove::run(context, output, &arguments),
        Audit::VerifyProof(arguments) => verify_proof::run(output, &arguments),
        Audit::Witness { name } => witness::run(dir, output, &name),
        Audit::Cosign { directory, key } => cosign::run(dir, output, &directory, key.as_deref()),
    }
}
