//! `kill -9` at any instant of a change: what was acknowledged is there, and what was not is whole or not
//! there at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;
use site_config::Daemon;
use testbed::Host;
use testbed::cicada::{
    Program, UNLOCK_KEY, about, allow_me_everything, bytes, code, sign, text, with_key,
};
use testbed::random::Random;

const UNLOCKED: &str = r#"{"state":"unlocked"}"#;
const ROUNDS: u32 = 60;
const WRITERS: u32 = 3;

/// What a writer knows of its identities. It holds the lock during each request, so that whoever takes
/// it has a pause.
#[derive(Default)]
struct Ledger {
    /// The newest version that was acknowledged, and its public keys.
    versions: BTreeMap<String, (u32, String)>,
    revoked: BTreeSet<String>,
    /// Those about which a question was not answered: what came of it is unknown.
    unknown: BTreeSet<String>,
    acknowledged: usize,
    count: u32,
}

impl Ledger {
    /// One change; an error when the daemon went away.
    fn change(&mut self, writer: u32, program: &mut Program) -> std::io::Result<()> {
        self.count += 1;
        let newest = format!("w{writer}-{}", self.count / 8);
        let (operation, name) = match self.count % 8 {
            0 => ("create", newest),
            7 if self.count % 16 == 7 => ("revoke", newest),
            _ => ("rotate", newest),
        };
        let was_known = self.unknown.insert(name.clone());
        let reply = program.try_ask(about(operation, &name))?;
        match code(&reply).as_deref() {
            None if operation == "revoke" => {
                self.versions.remove(&name);
                self.revoked.insert(name.clone());
            }
            None => {
                let version = serde_json::from_str::<Value>(&reply).unwrap()["version"].as_u64();
                let version = u32::try_from(version.unwrap()).unwrap();
                let before = self.versions.insert(name.clone(), (version, reply.clone()));
                assert!(before.is_none_or(|(before, _)| before < version), "{name}");
            }
            // What an unanswered request did or didn't do before.
            Some("locked" | "revoked" | "unknown_identity" | "exists") => {}
            Some(other) => panic!("{operation} {name}: {other}"),
        }
        let acknowledged = code(&reply).is_none();
        self.acknowledged += usize::from(acknowledged);
        if was_known || acknowledged {
            self.unknown.remove(&name);
        }
        Ok(())
    }
}

/// The keys on the disk are those that were acknowledged; what was asked for and not answered is there
/// or isn't, and works if it is.
fn check(host: &Host, ledger: &Ledger) {
    let mut program = host.program();
    for (name, (version, public)) in &ledger.versions {
        if ledger.unknown.contains(name) {
            continue;
        }
        assert_eq!(&program.ask(about("public_key", name)), public, "{name} {version}");
        assert_eq!(host.stored_identity(name, &UNLOCK_KEY).last_version, *version);
    }
    for name in &ledger.revoked {
        assert_eq!(code(&program.ask(about("get_key", name))).as_deref(), Some("revoked"));
        assert_eq!(host.stored_identity(name, &UNLOCK_KEY).versions, []);
    }
    for name in &ledger.unknown {
        let reply = program.ask(sign(name, b"data"));
        match code(&reply).as_deref() {
            None => assert_eq!(bytes(&reply, "signature").len(), 3309),
            Some(code) => assert!(["unknown_identity", "revoked"].contains(&code), "{reply}"),
        }
    }
}

