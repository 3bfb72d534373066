//! `cargo xtask image …`: prepares this machine, and hands over to the crate `image`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::step::{Failed, cargo, step, target, workspace};
use crate::{debian, prerequisites, vm};

/// Programs of this machine that the first steps need; the rest comes with the tools tree.
const PROGRAMS: [(&str, &str); 3] =
    [("mmdebstrap", "mmdebstrap"), ("dpkg-deb", "dpkg"), ("git", "git")];

/// Where `cargo xtask image` writes.
pub fn output() -> PathBuf {
    target().join("image")
}

/// `cargo xtask image ARGUMENTS`.
pub fn run(arguments: &[&str]) -> Result<(), Failed> {
    let (command, rest): (&str, &[&str]) = match arguments {
        [] => ("build", &[]),
        ["--check", rest @ ..] => ("check", rest),
        ["lock", rest @ ..] => ("lock", rest),
        ["tools"] => ("tools", &[]),
        ["--sign", rest @ ..] => ("sign", rest),
        ["--sign-export", rest @ ..] => ("sign-export", rest),
        ["--sign-import", rest @ ..] => ("sign-import", rest),
        other => ("build", other),
    };
    with_sources(command, rest)
}

/// `cargo xtask boot ARGUMENTS`.
pub fn boot(arguments: &[&str]) -> Result<(), Failed> {
    with_sources("boot", arguments)
}

/// `cargo xtask usb ARGUMENTS`.
pub fn usb(arguments: &[&str]) -> Result<(), Failed> {
    with_sources("usb", arguments)
}

/// Builds the image unless it is there. It is not to be published: any compiler will do.
pub fn ensure() -> Result<(), Failed> {
    with_sources("build", &["--any-compiler"])
}

/// `cargo xtask bench --image`. `cold` measures two builds too, in another directory.
pub fn bench(cold: bool) -> Result<(), Failed> {
    ensure()?;
    let builds = if cold { Some(time_builds()?) } else { None };
    let figures = vm::measure()?;
    let mut bench = cargo(&["run", "--quiet", "--package", "bench", "--", "image"]);
    bench.arg(figures);
    if let Some((cold, warm)) = builds {
        bench.args([cold, warm].map(|time| time.as_secs_f64().to_string()));
    }
    step("the figures of the image", bench)
}

/// How long a build takes that has our programs and nothing else, and one that has everything but an image.
fn time_builds() -> Result<(Duration, Duration), Failed> {
    let scratch = target().join("bench-image-build");
    let failed = |error: std::io::Error| Failed(format!("{}: {error}", scratch.display()));
    let remove = || if scratch.exists() { fs::remove_dir_all(&scratch) } else { Ok(()) };
    remove().map_err(failed)?;
    fs::create_dir_all(&scratch).map_err(failed)?;
    let mut copy = Command::new("cp");
    copy.arg("--archive");
    copy.args(["binaries", "vendored", "vendored.stamp"].map(|name| output().join(name)));
    copy.arg(&scratch);
    step("a copy of our programs", copy)?;
    let start = Instant::now();
    with_sources_to(&scratch, "build", &[])?;
    let cold = start.elapsed();
    fs::remove_file(scratch.join("image.stamp")).map_err(failed)?;
    let start = Instant::now();
    with_sources_to(&scratch, "build", &[])?;
    let warm = start.elapsed();
    remove().map_err(failed)?;
    Ok((cold, warm))
}

fn with_sources(command: &str, rest: &[&str]) -> Result<(), Failed> {
    with_sources_to(&output(), command, rest)
}

fn with_sources_to(output: &Path, command: &str, rest: &[&str]) -> Result<(), Failed> {
    prerequisites::programs("what builds the image", &PROGRAMS)?;
    let (mirror, security) = debian::mirrors()?;
    let mut image = cargo(&["run", "--quiet", "--manifest-path"]);
    image.arg(workspace().join("Cargo.toml")).args(["--package", "image", "--", command]);
    // Files that a person names are relative to where they are.
    if let Ok(here) = std::env::current_dir() {
        image.current_dir(here);
    }
    image.arg("--source").arg(workspace()).arg("--output").arg(output);
    image.arg("--mirror").arg(mirror).arg("--security-mirror").arg(security).args(rest);
    step(&format!("image {command}"), image)
}
