//! Runs a test in a process of its own: what these tests do to a process can't be undone.
#![allow(dead_code, reason = "every test binary uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a helper of tests, which may")]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, exit};

const MARKER: &str = "HARDENING_TEST_ALONE";

/// Runs `body` in a fresh process with one thread; the test of this `name` calls it first thing.
///
/// The test binary starts itself again with this one test and forks there, where no other thread
/// holds a lock: the harness would have left `body` in a second thread.
pub fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var_os(MARKER).is_some_and(|marker| marker == *name) {
        exit(i32::from(!forked(body)));
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(MARKER, name);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{name}, alone: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// As [`alone`], as a user without privileges where the test runs as root.
pub fn alone_as_nobody(name: &str, body: impl FnOnce()) {
    alone(name, || {
        if is_root() {
            become_nobody();
        }
        body();
    });
}

/// Whether `body` returned, and did not panic, in a forked child.
pub fn forked(body: impl FnOnce()) -> bool {
    let child = fork(|| i32::from(catch_unwind(AssertUnwindSafe(body)).is_err()));
    wait(child) == 0
}

/// Forks; the child ends with what `body` returns.
pub fn fork(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: only called where no other thread exists that could hold a lock.
    match unsafe { libc::fork() } {
        0 => {
            // A call that is denied where nobody foresaw it can turn a wait into a loop.
            // SAFETY: no pointer is passed; the default action of SIGALRM ends this child.
            unsafe { libc::alarm(60) };
            let code = body();
            // SAFETY: ends the child without the harness's exit handlers.
            unsafe { libc::_exit(code) }
        }
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        child => child,
    }
}

/// The wait status of `child`; 0 is success.
pub fn wait(child: i32) -> i32 {
    let mut status = -1;
    // SAFETY: waitpid(2) writes one int, and `status` is one.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EINTR));
    }
    status
}

pub fn is_root() -> bool {
    // SAFETY: no argument, no failure.
    unsafe { libc::geteuid() == 0 }
}

fn become_nobody() {
    // Not 65534: that is also how a user namespace shows everybody it does not know.
    const NOBODY: u32 = 54321;
    // SAFETY: no pointer but the empty list is passed.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setgid(NOBODY), 0);
        assert_eq!(libc::setuid(NOBODY), 0);
        // As it would be after an execve(2) by this user.
        assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    }
}
