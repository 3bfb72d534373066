//! daemon-secrets: vaults and their keys.
//!
//! Everything it does is first recorded by daemon-audit ([`ipc::trail`]); what it holds of unlocked
//! profiles lives in secret memory ([`keyring`]), and so does what was given of their factors
//! ([`collection`]); what lies on disk is in [`store`] and [`attempts`]. A factor is tried in
//! [`attempt`]; factors that suffice unlock ([`opening`]) or allow one change ([`changes`]). One
//! request, one file, in [`handlers`].

#![forbid(unsafe_code)]

mod attempt;
mod attempts;
mod backup;
mod changes;
mod collection;
mod faults;
mod handlers;
mod keyring;
mod opening;
mod record;
mod service;
mod store;
mod target;

use std::process::ExitCode;
use std::sync::Arc;

use daemon_runtime::{Description, Options};
use ipc::Noise;
use site_config::Daemon;

use crate::service::SecretsService;

#[global_allocator]
static ALLOCATOR: secret_memory::WipingAllocator = secret_memory::WipingAllocator;

/// A request waits for its entry in the trail, and so many share one `fdatasync`. Each thread costs
/// some 40 KiB.
const WORKERS: usize = 16;

/// Argon2id's blocks while a factor is tried (one at a time), with room for rounding.
const WORKING_MEMORY: usize = 20 << 20;

fn main() -> ExitCode {
    let description =
        Description { daemon: Daemon::Secrets, workers: WORKERS, working_memory: WORKING_MEMORY };
    daemon_runtime::run(&description, &Options::of_command_line(), |startup| {
        Ok(Noise::new(SecretsService::open(startup)?, Arc::clone(&startup.identity)))
    })
}
