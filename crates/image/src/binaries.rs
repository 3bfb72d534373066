//! Our programs, as they go into the image: built inside the tools tree, from vendored sources, without a
//! network, at paths that are the same everywhere. Only the Rust toolchain is this machine's.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use media::Digest;

use crate::failed::{Failed, logged, output};
use crate::places::Places;
use crate::tools::{Tools, inside};

/// What is in the root, and where cargo puts each.
pub const PROGRAMS: [&str; 4] = ["sesame", "daemon-audit", "daemon-secrets", "ceremony-console"];

/// The first program of the initrd.
pub const GUARD: &str = "initrd-guard";

/// The compiler of the published image. Another one makes other bytes.
const COMPILER: &str = "rustc 1.95.0 (59807616e 2026-04-14)";

/// Our own machine as a target: cargo keeps what is built for it apart from what is built with other flags.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Directories of what was built.
#[derive(Debug)]
pub struct Programs {
    /// Of [`PROGRAMS`].
    pub dynamic: PathBuf,
    /// Of [`GUARD`], which starts before there is a dynamic loader.
    pub guard: PathBuf,
}

/// Builds them; answers where they are.
pub fn build(places: &Places, tools: &Tools) -> Result<Programs, Failed> {
    let compiler = compiler(places)?;
    keep_if_built_by(places, &compiler)?;
    let sysroot = output(
        "rustc --print sysroot",
        Command::new("rustc").args(["--print", "sysroot"]).current_dir(&places.source),
    )?;
    vendor(places)?;
    let home = places.binaries().join("cargo-home");
    fs::create_dir_all(&home).map_err(Failed::io("make", &home))?;
    let config = home.join("config.toml");
    let text = format!(
        "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"{}\"\n",
        inside::VENDORED
    );
    fs::write(&config, text).map_err(Failed::io("write", &config))?;
    let sysroot = Path::new(sysroot.trim());
    let mut command = cargo_inside(places, tools, sysroot, "");
    for program in PROGRAMS {
        command.args(["--package", program]);
    }
    logged("programs for the image", command, &places.logs().join("programs.log"))?;
    let mut command = cargo_inside(places, tools, sysroot, "-C target-feature=+crt-static");
    command.args(["--package", GUARD, "--target", TARGET]);
    logged("the initrd's first program", command, &places.logs().join("guard.log"))?;
    let target = places.binaries().join("target");
    Ok(Programs { dynamic: target.join("release"), guard: target.join(TARGET).join("release") })
}

fn compiler(places: &Places) -> Result<String, Failed> {
    let version = output(
        "rustc --version",
        Command::new("rustc").arg("--version").current_dir(&places.source),
    )?;
    let version = version.trim();
    check_compiler(version, places.any_compiler)?;
    Ok(version.to_owned())
}

fn check_compiler(version: &str, any: bool) -> Result<(), Failed> {
    if version == COMPILER {
        return Ok(());
    }
    let differ = format!("this is {version}, and the published image was built by {COMPILER}");
    if !any {
        return Err(Failed(format!(
            "{differ}; nothing was built: install that one, or take another image with --any-compiler"
        )));
    }
    eprintln!("image: {differ}: the two will differ");
    Ok(())
}

/// Removes what another compiler, or one in another tools tree, has built: cargo does not know of C's
/// compiler and libraries.
fn keep_if_built_by(places: &Places, compiler: &str) -> Result<(), Failed> {
    let tools = places.tools_stamp();
    let tools = fs::read_to_string(&tools).map_err(Failed::io("read", &tools))?;
    let wanted = format!("{compiler}\n{tools}\n");
    let (target, stamp) =
        (places.binaries().join("target"), places.binaries().join("target.stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    if target.exists() {
        fs::remove_dir_all(&target).map_err(Failed::io("remove", &target))?;
    }
    fs::create_dir_all(&target).map_err(Failed::io("make", &target))?;
    fs::write(&stamp, wanted).map_err(Failed::io("write", &stamp))
}

/// `cargo build` inside of the tools tree.
fn cargo_inside(places: &Places, tools: &Tools, sysroot: &Path, flags: &str) -> Command {
    let binds = [
        (places.source.clone(), inside::SOURCE),
        (places.vendored(), inside::VENDORED),
        (sysroot.to_owned(), inside::RUST),
        (places.binaries(), inside::BINARIES),
    ];
    let mut command = tools.command("/usr/bin/env", &binds);
    command.arg("--chdir").arg(inside::SOURCE);
    command.arg(format!("PATH={}/bin:/usr/sbin:/usr/bin", inside::RUST));
    command.arg(format!("CARGO_HOME={}/cargo-home", inside::BINARIES));
    command.arg(format!("RUSTFLAGS={flags}"));
    command.args(["cargo", "build", "--release", "--locked", "--offline"]);
    command.arg("--target-dir").arg(format!("{}/target", inside::BINARIES));
    command
}

/// The sources of every crate, below one directory: the registry's own directory has another name on each
/// machine, and names get into programs.
fn vendor(places: &Places) -> Result<(), Failed> {
    let lock = places.source.join("Cargo.lock");
    let wanted = Digest::of(&fs::read(&lock).map_err(Failed::io("read", &lock))?).to_string();
    let stamp = places.vendored_stamp();
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    let mut command = cargo(&places.source);
    command.args(["vendor", "--locked", "--versioned-dirs"]).arg(places.vendored());
    logged("sources of crates", command, &places.logs().join("vendor.log"))?;
    fs::write(&stamp, wanted).map_err(Failed::io("write", &stamp))
}

/// The crates that the programs are made of, `NAME vVERSION` a line, in order.
pub fn crates(places: &Places) -> Result<Vec<String>, Failed> {
    let mut command = cargo(&places.source);
    command.args([
        "tree",
        "--locked",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    command.args(["--target", TARGET]);
    for program in PROGRAMS.iter().chain([&GUARD]) {
        command.args(["--package", program]);
    }
    let text = output("cargo tree", &mut command)?;
    let words = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let mut crates: Vec<String> = text.lines().map(words).filter(|line| !line.is_empty()).collect();
    crates.sort();
    crates.dedup();
    Ok(crates)
}

fn cargo(source: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(source).arg0("cargo");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_compiler_is_taken_only_by_name() {
        assert!(check_compiler(COMPILER, false).is_ok());
        let other = "rustc 1.95.1 (0000000 2026-05-01)";
        let Err(Failed(reason)) = check_compiler(other, false) else {
            panic!("another compiler makes another image");
        };
        assert!(reason.contains(other) && reason.contains("--any-compiler"), "{reason}");
        assert!(check_compiler(other, true).is_ok());
    }
}
