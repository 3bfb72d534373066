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

/// What is in the image, and where cargo puts each.
pub const PROGRAMS: [&str; 4] = ["sesame", "daemon-audit", "daemon-secrets", "ceremony-console"];

/// The compiler of the published image. Another one makes other bytes.
const COMPILER: &str = "rustc 1.95.0 (59807616e 2026-04-14)";

/// Builds them; answers where they are.
pub fn build(places: &Places, tools: &Tools) -> Result<PathBuf, Failed> {
    let compiler = output(
        "rustc --version",
        Command::new("rustc").arg("--version").current_dir(&places.source),
    )?;
    if compiler.trim() != COMPILER {
        eprintln!(
            "image: this is {}, and the published image was built by {COMPILER}: the two will differ",
            compiler.trim()
        );
    }
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
    let binds = [
        (places.source.clone(), inside::SOURCE),
        (places.vendored(), inside::VENDORED),
        (PathBuf::from(sysroot.trim()), inside::RUST),
        (places.binaries(), inside::BINARIES),
    ];
    let mut command = tools.command("/usr/bin/env", &binds);
    command.arg("--chdir").arg(inside::SOURCE);
    command.arg(format!("PATH={}/bin:/usr/sbin:/usr/bin", inside::RUST));
    command.arg(format!("CARGO_HOME={}/cargo-home", inside::BINARIES));
    command.args(["cargo", "build", "--release", "--locked", "--offline"]);
    command.arg("--target-dir").arg(format!("{}/target", inside::BINARIES));
    for program in PROGRAMS {
        command.args(["--package", program]);
    }
    logged("programs for the image", command, &places.logs().join("programs.log"))?;
    Ok(places.binaries().join("target/release"))
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
    command.args(["--target", "x86_64-unknown-linux-gnu"]);
    for program in PROGRAMS {
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
