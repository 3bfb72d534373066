//! `ceremony-console greet` and `refuse`: what stands above the first prompt, or in its place.

use crate::host::Host;
use crate::peers::{Peer, Unlisted};
use crate::power::POWER_OFF;
use crate::printable::Printable;
use crate::services::Failed;
use crate::setup::State;

/// As many as fit on a screen, with what stands below them.
const OTHERS_SHOWN: usize = 4;

/// What a person reads before the first prompt; `others` may talk to the daemons, too.
#[must_use]
pub fn greeting(
    state: Option<&State>,
    failed: &[Failed],
    others: &Result<Vec<Peer>, Unlisted>,
) -> String {
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
        text.push_str(&known_besides(others));
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

/// Who prepared a volume may have added a key of their own.
fn known_besides(others: &Result<Vec<Peer>, Unlisted>) -> String {
    let Ok(others) = others else {
        return "WHO ELSE MAY TALK TO THE DAEMONS IS NOT KNOWN: `sesame peer list` failed.\n\n"
            .to_owned();
    };
    if others.is_empty() {
        return String::new();
    }
    let mut text = String::from("BESIDE THE OPERATOR HERE THE DAEMONS KNOW (peers.toml):\n\n");
    for Peer { name, role, uid, key } in others.iter().take(OTHERS_SHOWN) {
        let [name, role] = [name, role].map(|text| Printable::name(text));
        text.push_str(&format!("  {name}, {role}, uid {uid}\n    {}\n", Printable::line(key)));
    }
    let more = others.len().saturating_sub(OTHERS_SHOWN);
    if more > 0 {
        text.push_str(&format!("  and {more} more: sesame peer list\n"));
    }
    text.push_str("\nIf nobody in the room put that there, do not use this volume.\n\n");
    text
}

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
