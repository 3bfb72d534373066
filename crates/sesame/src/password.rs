//! Passwords: from a terminal without echo, from standard input, or from a systemd credential.
//! Never from the command line or the environment. They exist in secret memory only.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use secret_memory::SecretBytes;

use crate::exit::{Code, Failure};

/// Longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Where the password comes from; the terminal when nothing is said.
#[derive(Args, Clone, Debug, Default)]
pub struct PasswordSource {
    /// Read the password from standard input: its first line
    #[arg(long, conflicts_with = "password_credential")]
    pub password_stdin: bool,
    /// Read the password from the systemd credential NAME
    #[arg(long, value_name = "NAME")]
    pub password_credential: Option<String>,
}

impl PasswordSource {
    /// A password to unlock with.
    pub fn ask(&self, prompt: &str) -> Result<SecretBytes, Failure> {
        match self.elsewhere()? {
            Some(password) => Ok(password),
            None => prompt_hidden(prompt),
        }
    }

    /// A new password; a terminal asks twice.
    pub fn ask_new(&self, prompt: &str) -> Result<SecretBytes, Failure> {
        if let Some(password) = self.elsewhere()? {
            return Ok(password);
        }
        let first = prompt_hidden(prompt)?;
        let second = prompt_hidden("The same again: ")?;
        if first.expose() == second.expose() {
            return Ok(first);
        }
        Err(Failure::new(Code::INVALID, "the two passwords differ; nothing was done"))
    }

    fn elsewhere(&self) -> Result<Option<SecretBytes>, Failure> {
        if self.password_stdin {
            if io::stdin().is_terminal() {
                let text = "standard input is a terminal, which would show the password; leave \
                            --password-stdin out to be asked for it";
                return Err(Failure::new(Code::USAGE, text));
            }
            let mut stdin =
                File::from(io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?);
            return SecretBytes::read_from(&mut stdin, MAX_PASSWORD_BYTES)
                .map(first_line)
                .map(Some)
                .map_err(unreadable);
        }
        let Some(name) = &self.password_credential else { return Ok(None) };
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let directory = directory.ok_or_else(|| {
            Failure::new(
                Code::USAGE,
                "no credentials were passed to this process (systemd.exec(5))",
            )
        })?;
        if name.contains('/') || name.starts_with('.') {
            return Err(Failure::new(Code::USAGE, "a credential's name is a plain file name"));
        }
        let mut file = File::open(directory.join(name)).map_err(unreadable)?;
        SecretBytes::read_from(&mut file, MAX_PASSWORD_BYTES)
            .map(first_line)
            .map(Some)
            .map_err(unreadable)
    }
}

/// Everything before the first line feed, so that `echo` and editors do no harm.
fn first_line(mut bytes: SecretBytes) -> SecretBytes {
    if let Some(end) = bytes.expose().iter().position(|byte| *byte == b'\n') {
        bytes.truncate(end);
    }
    bytes
}

/// Asks on the terminal without echo, whatever standard input and output are.
pub fn prompt_hidden(prompt: &str) -> Result<SecretBytes, Failure> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| {
        Failure::new(
            Code::USAGE,
            "there is no terminal to ask for the password; use --password-stdin or \
             --password-credential",
        )
    })?;
    let quiet = Quiet::new(&terminal).map_err(unreadable)?;
    terminal.write_all(prompt.as_bytes()).map_err(unreadable)?;
    let entered = read_line(&mut terminal, &quiet);
    drop(quiet);
    let _ = terminal.write_all(b"\n");
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
                let text =
                    format!("at most {MAX_PASSWORD_BYTES} bytes can be typed; nothing was done");
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
            byte if line.len() < MAX_PASSWORD_BYTES => line.extend_from_slice(&[byte])?,
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
    Failure::new(Code::INVALID, format!("cannot read the password: {error}"))
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

    #[test]
    fn only_the_first_line_counts() {
        let line = first_line(SecretBytes::copy_of(b"secret\nrest").unwrap());
        assert_eq!(line.expose(), b"secret");
    }
}
