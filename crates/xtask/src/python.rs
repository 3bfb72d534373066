//! Virtual environments of Python below the target directory, each with the packages of one file of
//! requirements.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::prerequisites;
use crate::step::{Failed, step, target, workspace};

/// One environment.
pub struct Environment {
    /// Its directory below the target directory.
    directory: &'static str,
    /// The file of requirements, below the workspace's root.
    requirements: &'static str,
    /// Modules that must load, or the environment is made anew.
    modules: &'static str,
    /// What is left out where the environment can't be had.
    purpose: &'static str,
}

/// For the test that asks another implementation.
pub const ANOTHER_IMPLEMENTATION: Environment = Environment {
    directory: "python",
    requirements: "crates/testbed/python/requirements.txt",
    modules: "cryptography.hazmat.primitives.asymmetric.mldsa",
    purpose: "the check of trails by another implementation",
};

/// The linters of the VM tests.
pub const VM_TESTS: Environment = Environment {
    directory: "python-vm-tests",
    requirements: "vm-tests/requirements.txt",
    modules: "mypy, ruff",
    purpose: "the check of the VM tests' own code",
};

impl Environment {
    /// The Python to run the scripts with. Where it can't be had, that is said in one line, and only
    /// CI fails.
    pub fn ensure(&self) -> Result<Option<PathBuf>, Failed> {
        prerequisites::or_leave_out(self.purpose, self.make().map(|()| self.python()))
    }

    /// Makes the environment in the target directory, unless it is there.
    fn make(&self) -> Result<(), Failed> {
        let requirements = workspace().join(self.requirements);
        let wanted = fs::read(&requirements)
            .map_err(|error| Failed(format!("cannot read {}: {error}", requirements.display())))?;
        let directory = target().join(self.directory);
        // Written last, so it vouches for all that came before it.
        let stamp = directory.join("installed-requirements.txt");
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) && self.works() {
            return Ok(());
        }
        if !prerequisites::has_venv() {
            prerequisites::install("Python's virtual environments", &["python3-venv"])?;
        }
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&directory);
        step("environment for Python", venv)?;
        step("packages for Python", self.pip_install(&requirements)).map_err(|_| {
            let file = requirements.display();
            Failed(format!(
                "pip could not install {file}, and its own words are above; it needs a package index, once"
            ))
        })?;
        fs::write(&stamp, wanted)
            .map_err(|error| Failed(format!("cannot write {}: {error}", stamp.display())))
    }

    fn pip_install(&self, requirements: &Path) -> Command {
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--require-hashes", "--requirement"]).arg(requirements);
        pip
    }

    /// Whether the packages can be loaded still: the Python below them may have been replaced.
    fn works(&self) -> bool {
        let loaded = Command::new(self.python())
            .arg("-c")
            .arg(format!("import {}", self.modules))
            .stderr(Stdio::null())
            .status();
        loaded.is_ok_and(|status| status.success())
    }

    fn python(&self) -> PathBuf {
        target().join(self.directory).join("bin/python3")
    }
}
