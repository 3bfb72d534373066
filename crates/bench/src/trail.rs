//! The trail: how fast it grows, and how fast it is verified.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use audit_log::{
    Actor, Draft, Entry, Expectation, Genesis, HashAlgorithm, Operation, Outcome, Verdict, Writer,
    origin, parse_line, prove_offline, verify,
};
use daemon_audit::commit::Commit;
use ipc::audit::{AuditReply, AuditRequest, Record};
use ipc::client::Expected;
use ipc::{Client, Identity, Suite, codec};
use nix::sys::resource::{UsageWho, getrusage};
use site_config::{Daemon, Peers};
use testbed::{Host, binary};
use tlog::{Role, SigningKeys};

use crate::floors::{append_and_sync, on_one_cpu};
use crate::table::Table;

/// Entries of the trail that is verified.
const ENTRIES: u64 = 1_000_000;

/// Entries of a batch and of a checkpoint.
const BATCH: u64 = 1000;

const WRITERS: usize = 32;

/// Durable entries by one writer and by many at once: in the process of daemon-audit, which is what
/// its group commit does, and over the socket, as daemon-secrets asks for them.
pub fn append(host: &Host, table: &mut Table) {
    let bare = append_and_sync(host.dir()).as_secs_f64();
    let directory = tempfile::tempdir_in(host.dir()).expect("a directory");
    let keys = keys();
    let path = directory.path().join("trail");
    let genesis = genesis(HashAlgorithm::Blake3, &keys);
    let writer = Writer::create(&path, &genesis, None, 4 << 20, &keys).expect("a trail");
    let commit = Commit::new(Some(writer));
    let (one, many) = (rate(1, 2000, || &commit), rate(WRITERS, 1000, || &commit));
    compare("durable entries", bare, one, many, table);
    let connect = || as_daemon_secrets(host);
    let (one, many) = (rate(1, 2000, connect), rate(WRITERS, 500, connect));
    compare("durable entries, over the socket", bare, one, many, table);
}

fn compare(what: &str, bare: f64, one: f64, many: f64, table: &mut Table) {
    table.at_least(
        &format!("{what}, 1 writer"),
        bare * one,
        0.7,
        "times",
        &format!("{one:.0} per s against {:.0} bare appends with fdatasync", 1.0 / bare),
    );
    table.at_least(
        &format!("{what}, 32 writers"),
        many / one,
        12.0,
        "times",
        &format!("{many:.0} per s against 1 writer"),
    );
}

/// Somebody who makes entries.
trait Recorder: Send {
    fn record(&mut self, round: usize);
}

impl Recorder for &Commit {
    fn record(&mut self, round: usize) {
        let draft = Draft::new(Operation::SecretGet, Outcome::Authorised)
            .profile("default")
            .subject(format!("bench/{round}"));
        self.append(draft).expect("room");
    }
}

impl Recorder for Client {
    fn record(&mut self, round: usize) {
        let mut record = Record::new(Operation::SecretGet, Outcome::Authorised);
        record.profile = Some("default".to_owned());
        record.subject = Some(format!("bench/{round}"));
        let reply = self.call(&AuditRequest::Append(record)).expect("a reply");
        assert!(matches!(codec::decode(reply.expose()), Ok(AuditReply::Appended { .. })));
    }
}

/// Entries a second of so many writers.
fn rate<R: Recorder>(writers: usize, rounds: usize, new: impl Fn() -> R) -> f64 {
    let barrier = Barrier::new(writers + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                let mut recorder = new();
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    (0..rounds).for_each(|round| recorder.record(round));
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().expect("a writer");
        }
        (writers * rounds) as f64 / start.elapsed().as_secs_f64()
    })
}

fn as_daemon_secrets(host: &Host) -> Client {
    let layout = &host.layout;
    let identity = Identity::load(&layout.daemon_key(Daemon::Secrets)).expect("a key of ours");
    let peers = Peers::load(layout.peers_file()).expect("peers");
    let peer = peers.daemon(Daemon::Audit);
    let expected = Expected { key: peer.key, uid: peer.uid };
    let socket = layout.socket(Daemon::Audit);
    Client::connect(&socket, Suite::ALL[0], &identity, &expected, Duration::from_secs(10))
        .expect("welcome")
}

/// A million entries of 300 bytes: verified, against parsing and hashing the same bytes.
///
/// Before anything else is measured: the peak memory of a child begins with what we had when we
/// started it.
pub fn verify_all(table: &mut Table) {
    let directory = tempfile::tempdir().expect("a directory");
    let trails = HashAlgorithm::ALL.map(|hash| (hash, directory.path().join(hash.as_str())));
    let [keys, _] = trails.each_ref().map(|(hash, trail)| make(trail, *hash));
    let peak = trails.iter().map(|(_, trail)| peak_memory(trail)).fold(0.0, f64::max);
    for (hash, trail) in &trails {
        verify_one(trail, *hash, table);
    }
    let what = "`sesame audit verify` of a million entries, at its peak";
    table.at_most("verify, memory", peak, 32.0, "MB", what);
    prove(&trails[0].1, &keys, table);
}

