//! `sesame share …`: one file a command.

mod split;
mod verify;

use crate::cli::Share;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(context: &Context, output: &Output, command: Share) -> Result<(), Failure> {
    match command {
        Share::Split(arguments) => split::run(context, output, &arguments),
        Share::Verify { profile, share_stdin } => {
            verify::run(context, output, profile.as_deref(), share_stdin)
        }
    }
}
