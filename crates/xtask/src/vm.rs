//! The VM tests: scenarios of `vm-tests/scenarios` against the image of `cargo xtask image`, in QEMU.
//!
//! The driver is Python, and QEMU, the firmware and swtpm come from the tree of tools that made the
//! image; entering it takes root.

use std::path::Path;
use std::process::Command;

use crate::image;
use crate::prerequisites::{self, is_ci};
use crate::step::{Failed, cargo, step, target, workspace};

/// Scenarios at a time; each machine has two processors, and waits much.
const JOBS: &str = "2";

/// The driver's linters, types and own tests.
pub fn check(python: Option<&Path>) -> Result<(), Failed> {
    // Its absence has been reported.
    let Some(python) = python else { return Ok(()) };
    let mut check = driver(python, "vm_driver.check");
    check.arg(target().join("vm-check"));
    step("the VM tests' own code", check)
}

/// Builds the image, twice, for the tests that look at it and for the scenarios; or says in one line why
/// none of them run, which in CI is an error. Whether there is one.
pub fn ensure_image() -> Result<bool, Failed> {
    if let Some(missing) = missing() {
        let left_out = format!("the image and its VM tests are left out: {missing}");
        if is_ci() {
            return Err(Failed(format!("{left_out}; CI=true allows no such gap")));
        }
        eprintln!("xtask: {left_out}");
        return Ok(false);
    }
    image::run(&["--check", "--keep-programs"])?;
    Ok(true)
}

/// Runs every scenario on the image that is there.
pub fn run_all() -> Result<(), Failed> {
    scenarios(&[])
}

/// Runs one scenario.
pub fn run_one(name: &str) -> Result<(), Failed> {
    match missing() {
        Some(missing) => Err(Failed(format!("scenario {name} cannot run: {missing}"))),
        None => {
            image::ensure()?;
            scenarios(&[name])
        }
    }
}

fn scenarios(names: &[&str]) -> Result<(), Failed> {
    // What scenarios bring into their machines.
    step("test programs", cargo(&["build", "--package", "testbed", "--bins", "--locked"]))?;
    let image = image::output();
    let mut run = driver(Path::new("python3"), "vm_driver");
    run.arg("--image").arg(&image).arg("--tools").arg(image.join("tools"));
    run.arg("--out").arg(target().join("vm")).args(["--jobs", JOBS]).args(names);
    run.env("SESAME_TEST_PROGRAMS", target().join("debug"));
    run.env("SESAME_PROGRAM", image.join("binaries/target/release/sesame"));
    step("VM tests", run)
}

/// What keeps this machine from running scenarios.
fn missing() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        Some("the image is one for x86-64")
    } else if !prerequisites::is_root() {
        Some("they need root, to enter the tree of tools that the image is made with")
    } else if !Path::new("/usr/bin/apt-get").exists() {
        Some("the image and its tools are made of Debian's packages, and this is not Debian")
    } else {
        None
    }
}

fn driver(python: &Path, module: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", module]).current_dir(workspace());
    command.env("PYTHONPATH", workspace().join("vm-tests/driver"));
    // No compiled files beside the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
