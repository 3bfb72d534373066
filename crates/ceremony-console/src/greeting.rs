//! `ceremony-console greet` and `refuse`: what stands above the first prompt, or in its place.

use crate::host::Host;
use crate::power::POWER_OFF;
use crate::printable::Printable;
use crate::services::Failed;
use crate::setup::State;

/// What a person reads before the first prompt.
#[must_use]
pub fn greeting(state: Option<&State>, failed: &[Failed]) -> String {
    let mut text = String::from("\nSesame ceremony console\n\n");
    text.push_str(&match state {
        Some(State::Memory) => {
            "State is in memory: it is gone when this machine is switched off.\n".to_owned()
        }
        Some(State::Volume(name)) => {
            format!("State is on the encrypted volume on {}.\n", Printable::name(name))
        }
        None => "Nobody has said where state is kept.\n".to_owned(),
    });
    if failed.is_empty() {
        text.push_str("The daemons are ready. No kernel module is loaded from here on.\n\n");
        text.push_str(FIRST_STEPS);
    } else {
        text.push_str(&no_ceremony(failed));
    }
    text
}

const FIRST_STEPS: &str = "  \
  sesame init --org NAME             makes an installation
  sesame unlock                      opens one that is there already
  sesame status --security-posture   says whether the floor holds
  cat /run/ceremony/attestation      shows again what was said at the start
  sesame --help                      has the rest

  /media/export   a FAT stick labelled SESAME; pull it out 3 seconds after its last use
  poweroff        switches this machine off
  reboot          starts it anew

";

fn no_ceremony(failed: &[Failed]) -> String {
    let mut text = String::from("\nNO CEREMONY CAN BE HELD ON THIS MACHINE AS IT IS.\n\n");
    for failed in failed {
        let service = &failed.service;
        let why = match service.active.as_str() {
            "failed" => format!("failed ({}, status {})", service.result, service.status),
            "activating" => "is still starting".to_owned(),
            "" => "is unknown to systemd".to_owned(),
            _ => "is not running".to_owned(),
        };
        text.push_str(&format!("  {} {why}\n", service.unit));
        for line in &failed.said {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text.push_str("\nNothing was lost by this. `poweroff` switches the machine off.\n\n");
    text
}

/// What a person reads where no shell may be given; then Enter switches the machine off.
pub fn refuse(host: &mut dyn Host) {
    host.say("\nTHIS MACHINE GIVES NO SHELL: it could not be brought into the state that a ceremony needs.\n\n");
    let query = [
        "journalctl",
        "--boot",
        "--no-pager",
        "--quiet",
        "--output=cat",
        "--priority=err",
        "--lines=12",
    ];
    let lines = host.capture(&query).map(|(_, text)| text).unwrap_or_default();
    for line in lines.lines().map(Printable::line) {
        host.say(&format!("    {line}\n"));
    }
    host.say("\nNothing was written by this. ");
    // If nobody can answer, the machine stays as it is, with these lines on its console.
    if host.ask("Enter switches this machine off: ").is_ok() {
        let _ = host.run(POWER_OFF);
    }
}

#[cfg(test)]
mod tests;
