//! `ceremony-console setup`: the attestation, and the question where state is kept.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::devices::{Disk, Disks, LSBLK};
use crate::host::{Ended, Host};
use crate::menu::{self, Choice};
use crate::power::POWER_OFF;
use crate::volume::{self, Places, VolumeError};

/// `sesame media attest`: the kernel lacks what daemons need (`sesame --help`).
const BELOW_FLOOR: i32 = 21;
/// `sesame media attest`: something speaks against the medium, or against how it was booted.
const TAMPERED: i32 = 26;

/// [`crate::attestation`], which is this program again.
const ATTEST: &[&str] = &["/proc/self/exe", "attest"];

/// Where [`State`] is written for other programs: one line.
pub const STATE_FILE: &str = "/run/ceremony/state";

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// In memory.
    Memory,
    /// On this disk or partition.
    Volume(String),
}

impl State {
    /// What [`STATE_FILE`] says; nothing when it isn't there yet.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        match text.trim().split_once(' ') {
            None if text.trim() == "memory" => Some(Self::Memory),
            Some(("volume", name)) => Some(Self::Volume(name.to_owned())),
            _ => None,
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Memory => "memory\n".to_owned(),
            Self::Volume(name) => format!("volume {name}\n"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The console is gone.
    #[error(
        "the ceremony console cannot be read ({0}); no disk was touched. Switch this machine off and on again"
    )]
    Console(#[source] io::Error),
    /// The answer can't be kept.
    #[error("cannot write {STATE_FILE}: {0}")]
    StateFile(#[source] io::Error),
    /// There is more on the medium than there should be, or something else.
    #[error("the medium is not what it should be; nothing is started from it")]
    Tampered,
    /// The person wants the machine to be switched off.
    #[error("this machine is being switched off")]
    PowerOff,
}

/// Asks until there is an answer that works, and writes it to `state_file`.
///
/// # Errors
/// [`SetupError`]: nothing that depends on state starts then.
pub fn run(host: &mut dyn Host, places: &Places, state_file: &Path) -> Result<State, SetupError> {
    attest(host, &state_file.with_file_name("attestation"))?;
    let state = loop {
        if let Some(state) = once(host, places)? {
            break state;
        }
    };
    write_public(state_file, &state.line()).map_err(SetupError::StateFile)?;
    Ok(state)
}

fn write_public(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    // Whoever sits at the console reads it too, and the umask is for secrets.
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// What the attestation prints is what people hold against their sheet. Its exit status decides what
/// follows: below the floor the daemons refuse by themselves, and it has said so; on a medium that has more than it
/// should, or without any answer, nobody is asked for anything.
fn attest(host: &mut dyn Host, file: &Path) -> Result<(), SetupError> {
    host.say("\nSesame\n\n");
    let ended = host.capture(ATTEST).map(|(ended, text)| {
        host.say(&text);
        // Only root reads the medium; for whoever wants to see it again, this is all there is.
        if let Err(error) = write_public(file, &text) {
            host.say(&format!("It can't be kept in {}: {error}\n", file.display()));
        }
        ended
    });
    let failed = match ended {
        Ok(Ended::Exit(0 | BELOW_FLOOR)) => return Ok(()),
        Ok(Ended::Exit(TAMPERED)) => {
            "THIS MEDIUM IS NOT WHAT IT SHOULD BE, OR NOT WHAT WAS STARTED (above).".to_owned()
        }
        Ok(ended) => format!("THE BOOT ATTESTATION WAS NOT MADE ({ended})."),
        Err(error) => format!("THE BOOT ATTESTATION WAS NOT MADE ({error})."),
    };
    host.say(&format!(
        "\n{failed}\nNothing is started from it, and nothing was written.\n\
         Check it on another machine: sesame media verify\n\n"
    ));
    while host.ask("Enter switches this machine off: ").is_ok() {
        if matches!(host.run(POWER_OFF), Ok(ended) if ended.is_success()) {
            break;
        }
    }
    // Nobody can be asked, or it is being switched off: the units that need an answer don't start.
    Err(SetupError::Tampered)
}

/// One round of questions; `None` asks again.
fn once(host: &mut dyn Host, places: &Places) -> Result<Option<State>, SetupError> {
    let disks = look(host);
    host.say(&menu::question(&disks));
    let answer = host.ask(menu::PROMPT).map_err(SetupError::Console)?;
    match menu::choice(&disks, &answer) {
        Some(Choice::Memory) => Ok(Some(State::Memory)),
        Some(Choice::Volume(volume)) => {
            let used = volume::use_existing(host, &volume.name, places);
            Ok(told(host, used).then(|| State::Volume(volume.name.to_string())))
        }
        Some(Choice::New) => new_volume(host, places, &disks),
        Some(Choice::Again) => Ok(None),
        Some(Choice::PowerOff) => {
            let off = host.run(POWER_OFF);
            if matches!(off, Ok(ended) if ended.is_success()) {
                return Err(SetupError::PowerOff);
            }
            host.say(
                "\nThis machine did not switch itself off; use its switch. Nothing was written.\n",
            );
            Ok(None)
        }
        None => {
            host.say("\nThat is none of the answers.\n");
            Ok(None)
        }
    }
}

fn new_volume(
    host: &mut dyn Host,
    places: &Places,
    disks: &Disks,
) -> Result<Option<State>, SetupError> {
    host.say(&menu::which_disk(disks));
    let answer = host.ask(menu::WHICH_DISK_PROMPT).map_err(SetupError::Console)?;
    let Some(disk) = menu::named_disk(disks, &answer) else {
        host.say("\nNo disk was erased.\n");
        return Ok(None);
    };
    // Between the question and the answer somebody may have pulled it out and put in another.
    if !is_still_there(&look(host), disk) {
        host.say(&format!(
            "\n{} is not the disk any more that was listed. No disk was erased.\n",
            disk.name
        ));
        return Ok(None);
    }
    let made = volume::make(host, &disk.name, places);
    Ok(told(host, made).then(|| State::Volume(disk.name.to_string())))
}

fn is_still_there(disks: &Disks, disk: &Disk) -> bool {
    disks.erasable.contains(disk)
}

/// The disks as they are now; none if they can't be listed, which is said.
fn look(host: &mut dyn Host) -> Disks {
    // A stick that was plugged in a moment ago is still being looked at.
    let _ = host.run(&["udevadm", "settle", "--timeout=30"]);
    let listed = match host.capture(LSBLK) {
        Ok((Ended::Exit(0), json)) => Disks::parse(&json).map_err(|error| error.to_string()),
        Ok((ended, _)) => Err(format!("lsblk could not list the disks ({ended})")),
        Err(error) => Err(format!("lsblk could not list the disks ({error})")),
    };
    listed.unwrap_or_else(|error| {
        host.say(&format!("\n{error}\n"));
        Disks::default()
    })
}

fn told(host: &mut dyn Host, done: Result<(), VolumeError>) -> bool {
    if let Err(error) = &done {
        host.say(&format!("\n{error}\n"));
    }
    done.is_ok()
}

#[cfg(test)]
mod tests;
