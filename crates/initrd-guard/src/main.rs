//! `initrd-guard`: `/init` of the ceremony appliance, the first program of all.
//!
//! A loader or the firmware's tables can give the kernel another command line, and without Secure Boot nothing
//! forbids it. This program goes on with one line only: the one that the initrd names, root hash included.
//!
//! `rdinit=` can't go round it. It is statically linked, and the only program in the initrd that can be
//! started: the dynamic loader has no mode bit for execution until this program sets it
//! (`images/debian/initrd/only_init.py`).
//!
//! It never ends: when PID 1 does, the kernel panics, and that would hide what is said here.

#![forbid(unsafe_code)]

mod refusal;

use std::convert::Infallible;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use crate::refusal::{Refusal, check};

/// The whole line that this medium is started with; added to the initrd when the UKI is made.
const OURS: &str = "/usr/lib/sesame/kernel-command-line";
/// What the kernel was given (proc_cmdline(5)).
const GIVEN: &str = "/proc/cmdline";
/// Without it no dynamically linked program starts, and no script.
const DYNAMIC_LOADER: &str = "/usr/lib64/ld-linux-x86-64.so.2";
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

fn main() -> ! {
    let Err(refusal) = start();
    // Where even this fails, silence is what is left: nothing is started either way.
    let _ = tell(&refusal);
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Becomes systemd, or says why not.
fn start() -> Result<Infallible, Refusal> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(|error| failed("mount", "/proc")(error.into()))?;
    let given = fs::read(GIVEN).map_err(failed("read", GIVEN))?;
    let ours = fs::read(OURS).map_err(failed("read", OURS))?;
    check(&given, &ours)?;
    fs::set_permissions(DYNAMIC_LOADER, Permissions::from_mode(0o755))
        .map_err(failed("make executable", DYNAMIC_LOADER))?;
    let error = Command::new(SYSTEMD).args(std::env::args_os().skip(1)).exec();
    Err(failed("start", SYSTEMD)(error))
}

fn failed(act: &'static str, path: &'static str) -> impl FnOnce(io::Error) -> Refusal {
    move |source| Refusal::Failed { act, path, source }
}

/// Writes to every console, by way of the kernel's log: each write is one record (Linux,
/// Documentation/ABI/testing/dev-kmsg).
fn tell(refusal: &Refusal) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("devtmpfs"), "/dev", Some("devtmpfs"), flags, None::<&str>)?;
    let mut log = OpenOptions::new().write(true).open("/dev/kmsg")?;
    for record in refusal.records() {
        log.write_all(record.as_bytes())?;
    }
    Ok(())
}
