//! What has to come from the system: the headers of C libraries, programs that tests drive, and virtual
//! environments for Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{Failed, step};

/// What pkg-config calls each library, and its package: OpenSSL for SQLCipher, the others for factors.
const LIBRARIES: [(&str, &str); 4] = [
    ("zlib", "zlib1g-dev"),
    ("libcrypto", "libssl-dev"),
    ("tss2-esys", "libtss2-dev"),
    ("libfido2", "libfido2-dev"),
];

/// libclang, which makes the bindings to libfido2, is a library without a pkg-config file.
const CLANG: &str = "libclang-dev";

/// Programs that tests drive as they are, and their packages.
const PROGRAMS: [(&str, &str); 9] = [
    ("ssh-agent", "openssh-client"),
    ("swtpm", "swtpm"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("wg", "wireguard-tools"),
    ("ip", "iproute2"),
    ("xz", "xz-utils"),
    ("systemd-analyze", "systemd"),
    ("nft", "nftables"),
    ("crun", "crun"),
];

/// Installs what is missing when root on Debian; names it in one line otherwise.
pub fn ensure() -> Result<(), Failed> {
    let missing = missing_libraries();
    if missing.is_empty() {
        return Ok(());
    }
    install("headers of libraries", &[&missing[..], &["pkg-config"]].concat())?;
    match missing_libraries()[..] {
        [] => Ok(()),
        ref still => {
            Err(Failed(format!("pkg-config does not find what is in {}", still.join(" "))))
        }
    }
}

/// Installs the programs that tests drive; those that miss theirs say that they were left out.
pub fn ensure_programs() -> Result<(), Failed> {
    let installed = programs("programs that tests drive", &PROGRAMS);
    or_leave_out("tests that drive other programs", installed).map(drop)
}

/// Installs what is missing of these programs, each with its package.
pub fn programs(what: &str, programs: &[(&str, &str)]) -> Result<(), Failed> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Where an ordinary user has them, too.
    directories.extend(["/usr/sbin".into(), "/sbin".into()]);
    let there = |program: &str| directories.iter().any(|place| place.join(program).is_file());
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| !there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(what, &missing)
}

fn missing_libraries() -> Vec<&'static str> {
    let there = |library: &str| {
        let mut query = Command::new("pkg-config");
        query.args(["--exists", library]).stderr(Stdio::null());
        query.status().is_ok_and(|status| status.success())
    };
    let libraries = LIBRARIES.iter().filter(|(library, _)| !there(library));
    let mut missing: Vec<&str> = libraries.map(|(_, package)| *package).collect();
    if !has_libclang() {
        missing.push(CLANG);
    }
    missing
}

/// Where Debian puts it, or where the environment says (bindgen's documentation).
fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    versions.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"llvm-")).any(
        |llvm| {
            let files = std::fs::read_dir(llvm.path().join("lib")).into_iter().flatten().flatten();
            files
                .into_iter()
                .any(|file| file.file_name().as_encoded_bytes().starts_with(b"libclang.so"))
        },
    )
}

/// What was to be had, or one line about what is left out and why; with `CI=true` nothing may be.
pub fn or_leave_out<T>(what: &str, had: Result<T, Failed>) -> Result<Option<T>, Failed> {
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    or_leave_out_where(is_ci, what, had)
}

fn or_leave_out_where<T>(
    is_ci: bool,
    what: &str,
    had: Result<T, Failed>,
) -> Result<Option<T>, Failed> {
    match had {
        Ok(had) => Ok(Some(had)),
        Err(Failed(reason)) if is_ci => {
            Err(Failed(format!("left out: {what}: {reason}; CI=true allows no such gap")))
        }
        Err(Failed(reason)) => {
            eprintln!("xtask: left out: {what}: {reason}");
            Ok(None)
        }
    }
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

/// Whether we may install packages.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_left_out_and_in_ci_it_is_an_error() {
        let failed = || Err::<(), _>(Failed("no disk".to_owned()));
        assert!(matches!(or_leave_out_where(false, "the image", failed()), Ok(None)));
        let Err(Failed(reason)) = or_leave_out_where(true, "the image", failed()) else {
            panic!("a gap in CI");
        };
        assert_eq!(reason, "left out: the image: no disk; CI=true allows no such gap");
        assert!(matches!(or_leave_out_where(true, "the image", Ok(1)), Ok(Some(1))));
    }
}
