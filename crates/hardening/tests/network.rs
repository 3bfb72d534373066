//! Who may leave the network behind does.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

mod common;

use std::os::unix::fs::MetadataExt;

use common::{alone, alone_as_nobody, forked, is_root};
use hardening::network::{IsolateError, Isolation, interfaces, isolate};

/// Whether there is a network here to be isolated from; a build sandbox may have none.
fn there_is_a_network() -> bool {
    interfaces().unwrap().iter().any(|name| name != "lo")
}

/// Some distributions and containers forbid them.
fn user_namespaces_work() -> bool {
    forked(|| {
        // SAFETY: no pointer is passed.
        let (uid, unshared) = unsafe { (libc::geteuid(), libc::unshare(libc::CLONE_NEWUSER)) };
        assert_eq!(unshared, 0);
        std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).unwrap();
    })
}

fn only_lo() {
    assert_eq!(interfaces().unwrap(), ["lo"]);
    // A second time there is nothing left to do.
    assert_eq!(isolate(true).unwrap(), Isolation::AlreadyIsolated);
}

#[test]
fn root_leaves_only_lo() {
    alone("root_leaves_only_lo", || {
        if is_root() && there_is_a_network() {
            assert_eq!(isolate(false).unwrap(), Isolation::Namespace);
            only_lo();
        }
    });
}

#[test]
fn an_ordinary_user_leaves_only_lo_in_a_user_namespace() {
    alone_as_nobody("an_ordinary_user_leaves_only_lo_in_a_user_namespace", || {
        if !there_is_a_network() {
            return;
        }
        let who = || std::fs::metadata("/proc/self").map(|it| (it.uid(), it.gid())).unwrap();
        let before = who();
        let possible = user_namespaces_work();
        match isolate(true).unwrap() {
            Isolation::UserNamespace => {
                only_lo();
                assert_eq!(who(), before, "the process is still the same user");
                hardening::process::lock_down().unwrap();
            }
            other => assert!(!possible && matches!(other, Isolation::Shared { .. }), "{other:?}"),
        }
    });
}

#[test]
fn an_ordinary_user_without_one_is_told_what_it_sees() {
    alone_as_nobody("an_ordinary_user_without_one_is_told_what_it_sees", || {
        if there_is_a_network() {
            let Isolation::Shared { interfaces } = isolate(false).unwrap() else {
                panic!("an ordinary user can't make a network namespace");
            };
            assert!(!interfaces.is_empty() && !interfaces.contains(&"lo".to_owned()));
        }
    });
}

#[test]
fn a_second_thread_is_refused_because_it_would_stay_outside() {
    alone("a_second_thread_is_refused_because_it_would_stay_outside", || {
        if there_is_a_network() {
            std::thread::scope(|scope| {
                let (release, wait) = std::sync::mpsc::channel::<()>();
                scope.spawn(move || wait.recv());
                assert!(matches!(isolate(true), Err(IsolateError::Threads(2))));
                drop(release);
            });
        }
    });
}
