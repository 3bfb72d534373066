//! Several people at once: what one begins must not outlive what another ends.

use std::sync::Barrier;

use ipc::factors::{Cause, Source};
use ipc::secrets::{ProfileState, SecretsReply, SecretsRequest, Status};
use ipc::{Client, codec};
use site_config::Daemon;
use testbed::factors::password;
use testbed::{Host, PASSWORD};

fn ask(client: &mut Client, request: &SecretsRequest<'_>) -> Result<(), String> {
    let bytes = client.call(request).expect("a reply");
    match codec::decode(bytes.expose()).expect("a reply of this protocol") {
        SecretsReply::Fault(fault) => Err(fault.message),
        _ => Ok(()),
    }
}

fn unlock() -> SecretsRequest<'static> {
    SecretsRequest::FactorSubmit {
        source: Source::Profile(None),
        cause: Cause::Unlock,
        factors: vec![1],
        evidence: PASSWORD.as_bytes(),
        passphrase: None,
    }
}

fn status(client: &mut Client) -> Status {
    let bytes = client.call(&SecretsRequest::Status).expect("a reply");
    match codec::decode(bytes.expose()).expect("a reply of this protocol") {
        SecretsReply::Status(status) => status,
        _ => panic!("not a status"),
    }
}

#[test]
fn of_many_who_create_one_profile_one_succeeds_and_it_is_whole() {
    let host = Host::unlocked();
    for round in 0..6 {
        let name = format!("shared-{round}");
        let barrier = Barrier::new(4);
        let created: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = host.connect(Daemon::Secrets).expect("a connection");
                    let (name, barrier) = (&name, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let factors = vec![password("password", PASSWORD)];
                        let request = SecretsRequest::ProfileCreate { profile: name, factors };
                        usize::from(ask(&mut client, &request).is_ok())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(created, 1, "{name}");
        host.sesame(["unlock", "--password-stdin", "--profile", &name]).stdin(PASSWORD).succeed();
        host.sesame(["secret", "set", "--profile", &name, "key"]).stdin("value").succeed();
    }
}

/// An unlock takes its time in Argon2id; a lock that comes meanwhile has the last word.
#[test]
fn an_unlock_that_is_under_way_does_not_survive_a_lock() {
    let host = Host::initialised();
    let mut looker = host.connect(Daemon::Secrets).expect("a connection");
    let mut overtaken = 0;
    for delay in 0..40 {
        let mut unlocker = host.connect(Daemon::Secrets).expect("a connection");
        let unlocked = std::thread::scope(|scope| {
            let unlock = scope.spawn(|| ask(&mut unlocker, &unlock()));
            std::thread::sleep(std::time::Duration::from_millis(delay));
            ask(&mut looker, &SecretsRequest::Lock { profile: None }).expect("lock always works");
            unlock.join().expect("no panic")
        });
        let state = status(&mut looker).profiles[0].state;
        match unlocked {
            // Before the lock or after it: then what counts is what was said last.
            Ok(()) => {}
            Err(_) => {
                overtaken += 1;
                assert_eq!(state, ProfileState::Locked);
            }
        }
        ask(&mut looker, &SecretsRequest::Lock { profile: None }).expect("lock always works");
    }
    assert!(overtaken > 0, "no lock came while an unlock was under way");
}

#[test]
fn an_unlock_that_is_under_way_does_not_survive_a_wipe() {
    let host = Host::initialised();
    for delay in [1, 5, 10, 20, 30, 45] {
        let mut wiper = host.connect(Daemon::Secrets).expect("a connection");
        let mut unlocker = host.connect(Daemon::Secrets).expect("a connection");
        let installation = status(&mut wiper).installation.expect("an installation").id;
        std::thread::scope(|scope| {
            let unlock = scope.spawn(|| ask(&mut unlocker, &unlock()));
            std::thread::sleep(std::time::Duration::from_millis(delay));
            ask(&mut wiper, &SecretsRequest::Wipe { installation }).expect("the wipe");
            let _ = unlock.join().expect("no panic");
        });
        host.init();
        let after = status(&mut wiper);
        assert_eq!(after.profiles[0].state, ProfileState::Locked, "{delay} ms");
        host.unlock();
        host.sesame(["secret", "set", "key"]).stdin("value").succeed();
        host.sesame(["lock"]).succeed();
    }
}

#[test]
fn names_that_fill_many_replies_are_listed_whole_and_in_order() {
    let host = Host::unlocked();
    let mut client = host.connect(Daemon::Secrets).expect("a connection");
    let names: Vec<String> = (0..600).map(|n| format!("{n:04}/{}", "x".repeat(240))).collect();
    for name in &names {
        let request =
            SecretsRequest::SecretSet { profile: None, name, value: b"v", only_new: false };
        ask(&mut client, &request).expect("room");
    }
    let listed = host.sesame(["secret", "list"]).succeed();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
}

#[test]
fn lost_vaults_are_not_taken_for_an_interrupted_init() {
    let mut host = Host::unlocked();
    host.stop();
    std::fs::remove_dir_all(host.layout.secrets_state().join("installation")).expect("as root");
    host.try_start(Daemon::Audit).expect("the trail is whole");
    let said = host.try_start(Daemon::Secrets).expect_err("the vaults are gone");
    assert!(said.contains("has lost its vaults"), "{said}");
}
