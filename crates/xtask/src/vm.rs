//! The VM tests: scenarios of `vm-tests/scenarios` against the image of `cargo xtask image`, in QEMU.
//!
//! The driver is Python, and QEMU, the firmware and swtpm come from the tree of tools that made the
//! image; entering it takes root.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image;
use crate::prerequisites::{self, or_leave_out};
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
    let built = match missing() {
        Some(missing) => Err(Failed(missing.to_owned())),
        None => image::run(&["--check", "--keep-programs", "--any-compiler"]).map_err(
            |Failed(reason)| {
                let logs = image::output().join("logs");
                Failed(format!("{reason}; what its steps printed is in {}", logs.display()))
            },
        ),
    };
    Ok(or_leave_out("the image and its VM tests", built)?.is_some())
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

/// Runs the scenario that measures the image; the file with its figures, in JSON.
pub fn measure() -> Result<PathBuf, Failed> {
    let out = target().join("bench-image");
    let mut run = on_the_image(&out);
    run.arg("--scenarios").arg(workspace().join("crates/bench/image")).arg("start");
    step("how the image starts", run)?;
    Ok(out.join("start/out/measured.json"))
}

fn scenarios(names: &[&str]) -> Result<(), Failed> {
    // What scenarios bring into their machines.
    step("test programs", cargo(&["build", "--package", "testbed", "--bins", "--locked"]))?;
    let mut run = on_the_image(&target().join("vm"));
    run.args(["--jobs", JOBS]).args(names);
    run.env("SESAME_TEST_PROGRAMS", target().join("debug"));
    run.env("SESAME_PROGRAM", image::output().join("binaries/target/release/sesame"));
    step("VM tests", run)
}

/// The driver on the image that is there; `out` is for logs.
fn on_the_image(out: &Path) -> Command {
    let image = image::output();
    let mut run = driver(Path::new("python3"), "vm_driver");
    run.arg("--image").arg(&image).arg("--tools").arg(image.join("tools")).arg("--out").arg(out);
    run
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
