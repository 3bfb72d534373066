//! `ceremony-console`: what a person meets on the console of the booted appliance.
//!
//! Units start it (`images/appliance`); only `request` is for a person's hands, through functions of the
//! shell. [`setup`] asks where state is kept, with [`devices`], [`menu`] and [`volume`]; [`operator`] makes
//! the key of whoever sits there; [`greeting`] says how the daemons are ([`services`]) and who else may talk
//! to them ([`peers`]); [`policy_lock`] does what only root can, when people agree, with the [`session`] standing
//! still; [`power`] is the end.

#![forbid(unsafe_code)]

mod attestation;
mod devices;
mod greeting;
mod host;
mod menu;
mod operator;
mod peers;
mod policy_lock;
mod power;
mod printable;
mod room;
#[cfg(test)]
mod scripted;
mod services;
mod session;
mod setup;
mod untrusted;
mod volume;

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::ttyname;

use crate::host::{Host as _, Machine};
use crate::power::Request;
use crate::room::Room;
use crate::session::Session;
use crate::setup::{STATE_FILE, State};
use crate::volume::Places;

/// Who sits at the console (sysusers.d/00-ceremony.conf).
const CEREMONY_USER: &str = "ceremony";
/// Both uid and gid of [`CEREMONY_USER`].
const CEREMONY_ID: u32 = 1000;

const USAGE: &str = "\
usage: ceremony-console COMMAND

  setup                            print the boot attestation, ask where state is kept
  attest                           print the boot attestation, the UEFI variables in view
  close                            unmount and close the state volume
  operator                         make the operator's key and tell the daemons
  lock-modules                     load no kernel module any more
  greet                            say how the daemons are, and what to type first
  refuse                           say why there is no shell
  lock-policy                      freeze the session, ask the people in the room, and lock the policy
  thaw                             let the session go on
  request poweroff|reboot [--yes]  ask root to switch the machine off
  farewell VERB                    the last words, from systemd-shutdown(8)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let state = || State::read(Path::new(STATE_FILE));
    let mut host = Machine;
    let done = match arguments.as_slice() {
        ["setup"] => setup(&mut host),
        ["attest"] => attestation::run().map_err(Into::into),
        ["close"] => close(&mut host),
        ["operator"] => operator::run().map_err(Into::into),
        ["lock-modules"] => lock_modules().map_err(Into::into),
        ["greet"] => {
            let failed = services::failed(&mut host);
            let others = peers::others(&mut host);
            host.say(&greeting::greeting(state().as_ref(), &failed, &others));
            Ok(())
        }
        ["refuse"] => {
            greeting::refuse(&mut host);
            Ok(())
        }
        ["request", verb, rest @ ..] if rest.is_empty() || rest == ["--yes"] => {
            match Request::parse(verb) {
                Some(request) => {
                    let requests = Path::new(power::REQUESTS);
                    power::request(&mut host, request, !rest.is_empty(), state().as_ref(), requests)
                        .map_err(Into::into)
                }
                None => return usage(),
            }
        }
        ["lock-policy"] => lock_policy().map_err(Into::into),
        ["thaw"] => Session::of_the_appliance().thaw().map_err(Into::into),
        ["farewell", verb] => {
            farewell(verb);
            Ok(())
        }
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ceremony-console: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn setup(host: &mut Machine) -> Result<(), Box<dyn Error>> {
    // Ctrl-C and the like end the program that asks, cryptsetup for one, and never the question: children
    // start with nothing blocked.
    let mut keys = SigSet::empty();
    keys.add(Signal::SIGINT);
    keys.add(Signal::SIGQUIT);
    keys.add(Signal::SIGTSTP);
    keys.thread_block()?;
    say_on_other_consoles();
    setup::run(host, &Places::of_the_appliance(), Path::new(STATE_FILE))?;
    policy_lock::take_back_unproven(host, Path::new(policy_lock::POLICY));
    host.say("\nStarting the daemons.\n");
    Ok(())
}

/// Whoever looks at a screen while the ceremony is on the serial port, or the other way round, is told.
fn say_on_other_consoles() {
    let Ok(own) = ttyname(io::stdin()) else { return };
    let own = own.to_string_lossy().trim_start_matches("/dev/").to_owned();
    let consoles = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    for console in consoles.split_whitespace() {
        // tty0 is whichever is seen; the ceremony is on the first.
        let name = if console == "tty0" { "tty1" } else { console };
        if name != own {
            write_to_tty(
                &format!("/dev/{name}"),
                &format!("\r\nThe ceremony console of this machine is {own}.\r\n"),
            );
        }
    }
}

/// As far as that goes: nobody may be there.
fn write_to_tty(path: &str, text: &str) {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    if let Ok(mut tty) = OpenOptions::new().write(true).custom_flags(flags.bits()).open(path) {
        let _ = tty.write_all(text.as_bytes());
    }
}

fn lock_policy() -> Result<(), policy_lock::PolicyLockError> {
    let places = policy_lock::Places::of_the_appliance();
    // ceremony-policy.service thaws it, however this ends.
    policy_lock::run(&places, |request| {
        Session::of_the_appliance().freeze()?;
        Room::open(move || policy_lock::is_waited_for(&request))
    })
}

/// systemd unmounts at the same time, so that what is busy or gone now is neither a moment later.
fn close(host: &mut Machine) -> Result<(), Box<dyn Error>> {
    let mut tries = 20;
    loop {
        match volume::close(host) {
            Ok(()) => return Ok(()),
            Err(error) if tries == 0 => return Err(error.into()),
            Err(_) => tries -= 1,
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// Documentation/admin-guide/sysctl/kernel.rst: once it is 1, it is 1 until the next boot.
fn lock_modules() -> io::Result<()> {
    const SWITCH: &str = "/proc/sys/kernel/modules_disabled";
    if fs::read_to_string(SWITCH)?.trim() != "1" {
        fs::write(SWITCH, "1\n")?;
    }
    match fs::read_to_string(SWITCH)?.trim() {
        "1" => Ok(()),
        _ => Err(io::Error::other(format!("{SWITCH} is not 1 after it was written"))),
    }
}

fn farewell(verb: &str) {
    let text = power::farewell(verb);
    let consoles = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    for console in consoles.split_whitespace() {
        write_to_tty(&format!("/dev/{console}"), &text.replace('\n', "\r\n"));
    }
}
