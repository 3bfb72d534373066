//! Passwords: from a terminal without echo, from standard input, or from a systemd credential.
//! Never from the command line or the environment. They exist in secret memory only.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::Args;
use secret_memory::SecretBytes;

use crate::exit::{Code, Failure};
use crate::prompt::prompt_hidden;

/// Longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// The most that is read from elsewhere: passwords and passphrases of a ceremony, one a line.
const MAX_INPUT_BYTES: usize = 64 * (MAX_PASSWORD_BYTES + 1);

/// Where passwords come from; the terminal when nothing is said.
#[derive(Args, Clone, Debug, Default)]
pub struct PasswordSource {
    /// Read passwords from standard input: one a line, in the order in which they are needed
    #[arg(long, conflicts_with = "password_credential")]
    pub password_stdin: bool,
    /// Read passwords from the systemd credential NAME, in the same way
    #[arg(long, value_name = "NAME")]
    pub password_credential: Option<String>,
}

/// The passwords of one command, as they are needed.
pub struct Passwords {
    source: PasswordSource,
    /// What is left of standard input or the credential, once it was read.
    lines: Option<Lines>,
}

impl Passwords {
    pub fn new(source: &PasswordSource) -> Self {
        Self { source: source.clone(), lines: None }
    }

    /// As [`Passwords::new`], from standard input whatever was said of passwords.
    pub fn from_stdin() -> Self {
        Self::new(&PasswordSource { password_stdin: true, password_credential: None })
    }

    /// Whether nobody is to be asked.
    pub fn are_elsewhere(&self) -> bool {
        self.source.password_stdin || self.source.password_credential.is_some()
    }

    /// The next one from standard input or the credential; `None` behind the last.
    pub fn next_line(&mut self) -> Result<Option<SecretBytes>, Failure> {
        if self.lines.is_none() {
            self.lines = Some(Lines::new(self.read()?));
        }
        match &mut self.lines {
            Some(lines) => lines.next_line(),
            None => Ok(None),
        }
    }

    /// One that must be there.
    pub fn ask(&mut self, prompt: &str) -> Result<SecretBytes, Failure> {
        if !self.are_elsewhere() {
            return prompt_hidden(prompt);
        }
        self.next_line()?.ok_or_else(|| {
            let text = "standard input or the credential has too few lines: one for each password \
                        is needed; nothing was done";
            Failure::new(Code::INVALID, text)
        })
    }

    /// A new one; a terminal asks twice.
    pub fn ask_new(&mut self, prompt: &str) -> Result<SecretBytes, Failure> {
        let first = self.ask(prompt)?;
        if self.are_elsewhere() || first.expose() == prompt_hidden("The same again: ")?.expose() {
            return Ok(first);
        }
        Err(Failure::new(Code::INVALID, "the two passwords differ; nothing was done"))
    }

    fn read(&self) -> Result<SecretBytes, Failure> {
        if self.source.password_stdin {
            return read_stdin("password", "leave --password-stdin out to be asked for it");
        }
        let Some(name) = &self.source.password_credential else { return Ok(SecretBytes::new()) };
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
        SecretBytes::read_from(&mut file, MAX_INPUT_BYTES).map_err(unreadable)
    }
}

/// All of standard input, which must be no terminal.
pub fn read_stdin(what: &str, instead: &str) -> Result<SecretBytes, Failure> {
    if io::stdin().is_terminal() {
        let text = format!("standard input is a terminal, which would show the {what}; {instead}");
        return Err(Failure::new(Code::USAGE, text));
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?;
    SecretBytes::read_from(&mut File::from(stdin), MAX_INPUT_BYTES).map_err(unreadable)
}

/// Lines without their line feeds, so that `echo` and editors do no harm.
pub struct Lines {
    text: SecretBytes,
    start: usize,
}

impl Lines {
    pub fn new(text: SecretBytes) -> Self {
        Self { text, start: 0 }
    }

    /// The next line. No text at all is one empty line.
    pub fn next_line(&mut self) -> Result<Option<SecretBytes>, Failure> {
        let rest = self.text.expose().get(self.start..).unwrap_or_default();
        if rest.is_empty() && self.start > 0 {
            return Ok(None);
        }
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.len() > MAX_PASSWORD_BYTES {
            let error = io::Error::other(format!("more than {MAX_PASSWORD_BYTES} bytes"));
            return Err(unreadable(error));
        }
        self.start += line.len() + 1;
        Ok(Some(SecretBytes::copy_of(line)?))
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new(Code::INVALID, format!("cannot read the password: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(SecretBytes::copy_of(text).unwrap());
        let next = || lines.next_line().unwrap().map(|line| line.expose().to_vec());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn each_line_is_a_password() {
        assert_eq!(lines(b"secret\nrest"), [&b"secret"[..], b"rest"]);
        assert_eq!(lines(b"secret\n"), [b"secret"]);
        assert_eq!(lines(b"one\n\ntwo\n"), [&b"one"[..], b"", b"two"]);
        assert_eq!(lines(b""), [b""], "an empty password, which the daemon refuses");
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_and_not_cut() {
        let longest = [b'p'; MAX_PASSWORD_BYTES];
        assert_eq!(lines(&longest), [longest]);
        let longer = SecretBytes::copy_of(&[b'p'; MAX_PASSWORD_BYTES + 1]).unwrap();
        let failure = Lines::new(longer).next_line().unwrap_err();
        assert_eq!(failure.code, Code::INVALID);
        assert!(failure.message.contains("more than 1024 bytes"), "{}", failure.message);
    }
}
