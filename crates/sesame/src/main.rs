//! `sesame`: the command line of Sesame.
//!
//! One file a command in [`commands`]; what they share: the arguments ([`cli`]), the connection
//! ([`connect`]), factors ([`collect`]), passwords ([`password`]) and the terminal ([`prompt`]), shares
//! on paper ([`share_text`]), what is printed ([`output`], [`render`]) and the exit codes ([`exit`]).

#![forbid(unsafe_code)]

mod cli;
mod collect;
mod commands;
mod connect;
mod exit;
mod output;
mod password;
mod progress;
mod prompt;
mod render;
mod share_text;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
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
    // What `run` starts gets our environment, and may ask a TPM for reasons of its own.
    if !matches!(cli.command, Command::Run(_)) {
        // libtss2 writes its errors in the middle of our own, and at `debug` the keys of its sessions.
        hardening::environment::set("TSS2_LOG", "all+NONE");
    }
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
