//! `ceremony-console operator`: the key of whoever sits at the console, made once.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use crate::{CEREMONY_ID, CEREMONY_USER, peers};

/// `sesame`'s exit status for what is there already.
const EXISTS: i32 = 9;

/// Why the operator isn't known to the daemons.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// `sesame` can't be started.
    #[error("cannot run sesame: {0}; no key was made")]
    Start(#[source] io::Error),
    /// `sesame` said no.
    #[error("`{command}` failed: {said}")]
    Refused {
        /// What was run.
        command: &'static str,
        /// What it said.
        said: String,
    },
    /// What `sesame` printed can't be read.
    #[error(
        "`{command}` printed something else than expected; the daemons may not know the operator's key"
    )]
    Output {
        /// What was run.
        command: &'static str,
    },
    /// Another key goes by the operator's name.
    #[error(
        "peers.toml knows another key of {CEREMONY_USER} than the one in the home directory, so that the \
         daemons will refuse it. Nothing was changed. Has one of the two been replaced?"
    )]
    OtherKey,
}

/// Makes the key as the ceremony user, and adds it to peers.toml as root, unless it is there.
///
/// # Errors
/// [`OperatorError`].
pub fn run() -> Result<(), OperatorError> {
    let key = succeed("sesame key", as_operator(&["key"])?)?;
    let key = public_key(&key).ok_or(OperatorError::Output { command: "sesame key" })?;
    let uid = CEREMONY_ID.to_string();
    let add = ["peer", "add", CEREMONY_USER, "--uid", &uid, "--key", key];
    let added = as_root(&add)?;
    if added.status.code() != Some(EXISTS) {
        return succeed("sesame peer add", added).map(drop);
    }
    let list = succeed("sesame peer list", as_root(&["--json", "peer", "list"])?)?;
    let peers =
        peers::parse(&list).map_err(|_| OperatorError::Output { command: "sesame peer list" })?;
    let known = peers
        .iter()
        .any(|peer| peer.name == CEREMONY_USER && peer.uid == CEREMONY_ID && peer.key == key);
    known.then_some(()).ok_or(OperatorError::OtherKey)
}

fn as_root(arguments: &[&str]) -> Result<Output, OperatorError> {
    Command::new("sesame").args(arguments).output().map_err(OperatorError::Start)
}

fn as_operator(arguments: &[&str]) -> Result<Output, OperatorError> {
    let mut command = Command::new("sesame");
    command.args(arguments).env("HOME", "/home/ceremony").current_dir("/home/ceremony");
    // The standard library gives up the other groups with it.
    command.uid(CEREMONY_ID).gid(CEREMONY_ID);
    command.output().map_err(OperatorError::Start)
}

fn succeed(command: &'static str, output: Output) -> Result<Vec<u8>, OperatorError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Err(OperatorError::Refused { command, said })
}

/// 64 lower-case hexadecimal digits and a newline.
fn public_key(printed: &[u8]) -> Option<&str> {
    let key = std::str::from_utf8(printed).ok()?.strip_suffix('\n')?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (key.len() == 64 && key.bytes().all(hex)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::public_key;

    #[test]
    fn only_a_key_is_taken_for_one() {
        let key = "0123456789abcdef".repeat(4);
        assert_eq!(public_key(format!("{key}\n").as_bytes()), Some(key.as_str()));
        for printed in
            [key.clone(), format!("{key}0\n"), format!("{}\n", key.to_uppercase()), "\n".to_owned()]
        {
            assert_eq!(public_key(printed.as_bytes()), None, "{printed:?}");
        }
    }
}
