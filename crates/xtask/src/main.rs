//! The commands of this repository: `cargo xtask ceremony`, `cargo xtask test`, `cargo xtask bench`.
//!
//! It uses the standard library only, so that it runs before anything else can be built.

#![forbid(unsafe_code)]

mod ceremony;
mod prerequisites;
mod python;
mod step;
mod test;
mod test_kernel;

use std::process::ExitCode;

use crate::step::{Failed, cargo, step};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ceremony   build everything and hold a whole key ceremony with it
  test       format, lints, all tests; what CI runs
  bench      measure, against floors measured in the same run";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["ceremony"] => ceremony::run(),
        ["test"] => test::run(),
        ["bench"] => bench(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(reason)) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Failed> {
    prerequisites::ensure()?;
    step("release binaries", cargo(&["build", "--release", "--workspace", "--quiet"]))?;
    step("measurements", cargo(&["run", "--release", "--quiet", "--package", "bench"]))
}
