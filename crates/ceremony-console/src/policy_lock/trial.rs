//! A policy that no daemon has started with yet.
//!
//! Locked is locked, and with a policy that daemons don't start with no ceremony could be held any more. So
//! that a marker is on the disk before the policy is, until the daemons have started with it; whoever finds it
//! at boot takes the policy back.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Beside the policy, where a volume keeps both or neither.
fn marker(policy: &Path) -> PathBuf {
    policy.with_extension("trial")
}

/// Says of the policy that is to come that nobody knows whether daemons start with it.
///
/// # Errors
/// What the operating system reported; there must be no policy then.
pub fn begin(policy: &Path) -> io::Result<()> {
    let marker = marker(policy);
    File::create(&marker)?.sync_all()?;
    sync_directory_of(&marker)
}

/// The policy is one from here on, or there is none.
///
/// # Errors
/// What the operating system reported: the next boot takes the policy back.
pub fn end(policy: &Path) -> io::Result<()> {
    remove(&marker(policy))
}

/// Whether nobody knows yet that daemons start with it.
pub fn is_on(policy: &Path) -> bool {
    marker(policy).symlink_metadata().is_ok()
}

/// Takes back a policy that nobody has proven, the marker last; whether there was one.
///
/// # Errors
/// What the operating system reported.
pub fn take_back(policy: &Path) -> io::Result<bool> {
    let there = policy.symlink_metadata().is_ok();
    remove(policy)?;
    end(policy)?;
    Ok(there)
}

/// Removed, on the disk too, and it may have been gone.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => sync_directory_of(path),
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
