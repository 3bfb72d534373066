//! A host of Sesame for tests, the ceremony and the benchmarks: the real binaries, in a scratch
//! directory, as real users.
//!
//! As root the two daemons and the operator are three different uids, as in the field; otherwise all
//! three are whoever runs the test. Nothing is mocked.

#![forbid(unsafe_code)]

pub mod ask;
pub mod audit;
pub mod booted;
pub mod cicada;
mod command;
pub mod cut;
pub mod factors;
mod host;
pub mod hunt;
pub mod identity_file;
mod insider;
pub mod memory;
pub mod mounted;
pub mod random;
mod snapshot;
pub mod terminal;
mod trail;
mod users;
pub mod wire;

pub use command::{Outcome, Sesame};
pub use host::{Host, HostBuilder, PASSWORD};
pub use insider::ProfileKeys;
pub use snapshot::snapshot;
pub use users::Users;

use std::path::PathBuf;

/// A binary of this workspace: from `SESAME_BIN_DIR`, or from the target directory that the calling
/// test or tool was built into.
///
/// # Panics
/// When it has not been built: `cargo xtask test` builds it first.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let directory = match std::env::var_os("SESAME_BIN_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => {
            let mut directory = std::env::current_exe().expect("a process has a program");
            directory.pop();
            if directory.ends_with("deps") {
                directory.pop();
            }
            directory
        }
    };
    let path = directory.join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace`", path.display());
    path
}

/// Whether this process is root; if not, says on standard error what is left out.
#[must_use]
pub fn is_root_or_skip(what: &str) -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("skipped, for it needs root: {what}");
    }
    root
}
