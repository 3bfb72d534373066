//! The console beside the shell that has it: for a question of root's while a command waits for the answer.
//!
//! The session is frozen by then ([`crate::session`]), and can't undo what is done to the terminal here.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::termios::{
    FlushArg, InputFlags, LocalFlags, OutputFlags, SetArg, tcflush, tcgetattr, tcsetattr,
};

use crate::host::{Ended, Host, Machine};
use crate::session::console;

/// For people to read, and to agree.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked whether anybody still waits.
const LOOK_MS: u16 = 500;
/// How long a serial line may take before it takes more.
const STALLED_MS: u16 = 5000;
/// No answer is longer.
const MOST_BYTES: usize = 64;
/// RIS of ECMA-48: an empty screen, as it was when the terminal was switched on. Colours that hide text, another
/// character set or a part of the screen that doesn't scroll would otherwise stay.
const RESET: &[u8] = b"\x1bc";

/// The people in the room, as long as `waits` says that the question is somebody's.
pub struct Room<W> {
    tty: File,
    waits: W,
    /// Whether all that was said is on its way to them.
    heard: bool,
}

impl<W: Fn() -> bool> Room<W> {
    /// Opens the ceremony console.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn open(waits: W) -> io::Result<Self> {
        Self::on(&Path::new("/dev").join(console()), waits)
    }

    fn on(path: &Path, waits: W) -> io::Result<Self> {
        // The shell keeps it as its own; it may also be quicker to read, and then this read must not block.
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let tty =
            OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
        type_lines(&tty)?;
        // What was typed before the question is no answer to it.
        tcflush(&tty, FlushArg::TCIFLUSH)?;
        let mut room = Self { tty, waits, heard: true };
        room.write(RESET)?;
        Ok(room)
    }

    /// All of it, unless the console takes nothing for a while.
    fn write(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            match self.tty.write(text) {
                Ok(count) => text = &text[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = PollFd::new(self.tty.as_fd(), PollFlags::POLLOUT);
                    if poll(&mut [ready], STALLED_MS)? == 0 {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A line, which Enter ends: nothing else is an answer.
    fn line(&mut self, patience: Duration) -> io::Result<String> {
        let deadline = Instant::now() + patience;
        let mut typed = Vec::new();
        loop {
            if !(self.waits)() {
                return Err(io::Error::other("whoever asked is gone"));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("there was no answer"));
            }
            poll(&mut [PollFd::new(self.tty.as_fd(), PollFlags::POLLIN)], LOOK_MS)?;
            let mut bytes = [0; MOST_BYTES];
            match self.tty.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => typed.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if typed.contains(&b'\n') {
                return Ok(String::from_utf8_lossy(&typed).into_owned());
            }
            if typed.len() >= MOST_BYTES {
                return Err(io::Error::other("what was typed is longer than any answer"));
            }
        }
    }
}

/// Whatever a program made of the terminal: people see what they type, and Enter ends it.
fn type_lines(tty: &File) -> io::Result<()> {
    let mut modes = tcgetattr(tty)?;
    modes.local_flags.insert(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
    modes.input_flags.insert(InputFlags::ICRNL);
    modes.input_flags.remove(InputFlags::IGNCR | InputFlags::INLCR);
    modes.output_flags.insert(OutputFlags::OPOST | OutputFlags::ONLCR);
    Ok(tcsetattr(tty, SetArg::TCSANOW, &modes)?)
}

impl<W: Fn() -> bool> Host for Room<W> {
    fn run(&mut self, command: &[&str]) -> io::Result<Ended> {
        Machine.run(command)
    }

    fn capture(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        Machine.capture(command)
    }

    fn hear(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        Machine.hear(command)
    }

    fn bind(&mut self, source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
        Machine.bind(source, target)
    }

    fn say(&mut self, text: &str) {
        self.heard &= self.write(text.as_bytes()).is_ok();
    }

    fn ask(&mut self, prompt: &str) -> io::Result<String> {
        self.say(prompt);
        if !self.heard {
            return Err(io::Error::other("the question cannot be shown"));
        }
        self.line(PATIENCE)
    }
}

#[cfg(test)]
mod tests;
