//! The questions about state: what is printed, and what an answer means. Nothing here touches a disk.

use std::fmt::Write as _;

use crate::devices::{Disk, Disks, Volume, human_size};
use crate::printable::Printable;

/// What was answered to [`question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<'d> {
    /// State is kept in memory.
    Memory,
    /// On this volume.
    Volume(&'d Volume),
    /// On a volume that is yet to be made.
    New,
    /// Look for disks again, and ask again.
    Again,
    /// Switch the machine off.
    PowerOff,
}

/// The question where state is to be kept.
#[must_use]
pub fn question(disks: &Disks) -> String {
    let mut text = String::from(
        "\nWhere is the state of this machine to be kept: keys, vaults and the audit trail?\n\n  \
         [1] in memory: gone when this machine is switched off\n",
    );
    for (number, volume) in disks.volumes.iter().enumerate() {
        let line = format!(
            "  [{}] on {}, an encrypted volume made earlier ({})\n",
            number + 2,
            volume.name,
            described(volume.size, &volume.model),
        );
        text.push_str(&line);
    }
    if disks.erasable.is_empty() {
        text.push_str("  No disk is there that a new encrypted volume could be made on.\n");
    } else {
        let number = disks.volumes.len() + 2;
        let _ = writeln!(text, "  [{number}] on a new encrypted volume: erases a disk");
    }
    text.push_str(
        "  [r] look again, after a disk was plugged in\n  [o] switch this machine off\n\n",
    );
    text
}

/// The line on which the answer to [`question`] is typed.
pub const PROMPT: &str = "A number or letter, and Enter. Enter alone is 1: ";

/// What `answer` chooses; `None` for what is no answer to [`question`].
#[must_use]
pub fn choice<'d>(disks: &'d Disks, answer: &str) -> Option<Choice<'d>> {
    match answer.trim() {
        "" | "1" => Some(Choice::Memory),
        "r" | "R" => Some(Choice::Again),
        "o" | "O" => Some(Choice::PowerOff),
        number => {
            let index = plain_number(number)?.checked_sub(2)?;
            match disks.volumes.get(index) {
                Some(volume) => Some(Choice::Volume(volume)),
                None if index == disks.volumes.len() && !disks.erasable.is_empty() => {
                    Some(Choice::New)
                }
                None => None,
            }
        }
    }
}

/// The question which disk is to be erased.
#[must_use]
pub fn which_disk(disks: &Disks) -> String {
    let mut text =
        String::from("\nA new encrypted volume takes a whole disk. Everything on it is lost.\n\n");
    for disk in &disks.erasable {
        let mut facts = vec![described(disk.size, &disk.model)];
        if !disk.serial.is_empty() {
            facts.push(format!("serial {}", disk.serial));
        }
        if !disk.transport.is_empty() {
            facts.push(disk.transport.to_string());
        }
        facts.push(if disk.removable { "removable" } else { "built in" }.to_owned());
        let _ = writeln!(text, "  {}: {}", disk.name, facts.join(", "));
        let holds: Vec<&str> = disk.holds.iter().map(Printable::as_str).collect();
        let holds = if holds.is_empty() { "nothing known".to_owned() } else { holds.join("; ") };
        let _ = writeln!(text, "      holds {holds}");
    }
    text.push('\n');
    text
}

/// The line on which the answer to [`which_disk`] is typed.
pub const WHICH_DISK_PROMPT: &str =
    "To erase a disk type its name, and Enter. Enter alone goes back: ";

/// The disk that `answer` names, letter for letter.
#[must_use]
pub fn named_disk<'d>(disks: &'d Disks, answer: &str) -> Option<&'d Disk> {
    disks.erasable.iter().find(|disk| disk.name.as_str() == answer.trim())
}

fn described(size: u64, model: &Printable) -> String {
    if model.is_empty() { human_size(size) } else { format!("{}, {model}", human_size(size)) }
}

/// Digits only: neither `+3` nor ` 3 4`, and no number that begins with 0.
fn plain_number(text: &str) -> Option<usize> {
    let plain =
        text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
