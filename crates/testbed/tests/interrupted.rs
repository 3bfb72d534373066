//! What changes a whole installation is killed half-way, repeated, or asked for by mistake.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ipc::secrets::{BindTo, SecretsRequest};
use ipc::{Client, FaultKind};
use nix::sys::signal::Signal;
use site_config::Daemon;
use testbed::factors::password;
use testbed::random::Random;
use testbed::{Host, PASSWORD, ask, snapshot};
use uuid::Uuid;

const BOTH: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];

fn init_request() -> SecretsRequest<'static> {
    SecretsRequest::Init {
        org: None,
        binding: BindTo::MachineId,
        profile: "default",
        factors: vec![password("password", PASSWORD)],
    }
}

/// Sends a request, kills one of the daemons at a random instant, and starts it again.
fn interrupt(
    host: &mut Host,
    victim: Daemon,
    wait: impl FnOnce(&Host),
    request: impl FnOnce(&mut Client) + Send + 'static,
) {
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let asking = std::thread::spawn(move || request(&mut client));
    wait(host);
    host.kill(victim);
    asking.join().unwrap();
    host.try_start(victim).unwrap_or_else(|said| panic!("{victim:?} starts again: {said}"));
}

/// Stretching the password takes most of the time; this is when the files begin.
fn until_something_is_new(directory: &Path) {
    let count = || fs::read_dir(directory).unwrap().count();
    let (before, deadline) = (count(), Instant::now() + Duration::from_secs(5));
    while count() == before && Instant::now() < deadline {}
}

fn installation(host: &Host) -> Option<Uuid> {
    let mut client = host.connect(Daemon::Secrets).unwrap();
    ask::status(&mut client).unwrap().installation.map(|installation| installation.id)
}

/// Whole and usable, now and after a restart.
fn assert_usable(host: &mut Host) {
    host.unlock();
    host.sesame(["secret", "set", "probe"]).stdin("value").succeed();
    host.sesame(["audit", "verify"]).succeed();
    host.stop();
    host.start();
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "probe"]).succeed(), "value");
    let left = snapshot(host.layout.secrets_state());
    let aside = |path: &std::path::PathBuf| path.to_string_lossy().contains("/secrets/.");
    assert!(!left.keys().any(aside), "leftovers: {:?}", left.keys());
}

#[test]
fn an_init_that_is_killed_is_whole_or_can_be_repeated() {
    let mut random = Random::seeded();
    let mut whole = 0;
    for round in 0..30 {
        let mut host = Host::started();
        let victim = BOTH[round % 2];
        let after = random.up_to(Duration::from_millis(70));
        let soon = random.up_to(Duration::from_millis(12));
        let wait = |host: &Host| match round % 4 {
            0 | 1 => std::thread::sleep(after),
            _ => {
                until_something_is_new(host.layout.secrets_state());
                std::thread::sleep(soon);
            }
        };
        interrupt(&mut host, victim, wait, |client| {
            drop(ask::ask(client, &init_request(), |_| Some(())));
        });
        if installation(&host).is_some() {
            whole += 1;
            host.sesame(["init", "--password-stdin"]).stdin(PASSWORD).fail(9);
        } else {
            host.init();
        }
        assert_usable(&mut host);
    }
    eprintln!("{whole} of 30 were whole");
}

#[test]
fn a_profile_create_that_is_killed_is_whole_or_can_be_repeated() {
    let mut host = Host::unlocked();
    let mut random = Random::seeded();
    let mut whole = 0;
    for round in 0..20 {
        let name = format!("p-{round}");
        let after = random.up_to(Duration::from_millis(70));
        let profile = name.clone();
        let wait = |_: &Host| std::thread::sleep(after);
        interrupt(&mut host, BOTH[round % 2], wait, move |client| {
            let factors = vec![password("password", PASSWORD)];
            let request = SecretsRequest::ProfileCreate { profile: &profile, factors };
            drop(ask::done(client, &request));
        });
        let there = host.sesame(["profile", "list"]).succeed().contains(&name);
        whole += u32::from(there);
        let code = if there { 9 } else { 0 };
        let again = host.sesame(["profile", "create", &name, "--password-stdin"]);
        let again = again.stdin(PASSWORD).run();
        assert_eq!(again.code, code, "{}", again.error());
        let unlock = ["unlock", "--profile", &name, "--password-stdin"];
        host.sesame(unlock).stdin(PASSWORD).succeed();
        host.sesame(["secret", "set", "a", "--profile", &name]).stdin(name.as_str()).succeed();
        assert_eq!(host.sesame(["secret", "get", "a", "--profile", &name]).succeed(), name);
    }
    eprintln!("{whole} of 20 were whole");
    assert_usable(&mut host);
}

