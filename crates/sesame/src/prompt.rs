//! The terminal, whatever standard input and output are: prompts without echo, notes, a question.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use secret_memory::SecretBytes;

use crate::exit::{Code, Failure};

/// Longest line that can be typed, in bytes.
pub const MAX_LINE_BYTES: usize = 1024;

/// Whether there is a terminal to ask on.
pub fn is_there() -> bool {
    terminal().is_ok()
}

/// Writes to the terminal what a person should know now, if there is one.
pub fn note(text: &str) {
    if let Ok(mut terminal) = terminal() {
        let _ = terminal.write_all(text.as_bytes());
    }
}

/// Asks for something that may be seen, and is not taken for granted.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    let mut terminal = terminal().map_err(|_| {
        let text = "there is no terminal to ask on; look at `sesame factor list`, and use --yes";
        Failure::new(Code::USAGE, text)
    })?;
    terminal.write_all(format!("{question} [y/N] ").as_bytes()).map_err(unreadable)?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer).map_err(unreadable)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn terminal() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// Asks on the terminal without echo, whatever standard input and output are.
pub fn prompt_hidden(prompt: &str) -> Result<SecretBytes, Failure> {
    ask(prompt, "\n")
}

/// Waits for Enter, and writes `after` then, or when it is cancelled, or a signal ends the program.
pub fn wait_for_enter(prompt: &str, after: &str) -> Result<(), Failure> {
    ask(prompt, after).map(|_| ())
}

fn ask(prompt: &str, after: &str) -> Result<SecretBytes, Failure> {
    let mut terminal = terminal().map_err(|_| {
        Failure::new(
            Code::USAGE,
            "there is no terminal to ask for the password; use --password-stdin or \
             --password-credential",
        )
    })?;
    let quiet = Quiet::new(&terminal).map_err(unreadable)?;
    terminal.write_all(prompt.as_bytes()).map_err(unreadable)?;
    let entered = read_line(&mut terminal, &quiet);
    let _ = terminal.write_all(after.as_bytes());
    // A signal that came meanwhile ends the program here.
    drop(quiet);
    entered
}

/// Reads keys one by one: the line never exists in the terminal's own buffer.
fn read_line(terminal: &mut File, quiet: &Quiet) -> Result<SecretBytes, Failure> {
    let cancelled = || Failure::new(Code::CANCELLED, "cancelled; nothing was done");
    let mut line = SecretBytes::new();
    let mut too_long = false;
    loop {
        let mut key = [0];
        if !quiet.wait_for_key().map_err(unreadable)?
            || terminal.read(&mut key).map_err(unreadable)? == 0
        {
            return Err(cancelled());
        }
        match key[0] {
            b'\r' | b'\n' if too_long => {
                let text = format!("at most {MAX_LINE_BYTES} bytes can be typed; nothing was done");
                return Err(Failure::new(Code::INVALID, text));
            }
            b'\r' | b'\n' => return Ok(line),
            0x03 => return Err(cancelled()),                    // ^C
            0x04 if line.is_empty() => return Err(cancelled()), // ^D
            0x15 => {
                line.clear(); // ^U
                too_long = false;
            }
            0x08 | 0x7f => erase_character(&mut line),
            byte if line.len() < MAX_LINE_BYTES => line.extend_from_slice(&[byte])?,
            // Cut in silence, it would be another password than the one that was typed.
            _ => too_long = true,
        }
    }
}

/// Removes the last character, which may be several bytes of UTF-8.
fn erase_character(line: &mut SecretBytes) {
    let continuation = |byte: &u8| byte & 0xc0 == 0x80;
    let bytes = line.expose();
    let tail = bytes.iter().rev().take_while(|byte| continuation(byte)).count();
    line.truncate(bytes.len().saturating_sub(tail + 1));
}

/// A terminal without echo, line editing and signals; as before when dropped.
struct Quiet {
    terminal: File,
    before: Termios,
    /// Readable when a signal came that ends this program. It stays pending, and does so once the
    /// terminal is as before.
    ended: SignalFd,
    mask_before: SigSet,
}

impl Quiet {
    fn new(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let ending = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
        let ending = SigSet::from_iter(ending);
        let ended = SignalFd::new(&ending)?;
        let mask_before = ending.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let mut flags = before.clone();
        let quiet = Self { terminal, before, ended, mask_before };
        flags
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG);
        flags.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        flags.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(&quiet.terminal, SetArg::TCSAFLUSH, &flags)?;
        Ok(quiet)
    }

    /// Whether there is a key to read; if not, this program was told to end.
    fn wait_for_key(&self) -> io::Result<bool> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(self.terminal.as_fd()), readable(self.ended.as_fd())];
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(!fds[1].any().unwrap_or(false)),
            }
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // What was pasted behind the line is no command for the shell: forget it.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
        let _ = self.mask_before.thread_set_mask();
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new(Code::INVALID, format!("cannot read from the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erasing_takes_whole_characters() {
        let mut line = SecretBytes::copy_of("aé漢".as_bytes()).unwrap();
        erase_character(&mut line);
        assert_eq!(line.expose(), "aé".as_bytes());
        erase_character(&mut line);
        erase_character(&mut line);
        erase_character(&mut line);
        assert!(line.is_empty());
    }
}
