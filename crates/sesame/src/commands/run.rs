//! `sesame run`: a program with secrets, and nothing of `sesame` left behind.
//!
//! The program replaces this process, so that no copy outlives it here. Variables stand in the
//! program's own environment; a descriptor is the reading end of a pipe that holds the value and is
//! empty once it was read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use ipc::secrets::{Purpose, SecretsRequest};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::cli::Run;
use crate::connect::{Context, SecretsClient};
use crate::exit::{Code, Failure};

/// Exit code when the program is not there, as in a shell.
const NOT_FOUND: Code = Code { number: 127, name: "program-not-found", meaning: "" };
/// Exit code when the program can't be started, as in a shell.
const NOT_EXECUTABLE: Code = Code { number: 126, name: "program-not-executable", meaning: "" };

pub fn run(context: &Context, arguments: Run) -> Result<(), Failure> {
    let variables = parse(&arguments.secrets, "ENV=KEY", parse_variable)?;
    let descriptors = parse(&arguments.secret_fds, "N=KEY", parse_descriptor)?;
    let (program, rest) = arguments
        .program
        .split_first()
        .ok_or_else(|| Failure::new(Code::USAGE, "no program was given"))?;
    let mut client = context.secrets()?;
    let profile = arguments.profile.as_deref();
    let mut command = Command::new(program);
    command.args(rest);
    for (variable, key) in &variables {
        let value = fetch(&mut client, profile, key)?;
        if value.expose().contains(&0) {
            let text = format!("{key} holds a zero byte, which no variable can; use --secret-fd");
            return Err(Failure::new(Code::INVALID, text));
        }
        command.env(variable, OsStr::from_bytes(value.expose()));
    }
    let highest = descriptors.iter().map(|(number, _)| *number).max().unwrap_or(0);
    let fillers = fill_up_to(highest).map_err(cannot)?;
    let mut pipes = Vec::new();
    for (number, key) in &descriptors {
        let value = fetch(&mut client, profile, key)?;
        pipes.push((*number, filled_pipe(value.expose()).map_err(cannot)?));
    }
    drop((client, fillers));
    place(&pipes).map_err(cannot)?;
    let error = command.exec();
    let code = match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    Err(Failure::new(code, format!("cannot run {}: {error}", program.display())))
}

fn fetch(
    client: &mut SecretsClient,
    profile: Option<&str>,
    name: &str,
) -> Result<secret_memory::SecretBytes, Failure> {
    client.value(&SecretsRequest::SecretGet { profile, name, purpose: Purpose::Run })
}

fn parse<'a, T>(
    arguments: &'a [String],
    form: &str,
    left: fn(&'a str) -> Option<T>,
) -> Result<Vec<(T, &'a str)>, Failure> {
    let split = |argument: &'a String| {
        let (name, key) = argument.split_once('=')?;
        Some((left(name)?, key))
    };
    let wrong = |argument: &String| {
        Failure::new(Code::USAGE, format!("{argument:?} is not {form}; nothing was run"))
    };
    arguments.iter().map(|argument| split(argument).ok_or_else(|| wrong(argument))).collect()
}

/// POSIX names of variables: letters, digits and underscores, no digit first.
fn parse_variable(name: &str) -> Option<&str> {
    let first = name.chars().next()?;
    let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    (name.chars().all(word) && !first.is_ascii_digit()).then_some(name)
}

fn parse_descriptor(number: &str) -> Option<RawFd> {
    number.parse().ok().filter(|number| (3..=255).contains(number))
}

/// A pipe with all of `value` in it, nothing else, and its writing end closed.
fn filled_pipe(value: &[u8]) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    if !value.is_empty() {
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(i32::try_from(value.len()).unwrap_or(i32::MAX)))?;
    }
    File::from(writer).write_all(value)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(reader)
}

/// Copies each pipe to the number that the program expects it at, to be inherited there.
fn place(pipes: &[(RawFd, OwnedFd)]) -> io::Result<()> {
    for (number, pipe) in pipes {
        let got = fcntl(pipe, FcntlArg::F_DUPFD(*number))?;
        if got != *number {
            return Err(io::Error::other(format!("descriptor {number} is in use already")));
        }
    }
    Ok(())
}

/// Occupies every free number up to `highest`, so that what is opened next lies above.
fn fill_up_to(highest: RawFd) -> io::Result<Vec<File>> {
    let mut fillers = Vec::new();
    loop {
        let filler = File::open("/dev/null")?;
        if filler.as_raw_fd() > highest {
            return Ok(fillers);
        }
        fillers.push(filler);
    }
}

fn cannot(error: io::Error) -> Failure {
    Failure::new(Code::FAILED, format!("cannot hand over the secret: {error}; nothing was run"))
}
