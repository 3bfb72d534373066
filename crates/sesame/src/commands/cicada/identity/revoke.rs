//! `sesame cicada identity revoke`

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use cicada_client::Client;
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(
    connect: impl FnOnce() -> Result<Client, Failure>,
    output: &Output,
    name: &str,
    yes: bool,
) -> Result<(), Failure> {
    if !yes {
        confirm(name)?;
    }
    let revoked = connect()?.revoke(name)?;
    let text = format!(
        "Identity {name} is revoked: its keys are destroyed, and its name is not given again.\n"
    );
    output.result(&text, json!({ "identity": revoked.identity, "revoked": revoked.revoked }))
}

/// Nothing brings the keys back, so a `y` out of habit is not enough.
fn confirm(name: &str) -> Result<(), Failure> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| {
        let text = "there is no terminal to ask on, and nothing was revoked; use --yes";
        Failure::new(Code::USAGE, text)
    })?;
    let unreadable = |error: io::Error| {
        let text = format!("cannot read from the terminal: {error}; nothing was revoked");
        Failure::new(Code::INVALID, text)
    };
    let question =
        format!("This destroys all keys of {name:?}, for good. Type its name to go on: ");
    terminal.write_all(question.as_bytes()).map_err(unreadable)?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer).map_err(unreadable)?;
    if answer.trim() == name {
        return Ok(());
    }
    Err(Failure::new(Code::CANCELLED, "that is not its name; nothing was revoked"))
}
