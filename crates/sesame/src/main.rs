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
use crate::output::Output;

#[global_allocator]
static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    match commands::run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}
