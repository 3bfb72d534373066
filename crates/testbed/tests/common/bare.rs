//! `sesame` without a directory: what the tests of the command line share.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::process::{Command, Stdio};

use nix::unistd::Uid;
use serde_json::Value;
use testbed::{Outcome, binary};

/// `sesame ARGS` with no directory, no daemons and an empty environment.
pub fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(binary("sesame"));
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    command.stdin(Stdio::null());
    command
}

pub fn outcome(mut command: Command) -> Outcome {
    let output = command.output().expect("sesame starts");
    let code = output.status.code().unwrap_or(-1);
    Outcome { code, stdout: output.stdout, stderr: output.stderr }
}

/// Exactly one JSON object, on one line.
#[track_caller]
pub fn one_object(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    let value: Value = serde_json::from_str(text).expect("JSON");
    assert!(value.is_object(), "{text}");
    value
}

pub fn as_operator(command: &mut Command, uid: u32) {
    use std::os::unix::process::CommandExt;
    if uid != Uid::effective().as_raw() {
        command.uid(uid).gid(uid);
    }
}
