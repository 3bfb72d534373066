//! What is left of a process after `lock_down`.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

mod common;

use std::fs;

use common::{alone, alone_as_nobody};
use hardening::process::{LockDownError, lock_down};

fn field(key: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(&format!("{key}:"))).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

fn core_limit() -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: getrlimit(2) writes one rlimit, and `limit` is one.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) }, 0);
    (limit.rlim_cur, limit.rlim_max)
}

fn nothing_is_left() {
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Umask"), "0077");
    assert_eq!(core_limit(), (0, 0));
    // SAFETY: no pointer is passed.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
}

#[test]
fn root_keeps_nothing() {
    alone("root_keeps_nothing", || {
        lock_down().unwrap();
        nothing_is_left();
        if common::is_root() {
            assert_eq!(field("CapBnd"), "0000000000000000");
        }
    });
}

#[test]
fn an_ordinary_user_keeps_nothing() {
    alone_as_nobody("an_ordinary_user_keeps_nothing", || {
        lock_down().unwrap();
        nothing_is_left();
    });
}

#[test]
fn a_second_time_changes_nothing() {
    alone("a_second_time_changes_nothing", || {
        lock_down().unwrap();
        lock_down().unwrap();
        nothing_is_left();
    });
}

#[test]
fn a_second_thread_is_refused_because_it_would_keep_its_capabilities() {
    let name = "a_second_thread_is_refused_because_it_would_keep_its_capabilities";
    alone(name, || {
        std::thread::scope(|scope| {
            let (release, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || wait.recv());
            assert!(matches!(lock_down(), Err(LockDownError::Threads(2))));
            drop(release);
        });
    });
}
