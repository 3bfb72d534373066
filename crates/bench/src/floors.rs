//! What the machine itself costs, measured beside everything else.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use argon2::{Algorithm, Argon2, Params, Version};

/// The median time of `rounds` calls, after some that are not counted.
pub fn median(rounds: usize, mut call: impl FnMut()) -> Duration {
    for _ in 0..rounds / 10 + 1 {
        call();
    }
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2]
}

/// Runs `measure` on one CPU, with every thread that it spawns: what is left is the work, and not how
/// long this machine takes to wake an idle CPU.
pub fn on_one_cpu<T>(measure: impl FnOnce() -> T) -> T {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this).expect("the CPUs of this thread");
    let mut one = CpuSet::new();
    let first = (0..CpuSet::count()).find(|cpu| before.is_set(*cpu).unwrap_or(false));
    one.set(first.unwrap_or(0)).expect("a CPU");
    sched_setaffinity(this, &one).expect("fewer CPUs");
    let measured = measure();
    sched_setaffinity(this, &before).expect("the CPUs of before");
    measured
}

/// A message of `request` bytes there and one of `reply` bytes back, over a bare Unix socket with
/// another thread at its end.
pub fn ping_pong(request: usize, reply: usize) -> Duration {
    let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
    let echo = std::thread::spawn(move || {
        let mut message = vec![0; request];
        let answer = vec![0; reply];
        while far.read_exact(&mut message).is_ok() && far.write_all(&answer).is_ok() {}
    });
    let message = vec![0; request];
    let mut answer = vec![0; reply];
    let time = median(20_000, || {
        near.write_all(&message).expect("the echo reads");
        near.read_exact(&mut answer).expect("the echo answers");
    });
    drop(near);
    echo.join().expect("the echo ends");
    time
}

/// Appending a line of an entry's size and one `fdatasync`, in the directory of the trail.
pub fn append_and_sync(directory: &Path) -> Duration {
    let path = directory.join("bench");
    let mut file = File::options().create(true).append(true).open(&path).expect("a file");
    let time = median(1000, || {
        file.write_all(&[b'x'; 500]).expect("room");
        file.sync_data().expect("a disk");
    });
    std::fs::remove_file(&path).expect("our own file");
    time
}

/// Argon2id as the crate offers it, with the parameters of an enrolment.
pub fn argon2id() -> Duration {
    let params = Params::new(19456, 2, 1, Some(32)).expect("sound parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; 32];
    median(30, || {
        argon2.hash_password_into(b"correct horse battery", &[7; 16], &mut out).expect("a hash");
    })
}
