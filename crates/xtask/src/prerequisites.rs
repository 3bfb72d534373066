//! What the build needs from the system: OpenSSL's headers and pkg-config, for SQLCipher.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{Failed, step};

const PACKAGES: [&str; 2] = ["libssl-dev", "pkg-config"];

/// Installs what is missing when root on Debian; names it in one line otherwise.
pub fn ensure() -> Result<(), Failed> {
    if present() {
        return Ok(());
    }
    if is_root() && Path::new("/usr/bin/apt-get").exists() {
        let apt = |arguments: &[&str]| {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments);
            command.stdout(Stdio::null());
            command
        };
        step("apt-get update", apt(&["update"]))?;
        let mut install = vec!["install", "-y", "--no-install-recommends"];
        install.extend(PACKAGES);
        step("installing libssl-dev and pkg-config", apt(&install))?;
        if present() {
            return Ok(());
        }
    }
    let packages = PACKAGES.join(" ");
    Err(Failed(format!("OpenSSL's headers are missing; as root: apt-get install {packages}")))
}

fn present() -> bool {
    Command::new("pkg-config")
        .args(["--exists", "libcrypto"])
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether we may install packages.
fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}