const INSTALLATION: &str = "00000000-0000-4000-8000-000000000000";

fn keys() -> SigningKeys {
    let name = origin(INSTALLATION).parse().expect("a name");
    SigningKeys::generate(name, Role::Log).expect("random bytes")
}

fn genesis(hash: HashAlgorithm, keys: &SigningKeys) -> Genesis {
    Genesis {
        hash,
        installation: INSTALLATION.to_owned(),
        org: None,
        machine_binding: None,
        keys: keys.public().clone(),
    }
}

fn make(trail: &Path, hash: HashAlgorithm) -> SigningKeys {
    let keys = keys();
    let genesis = genesis(hash, &keys);
    let mut writer = Writer::create(trail, &genesis, None, 4 << 20, &keys).expect("a trail");
    let actor = Actor::new(1000, 4242).with_name("alice");
    while writer.size() < ENTRIES {
        let draft = |n| {
            Draft::new(Operation::SecretGet, Outcome::Authorised)
                .profile("default")
                .subject(format!("db/password-{n}"))
                .actor(actor.clone())
        };
        let first = writer.size();
        let drafts: Vec<Draft> = (first..first + BATCH - 1).map(draft).collect();
        writer.append(&drafts).expect("room");
        let seal = Draft::new(Operation::AuditSeal, Outcome::Done).detail("reason", "entries");
        writer.seal(seal, &keys).expect("room");
    }
    keys
}

/// What other work costs over the same lines, on one core, in entries a second.
struct Floors {
    /// The length of an entry, in bytes.
    length: f64,
    /// Parsing the JSON, into an [`Entry`].
    json: f64,
    /// And seeing that it is the one spelling of that entry.
    canonical: f64,
    blake3: f64,
}

impl Floors {
    fn measure(trail: &Path) -> Self {
        let names = fs::read_dir(trail).expect("the trail");
        let mut names: Vec<_> = names.map(|entry| entry.expect("an entry").path()).collect();
        names.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        names.sort();
        let mut bytes = Vec::new();
        for path in &names {
            bytes.extend(fs::read(path).expect("a segment"));
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        Self {
            length: bytes.len() as f64 / ENTRIES as f64,
            json: per_second(|| {
                for line in &lines {
                    let entry: Entry = serde_json::from_slice(line).expect("an entry");
                    std::hint::black_box(entry);
                }
            }),
            canonical: per_second(|| {
                for line in &lines {
                    std::hint::black_box(parse_line(line).expect("an entry"));
                }
            }),
            blake3: per_second(|| {
                for line in &lines {
                    std::hint::black_box(blake3::hash(line));
                }
            }),
        }
    }
}

/// How many entries a second it takes for [`ENTRIES`].
fn per_second(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    ENTRIES as f64 / start.elapsed().as_secs_f64()
}

fn verify_one(trail: &Path, hash: HashAlgorithm, table: &mut Table) {
    let Floors { length, json, canonical, blake3 } = Floors::measure(trail);
    let sound = || {
        let report = verify(trail, &Expectation::default()).expect("a trail");
        assert_eq!(report.verdict, Verdict::Sound);
    };
    let one = on_one_cpu(|| per_second(sound));
    let all = per_second(sound);
    table.at_least(
        &format!("verify, {hash}, a core"),
        one / json,
        0.8,
        "times",
        &format!(
            "{:.2} M entries/s of {length:.0} bytes; parsing alone {:.2} M, with canonical form \
             {:.2} M, BLAKE3 alone {:.2} M",
            one / 1e6,
            json / 1e6,
            canonical / 1e6,
            blake3 / 1e6
        ),
    );
    table.figure(
        &format!("verify, {hash}, all cores"),
        format!("{:.2} M/s", all / 1e6),
        &format!("{:.2} times one core", all / one),
    );
}

/// Of `sesame audit verify`, in MB.
fn peak_memory(trail: &Path) -> f64 {
    let status = Command::new(binary("sesame"))
        .args(["audit", "verify", "--path"])
        .arg(trail)
        .env_clear()
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage(2)");
    usage.max_rss() as f64 / 1024.0
}

fn prove(trail: &Path, keys: &SigningKeys, table: &mut Table) {
    let start = Instant::now();
    let proof = prove_offline(trail, ENTRIES / 3).expect("a proof");
    let made = start.elapsed();
    let text = proof.to_string();
    let start = Instant::now();
    audit_log::verify_proof(&proof, keys.public(), &[], 0).expect("a sound proof");
    let checked = start.elapsed();
    table.figure(
        "proof of an entry among a million",
        format!("{:.1} kB", text.len() as f64 / 1e3),
        &format!(
            "{} hashes and two signatures; made in {:.2} s from the files, checked in {:.2} ms",
            proof.path.len(),
            made.as_secs_f64(),
            checked.as_secs_f64() * 1e3
        ),
    );
}
