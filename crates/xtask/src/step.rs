//! Running other programs, one line about each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Why a step did not succeed, for a person.
pub struct Failed(pub String);

/// Runs a command to its end with our standard streams.
pub fn step(what: &str, mut command: Command) -> Result<(), Failed> {
    eprintln!("xtask: {what} …");
    let start = Instant::now();
    let status = command
        .status()
        .map_err(|error| Failed(format!("{what}: cannot run {command:?}: {error}")))?;
    if !status.success() {
        return Err(Failed(format!("{what}: {command:?} ended with {status}")));
    }
    eprintln!("xtask: {what} took {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The cargo that runs us, in the root of the workspace.
pub fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace());
    command
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_root.ancestors().nth(2).unwrap_or(crate_root).to_owned()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}
