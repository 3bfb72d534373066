//! Changes while others work: no acknowledged write is lost, no wrong try forgotten, no lock undone.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ipc::factors::Change;
use ipc::secrets::ProfileState;
use ipc::{Client, FaultKind};
use site_config::Daemon;
use testbed::Host;
use testbed::ask::{self, Refused};
use testbed::factors::{self, PATIENT, authorise, authorised, change, unlock_with};
use testbed::random::Random;

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
const CLIENTS: usize = 8;

fn host() -> Host {
    Host::builder().config(PATIENT).with_passwords(&TWO)
}

/// What one client wrote last and had acknowledged, by name. Busy and Locked are answers.
fn write_and_read(client: &mut Client, number: usize, stop: &AtomicBool) -> BTreeMap<String, u64> {
    let mut known = BTreeMap::new();
    let mut count = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let name = format!("{number}/{}", count % 7);
        match ask::set(client, &name, &count.to_le_bytes()) {
            Ok(()) => drop(known.insert(name.clone(), count)),
            Err(Refused::Fault(fault)) => {
                assert!(matches!(fault.kind, FaultKind::Busy | FaultKind::Locked), "{fault}");
            }
            Err(refused) => panic!("{refused:?}"),
        }
        match (ask::get(client, &name), known.get(&name)) {
            (Ok(value), Some(known)) => assert_eq!(value, known.to_le_bytes(), "{name}"),
            (Ok(_), None) => panic!("{name} was never acknowledged"),
            (Err(Refused::Fault(fault)), _) => {
                let expected = [FaultKind::Busy, FaultKind::Locked, FaultKind::NotFound];
                assert!(expected.contains(&fault.kind), "{fault}");
            }
            (Err(refused), _) => panic!("{refused:?}"),
        }
    }
    known
}

#[test]
fn eight_clients_work_while_the_profile_changes_and_no_write_is_lost() {
    let mut host = host();
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    let stop = AtomicBool::new(false);
    let clients: Vec<Client> = (0..CLIENTS).map(|_| host.client()).collect();
    let known: Vec<BTreeMap<String, u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, mut client)| {
                let stop = &stop;
                scope.spawn(move || write_and_read(&mut client, number, stop))
            })
            .collect();
        for round in 0..12 {
            authorised(&mut client, &Change::RotateKey, &[A]).unwrap();
            let label = format!("of round {round}");
            let id =
                factors::enroll_password(&mut client, &label, "a third password", &[B]).unwrap();
            authorised(&mut client, &Change::Revoke { factor: id }, &[A]).unwrap();
            let backup = factors::backup(&mut client, None).unwrap();
            assert!(!backup.is_empty());
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let written: usize = known.iter().map(BTreeMap::len).sum();
    assert_eq!(written, CLIENTS * 7, "everybody wrote");
    for restarted in [false, true] {
        if restarted {
            host.kill(Daemon::Secrets);
            host.try_start(Daemon::Secrets).unwrap();
            client = host.client();
            unlock_with(&mut client, &[B]).unwrap();
        }
        for (name, count) in known.iter().flatten() {
            assert_eq!(ask::get(&mut client, name).unwrap(), count.to_le_bytes(), "{name}");
        }
    }
    host.sesame(["audit", "verify"]).succeed();
}

/// The count moves with the profile when its directory is exchanged.
#[test]
fn no_wrong_try_is_forgotten_by_a_rotation() {
    let mut host = host();
    let mut random = Random::seeded();
    let mut client = host.client();
    unlock_with(&mut client, &[A]).unwrap();
    for number in 0..30 {
        ask::set(&mut client, &number.to_string(), &[7; 10_000]).unwrap();
    }
    let takes = Instant::now();
    authorised(&mut client, &Change::RotateKey, &[A]).unwrap();
    let takes = takes.elapsed();
    for round in 0..60 {
        let mut client = host.client();
        authorise(&mut client, &Change::RotateKey, &[A]).unwrap();
        let mut guesser = host.client();
        let delay = random.up_to(takes);
        let told = std::thread::scope(|scope| {
            let guess = scope.spawn(move || {
                std::thread::sleep(delay);
                factors::test(&mut guesser, B.0, "not the password").unwrap_err().kind()
            });
            change(&mut client, &Change::RotateKey).unwrap();
            guess.join().unwrap()
        });
        assert_eq!(told, Some(FaultKind::WrongFactor), "round {round}");
        host.kill(Daemon::Secrets);
        host.try_start(Daemon::Secrets).unwrap();
        let mut client = host.client();
        let counted = factors::list(&mut client).unwrap().factors[1].failures;
        assert_eq!(counted, 1, "round {round}, after {delay:?}");
        factors::test(&mut client, B.0, B.1).unwrap();
    }
}

/// Whoever looks finds a whole profile, at each instant of a change.
#[test]
fn a_profile_is_never_absent_while_it_changes() {
    let host = host();
    let mut client = host.client();
    let files = ["unlock.json", "vault.db"]
        .map(|name| host.layout.secrets_state().join("installation/profiles/default").join(name));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looks = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                for file in &files {
                    assert!(file.exists(), "{} is missing", file.display());
                }
                looks += 1;
            }
            looks
        });
        for round in 0..30 {
            authorised(&mut client, &Change::RotateKey, &[A]).unwrap();
            let label = if round % 2 == 0 { "anne" } else { "alice" };
            authorised(&mut client, &Change::Rename { factor: 1, label }, &[B]).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(looking.join().unwrap() > 10_000);
    });
}

#[test]
fn a_lock_during_a_change_is_not_undone_by_it() {
    let host = host();
    let mut client = host.client();
    let mut random = Random::seeded();
    unlock_with(&mut client, &[A]).unwrap();
    for number in 0..100 {
        ask::set(&mut client, &number.to_string(), &[7; 10_000]).unwrap();
    }
    let (mut done, mut not_done) = (0, 0);
    for _ in 0..30 {
        authorise(&mut client, &Change::RotateKey, &[A]).unwrap();
        let mut locker = host.client();
        let delay = random.up_to(Duration::from_millis(25));
        let result = std::thread::scope(|scope| {
            let rotating = scope.spawn(|| change(&mut client, &Change::RotateKey));
            std::thread::sleep(delay);
            factors::lock(&mut locker).unwrap();
            rotating.join().unwrap()
        });
        match result {
            Ok(()) => done += 1,
            Err(refused) => {
                assert_eq!(refused.kind(), Some(FaultKind::Incomplete), "{refused:?}");
                not_done += 1;
            }
        }
        assert_eq!(ask::status(&mut client).unwrap().profiles[0].state, ProfileState::Locked);
        unlock_with(&mut client, &[B]).unwrap();
        assert_eq!(ask::get(&mut client, "99").unwrap(), [7; 10_000]);
    }
    assert!(done > 0, "{done} done, {not_done} forgotten by the lock");
}

/// Of many who give the last factor at once, and of many who carry a change out, one succeeds.
#[test]
fn an_authorisation_is_used_once_by_many_at_once() {
    let host = host();
    let mut client = host.client();
    for _ in 0..8 {
        let before = factors::list(&mut client).unwrap().generation;
        authorise(&mut client, &Change::RotateKey, &[A]).unwrap();
        let clients: Vec<Client> = (0..4).map(|_| host.client()).collect();
        let done: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .into_iter()
                .map(|mut client| {
                    scope
                        .spawn(move || usize::from(change(&mut client, &Change::RotateKey).is_ok()))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(done, 1);
        assert_eq!(factors::list(&mut client).unwrap().generation, before + 1);
    }
}
