//! daemon-audit: the only writer of the audit trail.
//!
//! It owns the trail's directory, answers a handful of requests (`handlers`), puts the entries of
//! all who wait on disk with one `fdatasync` ([`commit`]), and seals them with signed checkpoints
//! (`sealer`).

#![forbid(unsafe_code)]

pub mod commit;
mod handlers;
mod sealer;
mod service;
mod signing_key;
mod site;
mod store;

use std::process::ExitCode;
use std::sync::Arc;

use daemon_runtime::{Description, Options};
use ipc::Noise;
use site_config::Daemon;

use crate::service::AuditService;

/// One thread for each entry that can wait for the same `fdatasync`.
const WORKERS: usize = 40;

/// The whole process, from its arguments to its end.
#[must_use]
pub fn run() -> ExitCode {
    let description = Description { daemon: Daemon::Audit, workers: WORKERS, working_memory: 0 };
    daemon_runtime::run(&description, &Options::of_command_line(), |startup| {
        Ok(Noise::new(AuditService::open(startup)?, Arc::clone(&startup.identity)))
    })
}
