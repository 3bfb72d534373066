//! Where exports go, and who looks at them there: what the tests of exports share.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each uses a part")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use testbed::{Host, Outcome, binary};

/// A directory of the operator's, and another machine that has this one program.
pub struct Stick {
    pub place: TempDir,
    program: PathBuf,
}

impl Stick {
    pub fn new(host: &Host) -> Self {
        let place = tempfile::tempdir_in("/tmp").unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = place.path().join("elsewhere/sesame");
        fs::create_dir(program.parent().unwrap()).unwrap();
        // By another process: while we had it open to write, a program that another test starts would inherit
        // that, and ours could not be started (execve(2), ETXTBSY).
        let copied = Command::new("cp").arg(binary("sesame")).arg(&program).status().unwrap();
        assert!(copied.success(), "{}", program.display());
        chown(place.path(), Some(host.users.operator), None).unwrap();
        Self { place, program }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Exports as the operator; the path of the bundle.
    #[track_caller]
    pub fn export(&self, host: &Host, name: &str) -> PathBuf {
        let path = self.path(name);
        host.sesame(["audit", "export"]).args([&path]).succeed();
        path
    }

    /// `sesame audit ARGS` elsewhere: no directory, no daemon, no environment.
    pub fn elsewhere(&self, args: &[&str]) -> Outcome {
        let mut command = Command::new(&self.program);
        command.arg("audit").args(args).env_clear().current_dir(self.program.parent().unwrap());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        Outcome { code, stdout: output.stdout, stderr: output.stderr }
    }

    /// `sesame audit verify --path` elsewhere.
    pub fn verify(&self, path: &Path, more: &[&str]) -> Outcome {
        self.elsewhere(&[&["verify", "--path", path.to_str().unwrap()], more].concat())
    }
}
