//! A program in a daemon's place, and what it tries: `intruder bare|sandboxed STATE VICTIM
//! ABSTRACT-SOCKET SETUID-PROGRAM`.
//!
//! `bare` has what it was started with (a unit, a container, nothing); `sandboxed` puts the daemons' own
//! sandbox on top, with STATE as the one directory. Prints a line for every attempt, which begins with
//! `denied` or `ALLOWED`; exits 0 when all were denied.

use std::path::PathBuf;
use std::process::ExitCode;

use hardening::filesystem::{self, Access};
use hardening::{network, process, seccomp};

#[path = "../../../hardening/tests/common/intrusions.rs"]
mod intrusions;

use intrusions::{Site, intrusions};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, state, victim, abstract_socket, setuid_program] = arguments.as_slice() else {
        eprintln!("usage: intruder bare|sandboxed STATE VICTIM ABSTRACT-SOCKET SETUID-PROGRAM");
        return ExitCode::from(2);
    };
    let site = Site {
        victim: victim.parse().expect("a process id"),
        abstract_socket: abstract_socket.clone(),
        setuid_program: setuid_program.clone(),
    };
    if mode == "sandboxed" {
        sandbox(state.into());
    }
    let lines: Vec<String> = intrusions().iter().map(|one| one.line(&site)).collect();
    for line in &lines {
        println!("{line}");
    }
    let all = lines.iter().all(|line| line.starts_with("denied"));
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The order of daemon-runtime's start, with its paths.
fn sandbox(state: PathBuf) {
    network::isolate(false).expect("isolate");
    process::lock_down().expect("lock_down");
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    let access = Access { read_write: vec![state], read_only: vec![own] };
    filesystem::restrict(&access).expect("restrict");
    seccomp::apply_to_every_thread(seccomp::SERVICE).expect("seccomp");
}
