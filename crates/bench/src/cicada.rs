//! Signatures and keys from cicada, through its socket and with an entry in the trail for each,
//! against the library that signs and against what the machine takes for a message and a disk.

use std::num::NonZero;
use std::sync::Barrier;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use cicada_client::Client;
use fips204::ml_dsa_65::{KG, PrivateKey};
use fips204::traits::{KeyGen, Signer};
use identity_keys::{IdentityKeys, Seeds};
use nix::unistd::Uid;
use secret_memory::Secret;
use site_config::{CicadaOperation, Daemon};
use testbed::{Host, Users};

use crate::floors::{append_and_sync, median, ping_pong};
use crate::table::Table;

const CLIENTS: usize = 32;
const IDENTITY: &str = "bench";
/// What is signed: a digest, as of anything large.
const MESSAGE: [u8; 32] = [0x5a; 32];

/// Other work on the machine comes and goes: floor and daemon take turns of this length, and the
/// ratio is the median of so many.
const TURN: Duration = Duration::from_millis(700);
const TURNS: usize = 7;

/// `sign` and `get_key`, by one program and by many at once.
pub fn cicada(table: &mut Table) {
    let host = host();
    sign(&host, table);
    get_key(&host, table);
}

/// With a key store, unlocked, and an identity in it.
fn host() -> Host {
    // Whoever may lock has one thread to themselves; programs share the others.
    let operations = CicadaOperation::ALL.iter().filter(|it| **it != CicadaOperation::Lock);
    let operations: Vec<&str> = operations.map(|it| it.as_str()).collect();
    let uid = Uid::effective();
    let rules = format!("[[allow]]\nuid = {uid}\nidentity = \"*\"\noperations = {operations:?}\n");
    let mut host = Host::builder().users(Users::only_me()).cicada(&rules).provision();
    host.start();
    host.init();
    host.try_start(Daemon::Cicada).unwrap_or_else(|said| panic!("cicada starts: {said}"));
    let mut client = connect(&host);
    client.init(&Secret::from_fn(|key| key.fill(7))).expect("a key store");
    client.create(IDENTITY).expect("an identity");
    host
}

fn connect(host: &Host) -> Client {
    Client::connect(host.layout.socket(Daemon::Cicada)).expect("it listens")
}

/// Against fips204, which makes cicada's signatures; cicada has each verified by ml-dsa as well.
fn sign(host: &Host, table: &mut Table) {
    let (_, key) = KG::keygen_from_seed(&[7; 32]);
    let seeds = Seeds::generate().expect("random bytes");
    let verified = IdentityKeys::expand(&seeds).expect("room");
    let cores = available_parallelism().map_or(1, NonZero::get);
    for (clients, threads) in [(1, 1), (CLIENTS, cores)] {
        let measured = turns(|| {
            [
                rate(clients, || signer(host)),
                rate(threads, || bare_signer(&key)),
                rate(threads, || || drop(verified.sign(&MESSAGE).expect("a signature"))),
            ]
        });
        let [ours, bare, twice] = middle(&measured, |it| it);
        let [ratio, limit] = middle(&measured, |[ours, bare, twice]| [ours / bare, twice / bare]);
        table.at_least(
            &format!("sign, {}", counted(clients, "client")),
            ratio,
            0.7,
            "times",
            &format!(
                "{ours:.0} per s, recorded, against {bare:.0} of the bare library on {}; with the \
                 second verification it makes {twice:.0}, {limit:.2} times",
                counted(threads, "thread")
            ),
        );
    }
}

fn signer(host: &Host) -> impl FnMut() + Send {
    let mut client = connect(host);
    move || drop(client.sign(IDENTITY, &MESSAGE).expect("a signature"))
}

/// Hedged with other bytes each time: how often ML-DSA begins anew depends on them.
fn bare_signer(key: &PrivateKey) -> impl FnMut() + Send {
    let mut random = [0; 32];
    let mut round = 0_u64;
    move || {
        round += 1;
        random[..8].copy_from_slice(&round.to_le_bytes());
        let signature = key.try_sign_with_seed(&random, &MESSAGE, &[]).expect("a signature");
        std::hint::black_box(signature);
    }
}

/// Against two messages there and back, to cicada and from there to daemon-audit, and one entry on
/// the disk.
fn get_key(host: &Host, table: &mut Table) {
    let request = format!(r#"{{"op":"get_key","identity":"{IDENTITY}","format":"wg"}}"#).len();
    let reply = format!(r#"{{"key":"{:44}","type":"{}"}}"#, "", cicada_client::KEY_TYPE).len();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let mut one = getter(host);
    let measured = turns(|| {
        let ours = micros(median(1000, &mut one));
        [ours, micros(ping_pong(request, reply)), micros(append_and_sync(host.dir()))]
    });
    let [ours, message, sync] = middle(&measured, |it| it);
    let [ratio] = middle(&measured, |[ours, message, sync]| [ours / (2.0 * message + sync)]);
    table.figure(
        "get_key, 1 client",
        format!("{ratio:.2} times"),
        &format!(
            "{:.0} per s, recorded: {ours:.0} us against two raw ping-pongs of {message:.0} us and \
             one append+fdatasync of {sync:.0} us",
            1e6 / ours
        ),
    );
    let [many] = middle(&turns(|| [rate(CLIENTS, || getter(host))]), |it| it);
    table.figure(
        "get_key, 32 clients",
        format!("{many:.0} per s"),
        &format!("{:.1} times what 1 client reaches, all recorded", many * ours / 1e6),
    );
}

fn getter(host: &Host) -> impl FnMut() + Send {
    let mut client = connect(host);
    move || drop(client.get_key(IDENTITY, None).expect("a key"))
}

/// How often a second so many threads together do what each does by itself, during one turn.
fn rate<F: FnMut() + Send>(threads: usize, new: impl Fn() -> F) -> f64 {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let spawn = |_| {
            let (mut call, barrier) = (new(), &barrier);
            scope.spawn(move || {
                call();
                barrier.wait();
                let start = Instant::now();
                let mut calls = 0_u32;
                while start.elapsed() < TURN {
                    call();
                    calls += 1;
                }
                f64::from(calls) / start.elapsed().as_secs_f64()
            })
        };
        let threads: Vec<_> = (0..threads).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    })
}

fn turns<const N: usize>(mut measure: impl FnMut() -> [f64; N]) -> Vec<[f64; N]> {
    (0..TURNS).map(|_| measure()).collect()
}

/// The median of each figure over all turns.
fn middle<const N: usize, const M: usize>(
    turns: &[[f64; N]],
    figures: impl Fn([f64; N]) -> [f64; M],
) -> [f64; M] {
    let figures: Vec<[f64; M]> = turns.iter().map(|turn| figures(*turn)).collect();
    std::array::from_fn(|number| {
        let mut column: Vec<f64> = figures.iter().map(|turn| turn[number]).collect();
        column.sort_by(f64::total_cmp);
        column[column.len() / 2]
    })
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
