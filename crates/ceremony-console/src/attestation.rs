//! `ceremony-console attest`: `sesame media attest` with the UEFI variables in view.
//!
//! Nobody else sees them: systemd would take one of them for a second command line (`modprobe.d/ceremony.conf`),
//! and writing to them is writing to the machine.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// There is none on a machine that UEFI did not start.
const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// Replaces this process by the attestation, in a mount namespace of its own. What it says besides, such as why
/// it objects, follows on standard output.
///
/// # Errors
/// What the operating system reported: there is no attestation then.
pub fn run() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    if Path::new(EFIVARS).exists() {
        let flags =
            MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        // The attestation objects to variables that it can't read.
        if let Err(error) = mount(Some("efivarfs"), EFIVARS, Some("efivarfs"), flags, none) {
            println!("efivarfs can't be mounted: {error}");
        }
    }
    Err(Command::new("sesame").args(["media", "attest"]).stderr(io::stdout()).exec())
}
