//! A daemon that was taken over, in the very sandbox of the daemons, and what it tries next:
//! `hostile free|confined STATE VICTIM OUTSIDE ABSTRACT-SOCKET ATTEMPT…`.
//!
//! VICTIM is the process id of another daemon, OUTSIDE its directory with a file called `there`. An
//! attempt is `read:PATH`, `list:PATH`, `append:PATH`, `create:PATH` or `remove:PATH`. Every
//! thread tries everything; `free` tries the attempts only, and outside the sandbox. Prints a line
//! for each that was not denied; exits 0 when there was none.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use hardening::filesystem::{self, Access};
use hardening::{network, process, seccomp};

#[path = "../../../hardening/tests/common/attacks.rs"]
#[allow(dead_code, reason = "the tests there use more of it")]
mod attacks;

use attacks::{ATTACKS, Target, denied};

const WORKERS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, state, victim, outside, abstract_socket, attempts @ ..] = arguments.as_slice()
    else {
        eprintln!("usage: hostile free|confined STATE VICTIM OUTSIDE ABSTRACT-SOCKET ATTEMPT…");
        return ExitCode::from(2);
    };
    let target = Target {
        victim: victim.parse().expect("a process id"),
        outside: PathBuf::from(outside),
        abstract_socket: abstract_socket.clone(),
    };
    let reached = if mode == "free" {
        try_paths(attempts)
    } else {
        confined(Path::new(state), &target, attempts)
    };
    for line in &reached {
        println!("{line}");
    }
    if reached.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The order of daemon-runtime's start, with its paths.
fn confined(state: &Path, target: &Target, attempts: &[String]) -> Vec<String> {
    network::isolate(false).expect("isolate");
    process::lock_down().expect("lock_down");
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    let access = Access { read_write: vec![state.to_owned()], read_only: vec![own] };
    filesystem::restrict(&access).expect("restrict");
    let (reports, reported) = mpsc::channel();
    let mut starts = Vec::new();
    for _ in 0..WORKERS {
        let (start, started) = mpsc::channel::<()>();
        let (reports, target, attempts) = (reports.clone(), target.clone(), attempts.to_vec());
        thread::spawn(move || {
            started.recv().expect("the word to start");
            reports.send(try_all(&target, &attempts)).expect("a listener");
            // Stays, to be counted.
            let _ = started.recv();
        });
        starts.push(start);
    }
    seccomp::apply_to_every_thread(seccomp::SERVICE).expect("seccomp");
    let total = std::fs::read_dir("/proc/self/task").expect("the threads").count();
    assert_eq!(total, WORKERS + 1);
    // What is its own stays its own.
    let file = state.join("hostile");
    fs::write(&file, "x").and_then(|()| fs::remove_file(&file)).expect("its own directory");
    let mut reached = try_all(target, attempts);
    for start in &starts {
        start.send(()).expect("a worker");
        reached.extend(reported.recv().expect("a report"));
    }
    reached
}

fn try_all(target: &Target, attempts: &[String]) -> Vec<String> {
    let tried = ATTACKS.iter().map(|(name, attack)| (name, attack(target)));
    let mut reached: Vec<String> = tried
        .filter(|(_, result)| !denied(result))
        .map(|(name, result)| format!("{name}: {result:?}"))
        .collect();
    reached.extend(try_paths(attempts));
    reached
}

fn try_paths(attempts: &[String]) -> Vec<String> {
    let tried = attempts.iter().map(|attempt| (attempt, try_path(attempt)));
    tried
        .filter(|(_, result)| !denied(result))
        .map(|(attempt, result)| format!("{attempt}: {result:?}"))
        .collect()
}

fn try_path(attempt: &str) -> io::Result<()> {
    let (verb, path) = attempt.split_once(':').expect("VERB:PATH");
    match verb {
        "read" => File::open(path).map(drop),
        "list" => fs::read_dir(path).map(drop),
        "append" => OpenOptions::new().append(true).open(path).map(drop),
        "create" => OpenOptions::new().write(true).create_new(true).open(path).map(drop),
        "remove" => fs::remove_file(path),
        other => panic!("no such attempt: {other}"),
    }
}
