//! cicada: post-quantum identities, in a process that has no network, no capabilities and no door but
//! one Unix socket (README, "Cicada").
//!
//! A connection is a [`conversation`]: bytes become a request by [`framing`] and [`request`], each
//! request is held against `cicada.toml` and goes to its handler in `handlers`, one file an operation,
//! and comes back as a [`reply`] or an [`error`]. Each use stands in the audit trail before its answer
//! leaves ([`record`]). What is unlocked is in the [`keyring`]; what lies on disk, in the [`store`],
//! [`sealed`]. [`isolation`] tells how confined the daemon is, from inside and from outside.

#![forbid(unsafe_code)]

mod commands;
mod conversation;
mod credential;
mod error;
pub mod framing;
mod handlers;
mod identity;
pub mod isolation;
mod keyring;
mod lifecycle;
mod protocol;
mod record;
mod reply;
pub mod request;
mod sealed;
mod service;
mod shares;
mod store;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use daemon_runtime::{Description, Options, log};
use site_config::{CicadaConfig, Daemon};

use crate::service::Cicada;

/// A request waits for its entry in the trail, and so many share one `fdatasync`. A thread that has
/// signed keeps up to 192 KiB of stack (640 KiB unoptimised).
const WORKERS: usize = 32;

/// Bytes of expanded keys, 24 KiB a version in use; with the arena it fits the usual limit of locked
/// memory, 8 MiB. Where there is more of that more is used, and where there is less they take turns.
const WORKING_MEMORY: usize = 3 << 20;

/// `sysexits.h`: only a change of configuration mends it (systemd doesn't restart on it).
const EX_CONFIG: u8 = 78;

#[derive(Debug, Parser)]
#[command(
    name = "cicada",
    version,
    about = "Post-quantum identities behind one Unix socket; started by systemd or by `sesame up`"
)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    VerifyIsolation(commands::verify_isolation::VerifyIsolation),
    SeccompProfile(commands::seccomp_profile::SeccompProfile),
}

/// The whole process, from its arguments to its end.
#[must_use]
pub fn run() -> ExitCode {
    let Arguments { options, command } = Arguments::parse();
    match command {
        Some(Command::VerifyIsolation(command)) => command.run(),
        Some(Command::SeccompProfile(command)) => command.run(),
        None => {
            let description = Description {
                daemon: Daemon::Cicada,
                workers: WORKERS,
                working_memory: WORKING_MEMORY,
            };
            // Who owns the file must be asked before a user namespace hides it.
            let config =
                options.layout().map_err(|error| log::with_causes(&error)).and_then(|layout| {
                    CicadaConfig::load(layout.cicada_config())
                        .map_err(|error| log::with_causes(&error))
                });
            match config {
                Ok(config) => daemon_runtime::run(&description, &options, |startup| {
                    Cicada::open(startup, config)
                }),
                Err(error) => {
                    log::error(error);
                    ExitCode::from(EX_CONFIG)
                }
            }
        }
    }
}
