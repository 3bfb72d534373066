//! `kill -9` at any instant of writing: what was acknowledged is there, and the trail knows of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use audit_log::{Operation, Outcome};
use ipc::client::Expected;
use ipc::{Client, FaultKind, Identity, Suite};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use site_config::{Daemon, Role};
use testbed::ask::{self, Refused};
use testbed::random::Random;
use testbed::{Host, PASSWORD};

const ROUNDS: u32 = 200;
const WRITERS: u32 = 3;
const NAMES: u64 = 12;
/// How many writes are acknowledged between two kills at least: a slow machine is given the time for it.
const WRITES_A_ROUND: usize = 6;

/// What a writer knows of one secret.
#[derive(Default)]
struct Known {
    /// The newest acknowledged value.
    acknowledged: Option<u64>,
    acknowledgements: usize,
    /// Values that came to nothing, or so it seemed, since then.
    unknown: Vec<u64>,
}

/// By name. Its writer holds the lock during each write, so that whoever takes it has a pause.
type Ledger = Arc<Mutex<BTreeMap<String, Known>>>;

struct Writer {
    number: u32,
    socket: PathBuf,
    identity: Identity,
    expected: Expected,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
}

/// Of a few bytes, or of several pages.
fn value(name: &str, count: u64) -> Vec<u8> {
    let length = [20, 200, 5000][(count % 3) as usize];
    format!("{name} = {count} ").bytes().cycle().take(length).collect()
}

impl Writer {
    fn run(self) {
        let mut client = None;
        let mut count = 0;
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
            let mut ledger = self.ledger.lock().unwrap();
            let Some(connected) = client.as_mut() else {
                client = self.connect();
                continue;
            };
            count += 1;
            let name = format!("{}/{}", self.number, count % NAMES);
            let known = ledger.entry(name.clone()).or_default();
            match ask::set(connected, &name, &value(&name, count)) {
                Ok(()) => {
                    known.acknowledged = Some(count);
                    known.acknowledgements += 1;
                    known.unknown.clear();
                }
                Err(Refused::Connection(_)) => {
                    known.unknown.push(count);
                    client = None;
                }
                Err(Refused::Fault(fault)) => {
                    let kind = fault.kind;
                    let expected = [FaultKind::AuditUnavailable, FaultKind::Locked];
                    assert!(expected.contains(&kind), "{kind:?}: {fault}");
                }
            }
        }
    }

    fn connect(&self) -> Option<Client> {
        let timeout = Duration::from_secs(60);
        Client::connect(&self.socket, Suite::ALL[0], &self.identity, &self.expected, timeout).ok()
    }
}

fn writers(host: &mut Host) -> Vec<Writer> {
    let stop = Arc::new(AtomicBool::new(false));
    let own = nix::unistd::Uid::effective().as_raw();
    let writer = |number| {
        let identity = Identity::generate().unwrap();
        host.add_peer(&format!("writer-{number}"), Role::Operator, own, *identity.public());
        Writer {
            number,
            socket: host.layout.socket(Daemon::Secrets),
            identity,
            expected: host.expected(Daemon::Secrets),
            ledger: Ledger::default(),
            stop: Arc::clone(&stop),
        }
    };
    (0..WRITERS).map(writer).collect()
}

/// Starts a daemon and kills it while it starts, every now and then; then starts it.
fn restart(host: &mut Host, daemon: Daemon, random: &mut Random) {
    if random.below(4) == 0 {
        let mut child = host.daemon_command(daemon).spawn().unwrap();
        std::thread::sleep(random.up_to(Duration::from_millis(40)));
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        child.wait().unwrap();
    }
    host.try_start(daemon).unwrap_or_else(|said| panic!("{daemon:?} starts again: {said}"));
}

/// Unlocks; every now and then the daemon is killed meanwhile, and the next try must do.
fn unlock(host: &mut Host, random: &mut Random) {
    if random.below(4) == 0 {
        let mut client = host.connect(Daemon::Secrets).unwrap();
        let trying = std::thread::spawn(move || drop(ask::unlock(&mut client)));
        std::thread::sleep(random.up_to(Duration::from_millis(60)));
        host.kill(Daemon::Secrets);
        trying.join().unwrap();
        host.try_start(Daemon::Secrets).unwrap();
    }
    let outcome = host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).run();
    assert_eq!(outcome.code, 0, "{}", outcome.error());
}

fn acknowledged_in(ledgers: &[Ledger]) -> usize {
    let of_one = |ledger: &Ledger| {
        let known = ledger.lock().unwrap();
        known.values().map(|known| known.acknowledgements).sum::<usize>()
    };
    ledgers.iter().map(of_one).sum()
}

