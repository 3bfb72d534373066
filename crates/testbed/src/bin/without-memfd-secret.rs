//! A kernel without CONFIG_SECRETMEM, for one program: `without-memfd-secret PROGRAM ARGUMENT…`.
//!
//! `memfd_secret(2)` answers ENOSYS from here on, everything else is as before.

#![forbid(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: without-memfd-secret PROGRAM ARGUMENT…");
        return ExitCode::from(2);
    };
    if let Err(error) = take_away() {
        eprintln!("without-memfd-secret: {error}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("without-memfd-secret: {error}");
    ExitCode::FAILURE
}

fn take_away() -> Result<(), Box<dyn std::error::Error>> {
    let rules = [(libc::SYS_memfd_secret, Vec::new())].into();
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, architecture)?;
    Ok(seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?)
}
