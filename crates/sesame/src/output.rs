//! What is printed: text for a person, or one JSON object with `--json`.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::exit::{Code, Failure};

/// Where a command's result goes.
pub struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    /// Text, or JSON. Colour only on a terminal, and not when `NO_COLOR` is set (no-color.org).
    pub fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, colour: !json && wanted && io::stdout().is_terminal() }
    }

    /// Whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether colours are wanted.
    pub fn has_colour(&self) -> bool {
        self.colour
    }

    /// Prints the result in the form that was asked for.
    pub fn result(&self, text: &str, json: Value) -> Result<(), Failure> {
        if self.json {
            self.bytes(format!("{json}\n").as_bytes())
        } else {
            self.bytes(text.as_bytes())
        }
    }

    /// Writes bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        // Not through the buffer of `io::stdout`, which would keep a copy of a secret.
        let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        match stdout.and_then(|mut stdout| stdout.write_all(bytes)) {
            // The reader has seen enough (`sesame audit tail | head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::new(Code::FAILED, format!("cannot write: {error}"))),
            Ok(()) => Ok(()),
        }
    }

    /// Prints a failure on standard error, so that standard output holds results only.
    pub fn failure(&self, failure: &Failure) -> ExitCode {
        let Failure { code, message, retry_after_seconds, detail } = failure;
        if self.json {
            let mut error = json!({
                "code": code.name,
                "exit_code": code.number,
                "message": message,
                "retry_after_seconds": retry_after_seconds,
            });
            if let Some(detail) = detail {
                error["detail"] = detail.clone();
            }
            let error = json!({ "error": error });
            Self::complaint(format_args!("{error}"));
        } else {
            Self::complaint(format_args!("sesame: {message}"));
        }
        ExitCode::from(code.number)
    }

    /// A line on standard error; the exit code speaks for itself when nobody reads it.
    fn complaint(line: fmt::Arguments<'_>) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// A word in green, yellow or red where colour is wanted.
    pub fn paint(&self, colour: Colour, word: &str) -> String {
        if !self.colour {
            return word.to_owned();
        }
        let number = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        format!("\x1b[{number}m{word}\x1b[0m")
    }
}

/// The three colours that mean something.
#[derive(Clone, Copy)]
pub enum Colour {
    /// As it should be.
    Green,
    /// Worth a look.
    Yellow,
    /// Not as it should be.
    Red,
}
