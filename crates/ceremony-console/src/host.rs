//! The programs that do the work, and a person at the console.

use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::termios::tcdrain;

/// After so many times the end of the input in a row nobody is there.
const ENDS_IN_A_ROW: u32 = 20;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exit(i32),
    /// By a signal: Ctrl-C, for instance.
    Signal,
}

impl Ended {
    /// Whether it did what it should.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        status.code().map_or(Self::Signal, Self::Exit)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Signal => f.write_str("ended by a signal"),
        }
    }
}

/// What the set-up asks of the machine; tests answer in its place.
pub trait Host {
    /// Runs a program on the console, which may ask there.
    ///
    /// # Errors
    /// If it can't be started.
    fn run(&mut self, command: &[&str]) -> io::Result<Ended>;

    /// Runs a program and gives what it printed.
    ///
    /// # Errors
    /// If it can't be started, or prints what isn't UTF-8.
    fn capture(&mut self, command: &[&str]) -> io::Result<(Ended, String)>;

    /// Runs a program and gives what it printed, errors included.
    ///
    /// # Errors
    /// If it can't be started.
    fn hear(&mut self, command: &[&str]) -> io::Result<(Ended, String)>;

    /// Lets the system see an open file or directory at `target`, mount(2) with MS_BIND.
    ///
    /// # Errors
    /// What the operating system reported.
    fn bind(&mut self, source: BorrowedFd<'_>, target: &Path) -> io::Result<()>;

    /// Prints on the console.
    fn say(&mut self, text: &str);

    /// Prints `prompt` and reads a line.
    ///
    /// # Errors
    /// If the console is gone.
    fn ask(&mut self, prompt: &str) -> io::Result<String>;
}

/// This machine.
#[derive(Debug, Default)]
pub struct Machine;

impl Host for Machine {
    fn run(&mut self, command: &[&str]) -> io::Result<Ended> {
        Ok(to_command(command)?.status()?.into())
    }

    fn capture(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        let output = to_command(command)?.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8(output.stdout)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "its output is not UTF-8"))?;
        Ok((output.status.into(), text))
    }

    fn hear(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        let output = to_command(command)?.stdin(Stdio::null()).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.into(), String::from_utf8_lossy(&said).into_owned()))
    }

    fn bind(&mut self, source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
        // No path is looked up again: the link is to what is open.
        let source = format!("/proc/self/fd/{}", source.as_raw_fd());
        mount(Some(source.as_str()), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(())
    }

    fn say(&mut self, text: &str) {
        // A console that is gone hears nothing, and is no reason to stop.
        let _ = io::stdout().write_all(text.as_bytes());
        let _ = io::stdout().flush();
        // systemd hangs the terminal up for the unit's next process, and what is still on its way is lost.
        let _ = tcdrain(io::stdout());
    }

    fn ask(&mut self, prompt: &str) -> io::Result<String> {
        let mut line = String::new();
        // Ctrl-D ends the line and not the question; a terminal that is gone reads as the end for ever.
        for _ in 0..ENDS_IN_A_ROW {
            self.say(prompt);
            if io::stdin().read_line(&mut line)? > 0 {
                return Ok(line);
            }
            self.say("\n");
            thread::sleep(Duration::from_millis(200));
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn to_command(command: &[&str]) -> io::Result<Command> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}