fn wait_for_writes(ledgers: &[Ledger], wanted: usize) {
    let limit = Instant::now() + Duration::from_secs(120);
    while acknowledged_in(ledgers) < wanted {
        assert!(Instant::now() < limit, "nothing is acknowledged any more");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns how many writes are acknowledged.
fn check(host: &Host, ledgers: &[Ledger]) -> usize {
    let paused: Vec<_> = ledgers.iter().map(|ledger| ledger.lock().unwrap()).collect();
    let mut authorised: BTreeMap<String, usize> = BTreeMap::new();
    for entry in host.entries_of(Operation::SecretSet, Outcome::Authorised) {
        *authorised.entry(entry.subject.unwrap()).or_default() += 1;
    }
    host.sesame(["audit", "verify"]).succeed();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    let mut acknowledged = 0;
    for (name, known) in paused.iter().flat_map(|ledger| ledger.iter()) {
        acknowledged += known.acknowledgements;
        let entries = authorised.get(name).copied().unwrap_or(0);
        assert!(entries >= known.acknowledgements, "{name}: {entries} entries");
        let Some(newest) = known.acknowledged else { continue };
        let found = ask::get(&mut client, name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let possible = || std::iter::once(&newest).chain(&known.unknown);
        let matches = possible().any(|count| found == value(name, *count));
        assert!(matches, "{name} is not {newest}, nor {:?}", known.unknown);
    }
    acknowledged
}

#[test]
fn what_was_acknowledged_survives_two_hundred_kills() {
    // Small segments: the chain crosses many of them.
    let mut host = Host::builder().config("[audit]\nsegment_bytes = 65536\n").provision();
    let writers = writers(&mut host);
    host.start();
    host.init();
    host.unlock();
    let ledgers: Vec<Ledger> = writers.iter().map(|writer| Arc::clone(&writer.ledger)).collect();
    let stop = Arc::clone(&writers[0].stop);
    let threads: Vec<JoinHandle<()>> =
        writers.into_iter().map(|writer| std::thread::spawn(|| writer.run())).collect();
    let mut random = Random::seeded();
    for round in 1..=ROUNDS {
        wait_for_writes(&ledgers, acknowledged_in(&ledgers) + WRITES_A_ROUND);
        std::thread::sleep(random.up_to(Duration::from_millis(40)));
        match round % 5 {
            0 => {
                host.kill(Daemon::Audit);
                host.kill(Daemon::Secrets);
                restart(&mut host, Daemon::Audit, &mut random);
                restart(&mut host, Daemon::Secrets, &mut random);
                unlock(&mut host, &mut random);
            }
            1 | 3 => {
                host.kill(Daemon::Secrets);
                restart(&mut host, Daemon::Secrets, &mut random);
                unlock(&mut host, &mut random);
            }
            _ => {
                let secrets = host.pid(Daemon::Secrets);
                host.kill(Daemon::Audit);
                restart(&mut host, Daemon::Audit, &mut random);
                let mut client = host.connect(Daemon::Secrets).unwrap();
                ask::set(&mut client, "after audit", b"x").expect("it found daemon-audit again");
                assert_eq!(host.pid(Daemon::Secrets), secrets);
            }
        }
        if round % 20 == 0 {
            check(&host, &ledgers);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no writer saw anything unexpected");
    }
    host.stop();
    host.start();
    host.unlock();
    let acknowledged = check(&host, &ledgers);
    assert!(acknowledged >= ROUNDS as usize * WRITES_A_ROUND, "only {acknowledged} writes");
    let repairs = host.entries_of(Operation::Repair, Outcome::Done).len();
    eprintln!("{ROUNDS} kills, {acknowledged} acknowledged writes, {repairs} torn lines repaired");
}

/// The entry is durable before the act, so daemon-audit's death between the two loses nothing; and
/// without it nothing happens at all.
#[test]
fn without_daemon_audit_nothing_is_done_and_lock_still_works() {
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("1").succeed();
    host.kill(Daemon::Audit);
    let secrets = host.layout.secrets_state().to_owned();
    let before = testbed::snapshot(&secrets);
    for command in [
        vec!["secret", "get", "a"],
        vec!["secret", "list"],
        vec!["secret", "delete", "a"],
        vec!["profile", "activate", "default"],
        vec!["profile", "deactivate", "default"],
        vec!["profile", "default", "default"],
        vec!["run", "--secret", "A=a", "--", "true"],
    ] {
        let said = host.sesame(&command).fail(22);
        assert!(said.contains("nothing was done"), "{command:?}: {said}");
    }
    host.sesame(["secret", "set", "a"]).stdin("2").fail(22);
    host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).fail(22);
    host.sesame(["profile", "create", "p", "--password-stdin"]).stdin(PASSWORD).fail(22);
    let status = ask::status(&mut host.connect(Daemon::Secrets).unwrap()).unwrap();
    let id = status.installation.unwrap().id.to_string();
    host.sesame(["wipe", "--i-understand", &id]).fail(22);
    assert_eq!(testbed::snapshot(&secrets), before, "a file was changed");

    host.sesame(["lock"]).succeed();
    host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).fail(22);
    assert_eq!(testbed::snapshot(&secrets), before, "a file was changed");
    host.try_start(Daemon::Audit).unwrap();
    host.sesame(["secret", "get", "a"]).fail(5);
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "1");
    host.sesame(["audit", "verify"]).succeed();
}
