//! `ceremony-console request poweroff|reboot`: how a user without privileges ends the session; and
//! `farewell`, the last words.

use std::fs;
use std::io;
use std::path::Path;

use crate::host::Host;
use crate::setup::State;
use crate::volume::MAPPED;

/// What ceremony-poweroff.path and ceremony-reboot.path watch.
pub const REQUESTS: &str = "/run/ceremony/request";

/// What `systemctl poweroff` does, without asking a logind, or for a password, by programs that aren't there.
pub const POWER_OFF: &[&str] = &[
    "systemctl",
    "--no-block",
    "--no-ask-password",
    "--job-mode=replace-irreversibly",
    "start",
    "poweroff.target",
];

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Off.
    PowerOff,
    /// Off and on again.
    Reboot,
}

impl Request {
    /// As it is typed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::PowerOff, Self::Reboot].into_iter().find(|request| request.name() == text)
    }

    fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "poweroff",
            Self::Reboot => "reboot",
        }
    }
}

/// The request can't be left where root looks.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot ask for it in {REQUESTS}: {0}; the machine stays on. Press Ctrl-Alt-Del, or use its switch"
)]
pub struct RequestError(#[from] io::Error);

/// Asks root for it. What is in memory would be lost: that is said, and confirmed unless `yes`.
///
/// # Errors
/// [`RequestError`].
pub fn request(
    host: &mut dyn Host,
    request: Request,
    yes: bool,
    state: Option<&State>,
    requests: &Path,
) -> Result<(), RequestError> {
    if state == Some(&State::Memory) && !yes {
        host.say("State is in memory: what was not exported to a stick is lost.\n");
        let answer = host.ask(&format!("Type yes to {}: ", request.name()))?;
        if answer.trim() != "yes" {
            host.say("The machine stays on.\n");
            return Ok(());
        }
    }
    fs::write(requests.join(request.name()), "")?;
    Ok(())
}

/// The last words on the console, when everything is stopped and unmounted that can be.
#[must_use]
pub fn farewell(verb: &str) -> String {
    // 2J and 3J: shares and codes don't stay on the screen, nor in what can be scrolled back.
    let mut text = String::from("\u{1b}[H\u{1b}[2J\u{1b}[3J");
    text.push_str(if Path::new(MAPPED).exists() {
        "The state volume could not be closed. Wait for the machine to be off before you pull it out.\n"
    } else {
        "Everything is stopped and unmounted: sticks may be pulled out.\n"
    });
    if verb == "poweroff" || verb == "halt" {
        text.push_str("Memory keeps traces for seconds after power is gone: stay with the machine for a minute.\n");
    }
    text
}

#[cfg(test)]
mod tests;
