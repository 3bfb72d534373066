//! Open Sesame 1.14.2 put its sandbox on the main thread; four of five threads had no filter.
//! Here such a process is told apart, and does not start.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

mod common;

use std::sync::mpsc;
use std::thread;

use common::alone;
use hardening::process::lock_down;
use hardening::seccomp::{SERVICE, SeccompError, apply_to_every_thread, compile};
use hardening::threads::{Expected, ThreadsError, report, verify};

/// Runs `body` while four further threads wait, as the workers of a daemon do.
fn with_four_workers(body: impl FnOnce()) {
    thread::scope(|scope| {
        let mut releases = Vec::new();
        for number in 0..4 {
            let (release, wait) = mpsc::channel::<()>();
            let (start, started) = mpsc::channel();
            let worker = thread::Builder::new().name(format!("worker-{number}"));
            let wait = move || {
                start.send(()).unwrap();
                wait.recv()
            };
            worker.spawn_scoped(scope, wait).unwrap();
            // A thread names itself, after it was created.
            started.recv().unwrap();
            releases.push(release);
        }
        body();
        drop(releases);
    });
}

#[test]
fn a_filter_on_the_main_thread_alone_is_found_out() {
    alone("a_filter_on_the_main_thread_alone_is_found_out", || {
        lock_down().unwrap();
        with_four_workers(|| {
            seccompiler::apply_filter(&compile(SERVICE).unwrap()).unwrap();
            let counted = report(1).unwrap();
            assert_eq!((counted.total, counted.seccomp), (5, 1));
            let error = verify(Expected::ALL).unwrap_err();
            assert!(matches!(&error, ThreadsError::Unconfined { lacks: "no seccomp filter", .. }));
            assert!(error.to_string().contains("worker-0"), "{error}");
        });
    });
}

#[test]
fn a_filter_on_every_thread_is_confirmed() {
    alone("a_filter_on_every_thread_is_confirmed", || {
        lock_down().unwrap();
        with_four_workers(|| {
            apply_to_every_thread(SERVICE).unwrap();
            let counted = verify(Expected::ALL).unwrap();
            let all = (5, 5, 5, 5);
            let found = (counted.total, counted.seccomp, counted.no_new_privs);
            assert_eq!((found.0, found.1, found.2, counted.no_capabilities), all);
        });
    });
}

#[test]
fn without_a_filter_only_what_is_switched_off_may_be_missing() {
    alone("without_a_filter_only_what_is_switched_off_may_be_missing", || {
        lock_down().unwrap();
        with_four_workers(|| {
            verify(Expected { seccomp_filters: 0, ..Expected::ALL }).unwrap();
            verify(Expected::ALL).unwrap_err();
        });
    });
}

#[test]
fn a_thread_with_a_filter_of_its_own_stops_the_whole() {
    alone("a_thread_with_a_filter_of_its_own_stops_the_whole", || {
        lock_down().unwrap();
        thread::scope(|scope| {
            let (ready, is_ready) = mpsc::channel();
            let (release, wait) = mpsc::channel::<()>();
            scope.spawn(move || {
                seccompiler::apply_filter(&compile(SERVICE).unwrap()).unwrap();
                ready.send(()).unwrap();
                wait.recv()
            });
            is_ready.recv().unwrap();
            assert!(matches!(apply_to_every_thread(SERVICE), Err(SeccompError::Thread(_))));
            drop(release);
        });
    });
}
