//! `sesame`: the command line of Sesame.
//!
//! One file a command in [`commands`]; what they share: the arguments ([`cli`]), the connection
//! ([`connect`]), passwords ([`password`]), what is printed ([`output`]) and the exit codes
//! ([`exit`]).

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod connect;
mod exit;
mod output;
mod password;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::exit::{Code, Failure};
use crate::output::Output;

#[global_allocator]
static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && json_is_asked_for() => {
            return Output::new(true).failure(&unparsed(&error));
        }
        Err(error) => error.exit(),
    };
    let output = Output::new(cli.json);
    match commands::run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}

/// Whether a program will read the error, although the rest of the line makes no sense.
fn json_is_asked_for() -> bool {
    std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

/// The first paragraph says what is wrong; the others are for a person.
fn unparsed(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
    Failure::new(Code::USAGE, words.join(" "))
}
