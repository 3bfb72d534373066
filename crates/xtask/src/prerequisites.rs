//! What has to come from the system: OpenSSL's headers and pkg-config, for SQLCipher, and virtual
//! environments, for Python.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{Failed, step};

const PACKAGES: [&str; 2] = ["libssl-dev", "pkg-config"];

/// Installs what is missing when root on Debian; names it in one line otherwise.
pub fn ensure() -> Result<(), Failed> {
    if present() {
        return Ok(());
    }
    install("OpenSSL's headers", &PACKAGES)?;
    if present() {
        return Ok(());
    }
    Err(Failed("pkg-config does not find libcrypto, although libssl-dev is installed".to_owned()))
}

/// Whether Python can make a virtual environment; on Debian that is a package of its own.
pub fn has_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs packages of Debian when root there; names what is missing, and them, otherwise.
pub fn install(missing: &str, packages: &[&str]) -> Result<(), Failed> {
    let names = packages.join(" ");
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(Failed(format!("{missing} are missing; as root: apt-get install {names}")));
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments);
        command.stdout(Stdio::null());
        command
    };
    step("apt-get update", apt(&["update"]))?;
    let arguments = [&["install", "-y", "--no-install-recommends"], packages].concat();
    step(&format!("installing {names}"), apt(&arguments))
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
