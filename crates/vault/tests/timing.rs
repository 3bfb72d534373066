//! How long an operation takes: `cargo test -p vault --release --test timing -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod common;

use std::time::{Duration, Instant};

use common::{create, place};

/// Median of `rounds` runs.
fn median(rounds: u32, mut work: impl FnMut(u32)) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|round| {
            let start = Instant::now();
            work(round);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement; the figures mean something in a release build only"]
fn operations_are_fast() {
    let place = place();
    let vault = create(&place.path);
    for n in 0..100 {
        vault.set(&format!("name/{n}"), &[n; 64]).unwrap();
    }
    vault.set("large", &[7; 65536]).unwrap();
    let names: Vec<String> = (0..100).map(|n| format!("name/{n}")).collect();
    let get = median(10_000, |round| drop(vault.get(&names[round as usize % 100]).unwrap()));
    let missing = median(10_000, |_| drop(vault.get("missing").unwrap()));
    let large = median(1000, |_| drop(vault.get("large").unwrap()));
    let set = median(200, |round| {
        vault.set(&names[round as usize % 100], &[1; 64]).unwrap();
    });
    let list = median(1000, |_| drop(vault.list().unwrap()));
    vault.close().unwrap();
    let open = median(50, |_| common::open(&place.path).unwrap().close().unwrap());
    println!("get 64 B {get:?}, missing {missing:?}, get 64 KiB {large:?}, list 101 {list:?}");
    println!("set 64 B {set:?}, open and close {open:?}, on {}", place.path.display());
    println!("{:?}", secret_memory::usage());
    assert!(get < Duration::from_micros(100), "{get:?}");
}
