//! Python with the packages of `crates/testbed/python`, for the test that asks another implementation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::prerequisites;
use crate::step::{Failed, step, target, workspace};

/// The Python to run the scripts with. Where it can't be had, that is said in one line, and only CI
/// fails.
pub fn ensure() -> Result<Option<PathBuf>, Failed> {
    let Err(Failed(reason)) = environment() else { return Ok(Some(python())) };
    let left_out = format!("the check of trails by another implementation is left out: {reason}");
    if prerequisites::is_ci() {
        return Err(Failed(format!("{left_out}; CI=true allows no such gap")));
    }
    eprintln!("xtask: {left_out}");
    Ok(None)
}

/// Makes the environment in the target directory, unless it is there.
fn environment() -> Result<(), Failed> {
    let requirements = workspace().join("crates/testbed/python/requirements.txt");
    let wanted = fs::read(&requirements)
        .map_err(|error| Failed(format!("cannot read {}: {error}", requirements.display())))?;
    // Written last, so it vouches for all that came before it.
    let stamp = directory().join("installed-requirements.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) && works(&python()) {
        return Ok(());
    }
    if !prerequisites::has_venv() {
        prerequisites::install("Python's virtual environments", &["python3-venv"])?;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(directory());
    step("environment for Python", venv)?;
    step("packages for Python", pip_install(&requirements)).map_err(|_| {
        let file = requirements.display();
        Failed(format!(
            "pip could not install {file}, and its own words are above; it needs a package index, once"
        ))
    })?;
    fs::write(&stamp, wanted)
        .map_err(|error| Failed(format!("cannot write {}: {error}", stamp.display())))
}

fn pip_install(requirements: &Path) -> Command {
    let mut pip = Command::new(python());
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    pip.args(["--require-hashes", "--requirement"]).arg(requirements);
    pip
}

/// Whether the packages can be loaded still: the Python below them may have been replaced.
fn works(python: &Path) -> bool {
    let loaded = Command::new(python)
        .args(["-c", "import cryptography.hazmat.primitives.asymmetric.mldsa"])
        .stderr(Stdio::null())
        .status();
    loaded.is_ok_and(|status| status.success())
}

fn python() -> PathBuf {
    directory().join("bin/python3")
}

fn directory() -> PathBuf {
    target().join("python")
}
