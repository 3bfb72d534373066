//! Running `sesame` as somebody.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::users::group_of;

/// A `sesame` command that is about to run.
pub struct Sesame {
    command: Command,
    stdin: Vec<u8>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Sesame {
    pub(crate) fn new(program: &Path, dir: &Path, uid: u32) -> Self {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        command.current_dir("/");
        command.arg("--dir").arg(dir);
        Self { command, stdin: Vec::new() }.user(uid)
    }

    /// As another user.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.command.uid(uid).gid(group_of(uid));
        self
    }

    /// With arguments.
    #[must_use]
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// With a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With bytes on standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The command itself, to be spawned otherwise.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("sesame starts");
        let mut stdin = child.stdin.take().expect("a pipe was asked for");
        let bytes = std::mem::take(&mut self.stdin);
        // In a thread of its own: a program that doesn't read must not hold us up.
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&bytes);
        });
        let output = child.wait_with_output().expect("sesame ends");
        writer.join().expect("the writer ends");
        let code = output.status.code().unwrap_or(-1);
        Outcome { code, stdout: output.stdout, stderr: output.stderr }
    }

    /// Runs it and demands success; returns its standard output as text.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn succeed(self) -> String {
        let outcome = self.run();
        assert_eq!(outcome.code, 0, "{}", outcome.error());
        outcome.text()
    }

    /// Runs it and demands this exit code; returns its standard error as text.
    ///
    /// # Panics
    /// When it ends otherwise.
    #[track_caller]
    pub fn fail(self, code: i32) -> String {
        let outcome = self.run();
        assert_eq!(outcome.code, code, "out: {} err: {}", outcome.text(), outcome.error());
        outcome.error()
    }
}

impl Outcome {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn error(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}
