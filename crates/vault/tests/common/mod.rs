//! What every test of the vault starts from.
#![allow(dead_code)] // every test binary uses its own part of it
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

use std::path::{Path, PathBuf};
use std::process::Command;

use secret_memory::{Policy, Secret};
use vault::{Context, Keys, Vault, VaultError};

/// Sets the process up as a daemon does. Large, since tests share the arena in parallel.
pub fn setup() {
    secret_memory::init(Policy::Prefer, 64 << 20, 0).unwrap();
    vault::install_allocators().unwrap();
}

pub fn keys(seed: u8) -> Keys {
    Keys { database: Secret::copy_of(&[seed; 32]), rows: Secret::copy_of(&[seed ^ 0x80; 32]) }
}

pub fn context(profile: &str) -> Context {
    Context { installation: *b"0123456789abcdef", profile: profile.to_owned() }
}

pub struct Place {
    pub directory: tempfile::TempDir,
    pub path: PathBuf,
}

pub fn place() -> Place {
    setup();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vault.db");
    Place { directory, path }
}

pub fn create(path: &Path) -> Vault {
    Vault::create(path, keys(1), context("work")).unwrap()
}

pub fn open(path: &Path) -> Result<Vault, VaultError> {
    Vault::open(path, keys(1), context("work"))
}

pub fn value(vault: &Vault, name: &str) -> Option<Vec<u8>> {
    vault.get(name).unwrap().map(|value| value.expose().to_vec())
}

/// A database connection of somebody who knows the database key.
pub fn insider(path: &Path, key: &[u8]) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    connection
        .execute_batch(&format!("PRAGMA cipher_log_level = NONE; PRAGMA key = \"x'{digits}'\";"))
        .unwrap();
    connection
}

/// This test binary again, to run one ignored test as a process of its own.
pub fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