#[test]
fn what_was_acknowledged_survives_sixty_kills() {
    let mut host = Host::with_identities(&allow_me_everything(), &[]);
    let socket = host.layout.cicada_socket();
    let stop = Arc::new(AtomicBool::new(false));
    let ledgers: Vec<_> = (0..WRITERS).map(|_| Arc::new(Mutex::new(Ledger::default()))).collect();
    let threads: Vec<_> = ledgers
        .iter()
        .zip(0..)
        .map(|(ledger, writer)| {
            let (ledger, stop, socket) = (Arc::clone(ledger), Arc::clone(&stop), socket.clone());
            std::thread::spawn(move || {
                let mut program = None;
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                    let mut ledger = ledger.lock().unwrap();
                    let Some(connected) = program.as_mut() else {
                        program =
                            std::os::unix::net::UnixStream::connect(&socket).ok().map(Program::on);
                        continue;
                    };
                    if ledger.change(writer, connected).is_err() {
                        program = None;
                    }
                }
            })
        })
        .collect();
    let mut random = Random::seeded();
    for round in 1..=ROUNDS {
        std::thread::sleep(random.up_to(Duration::from_millis(150)));
        host.kill(Daemon::Cicada);
        host.start_cicada();
        host.assert_no_leftovers_of_cicada();
        if random.below(4) == 0 {
            // In the middle of an unlock.
            let mut program = host.program();
            program.send(with_key("unlock", &UNLOCK_KEY)).unwrap();
            std::thread::sleep(random.up_to(Duration::from_millis(10)));
            host.kill(Daemon::Cicada);
            host.start_cicada();
        }
        assert_eq!(host.program().ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
        if round % 20 == 0 {
            ledgers.iter().for_each(|ledger| check(&host, &ledger.lock().unwrap()));
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no writer saw anything unexpected");
    }
    assert_eq!(
        host.end(Daemon::Cicada, nix::sys::signal::Signal::SIGTERM).unwrap().code(),
        Some(0)
    );
    host.start_cicada();
    assert!(!host.log(Daemon::Cicada).contains("ERROR"), "{}", host.log(Daemon::Cicada));
    assert_eq!(host.program().ask(with_key("unlock", &UNLOCK_KEY)), UNLOCKED);
    let mut acknowledged = 0;
    for ledger in &ledgers {
        let ledger = ledger.lock().unwrap();
        check(&host, &ledger);
        acknowledged += ledger.acknowledged;
    }
    assert!(acknowledged > 100, "only {acknowledged} changes: the test tested little");
    eprintln!("{ROUNDS} kills, {acknowledged} acknowledged changes");
    assert!(!host.log(Daemon::Cicada).contains("ERROR"), "{}", host.log(Daemon::Cicada));
    host.sesame(["audit", "verify"]).succeed();
}

/// Of each there is nothing, or all; and it can be asked for again.
#[test]
fn an_init_or_a_restore_that_is_killed_can_be_repeated() {
    let first = Host::with_identities(&allow_me_everything(), &["cloud-sync"]);
    let public = first.program().ask(about("public_key", "cloud-sync"));
    let backup = text(&first.program().ask(about("backup", "cloud-sync")), "backup");
    drop(first);
    let restore = format!(
        r#"{{"op":"restore","backup":"{backup}","unlock_key":"{}"}}"#,
        BASE64.encode(&UNLOCK_KEY)
    );
    let mut host = Host::with_cicada(&allow_me_everything());
    let mut random = Random::seeded();
    let kill_after = |host: &mut Host, random: &mut Random, request: &str| {
        let mut program = host.program();
        program.send(request).unwrap();
        std::thread::sleep(random.up_to(Duration::from_millis(25)));
        host.kill(Daemon::Cicada);
        let reply = program.receive().ok();
        host.start_cicada();
        host.assert_no_leftovers_of_cicada();
        reply
    };
    let mut made = 0;
    for round in 0..40_u8 {
        let key = [round; 32];
        let reply = kill_after(&mut host, &mut random, &with_key("init", &key));
        let reply_now = host.program().ask(with_key("unlock", &key));
        match code(&reply_now).as_deref() {
            None => made += 1,
            Some(code) => {
                assert_eq!((code, reply), ("not_initialised", None));
                assert_eq!(host.program().ask(with_key("init", &key)), UNLOCKED);
            }
        }
        let reply = kill_after(&mut host, &mut random, &restore);
        assert_eq!(host.program().ask(with_key("unlock", &key)), UNLOCKED);
        let found = host.program().ask(about("public_key", "cloud-sync"));
        if code(&found).is_some() {
            assert_eq!((code(&found).as_deref(), reply), (Some("unknown_identity"), None));
            assert_eq!(host.program().ask(&restore), public);
        } else {
            assert_eq!(found, public);
        }
        host.kill(Daemon::Cicada);
        fs::remove_dir_all(host.cicada_keys()).unwrap();
        host.start_cicada();
    }
    eprintln!("{made} of 40 killed inits had made a store");
}