#[test]
fn a_wipe_that_is_killed_leaves_all_or_nothing_and_the_old_trail() {
    let mut host = Host::initialised();
    let mut random = Random::seeded();
    let mut wiped = Vec::new();
    for round in 0..24 {
        host.unlock();
        host.sesame(["secret", "set", "a"]).stdin("value").succeed();
        let present = installation(&host).unwrap();
        let after = random.up_to(Duration::from_millis(6));
        let wait = |_: &Host| std::thread::sleep(after);
        interrupt(&mut host, BOTH[round % 2], wait, move |client| {
            drop(ask::done(client, &SecretsRequest::Wipe { installation: present }));
        });
        if let Some(left) = installation(&host) {
            assert_eq!(left, present);
            host.unlock();
            assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "value");
            continue;
        }
        host.init();
        assert_ne!(installation(&host), Some(present));
        wiped.push(present);
        for old in &wiped {
            let trail = host.layout.audit_state().join(format!("wiped-{old}"));
            let trail = trail.to_str().unwrap();
            // Root looks at what only daemon-audit may read.
            let own = nix::unistd::Uid::effective().as_raw();
            host.sesame(["audit", "verify", "--path", trail]).user(own).succeed();
        }
        assert_usable(&mut host);
    }
    assert!(!wiped.is_empty(), "no wipe came through: the test tested little");
    eprintln!("{} of 24 came through", wiped.len());
}

/// Fault 4 of the predecessor: a second `init` overwrote salt and wrap.
#[test]
fn a_second_init_on_a_locked_vault_changes_no_byte() {
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("value").succeed();
    host.sesame(["lock"]).succeed();
    let secrets = host.layout.secrets_state().to_owned();
    let before = snapshot(&secrets);
    let said = host.sesame(["init", "--password-stdin"]).stdin("another password").fail(9);
    assert!(said.contains("exists and was not touched"), "{said}");
    // A client that does not ask first is told the same.
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let refused = ask::ask(&mut client, &init_request(), |_| Some(())).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::AlreadyInitialised));
    assert!(snapshot(&secrets) == before, "a file was changed");
    // Nor after a restart, when the daemon knows only what the disk says.
    host.stop();
    host.start();
    host.sesame(["init", "--password-stdin"]).stdin("another password").fail(9);
    assert!(snapshot(&secrets) == before, "a file was changed");
    host.sesame(["unlock", "--password-stdin"]).stdin("another password").fail(6);
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "value");
}

/// The trail says for whom it was begun, and so does the installation then.
#[test]
fn an_interrupted_init_goes_on_only_as_what_it_began_as() {
    let mut host = Host::started();
    let init = |host: &Host, more: &[&str]| {
        let args = [&["init", "--password-stdin"], more].concat();
        host.sesame(args).stdin(PASSWORD).run()
    };
    assert_eq!(init(&host, &["--org", "example.org", "--machine-binding", "none"]).code, 0);
    // What a crash right after the genesis leaves of it.
    host.stop();
    fs::remove_dir_all(host.layout.secrets_state().join("installation")).unwrap();
    fs::remove_file(host.layout.audit_state().join("initialised")).unwrap();
    host.start();
    for other in [&["--machine-binding", "none"][..], &["--org", "example.org"]] {
        let refused = init(&host, other);
        assert_eq!(refused.code, 24, "{}", refused.error());
        let next = "sesame init --org example.org --machine-binding none";
        assert!(refused.error().contains(next), "{}", refused.error());
    }
    assert_eq!(init(&host, &["--org", "example.org", "--machine-binding", "none"]).code, 0);
}

/// Its key must not be overwritten.
#[test]
fn a_trail_that_is_not_open_is_not_begun_again() {
    let mut host = Host::started();
    let trail = host.layout.audit_state().join("trail");
    fs::create_dir(&trail).unwrap();
    fs::write(trail.join("x"), "x").unwrap();
    let said = host.sesame(["init", "--password-stdin"]).stdin(PASSWORD).fail(22);
    assert!(said.contains("restart daemon-audit"), "{said}");
    assert!(!host.layout.audit_state().join("signing.key").exists());
    fs::remove_dir_all(&trail).unwrap();
    host.init();
    host.stop();
}

#[test]
fn a_wipe_of_another_installation_touches_nothing() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("value").succeed();
    let secrets = host.layout.secrets_state().to_owned();
    let before = snapshot(&secrets);
    let other = "00000000-0000-4000-8000-000000000000";
    let said = host.sesame(["wipe", "--i-understand", other]).fail(24);
    assert!(said.contains("nothing was touched"), "{said}");
    host.sesame(["wipe", "--i-understand", "everything"]).fail(2);
    assert!(snapshot(&secrets) == before, "a file was changed");
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "value");
}

#[test]
fn a_second_daemon_on_one_directory_is_refused_and_the_first_goes_on() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("value").succeed();
    for daemon in BOTH {
        let second = host.daemon_command(daemon).output().unwrap();
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(75), "{said}");
        assert!(said.contains("goes on undisturbed"), "{said}");
        assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "value");
        host.sesame(["audit", "verify"]).succeed();
    }
}

/// SIGTERM in the middle of writing is a good end: the trail says so, and nothing is torn.
#[test]
fn an_orderly_stop_under_load_loses_nothing() {
    let mut host = Host::unlocked();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let writing = std::thread::spawn(move || {
        let write =
            |count: &u32| ask::set(&mut client, &format!("{count}"), &count.to_le_bytes()).is_err();
        (0_u32..).find(write).unwrap()
    });
    std::thread::sleep(Duration::from_millis(300));
    host.end(Daemon::Secrets, Signal::SIGTERM);
    let acknowledged = writing.join().unwrap();
    assert!(acknowledged > 0);
    host.end(Daemon::Audit, Signal::SIGTERM);
    host.start();
    host.unlock();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    for count in 0..acknowledged {
        let name = format!("{count}");
        assert_eq!(ask::get(&mut client, &name).unwrap(), count.to_le_bytes());
    }
    host.sesame(["audit", "verify"]).succeed();
}
