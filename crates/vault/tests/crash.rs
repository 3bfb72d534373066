//! `kill -9` in the middle of writes. What a power cut adds to that (the disk's own cache) needs a
//! machine, and is tested there.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use common::{child, create, open, place, value};

const ROUNDS: u64 = 30;

/// Sizes from nothing to several pages.
fn expected(number: u64) -> Vec<u8> {
    number.to_le_bytes().iter().copied().cycle().take(number as usize * 997 % 20_000).collect()
}

#[test]
fn acknowledged_writes_survive_being_killed() {
    let place = place();
    create(&place.path).close().unwrap();
    let (mut acknowledged, mut interrupted) = (0, 0);
    for round in 0..ROUNDS {
        let mut writer = child("write_until_killed")
            .env("VAULT", &place.path)
            .env("FROM", acknowledged.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let before = acknowledged;
        let mut note = |line: String| {
            // The harness writes the name of the test into the first line.
            let number = line.split_once("WRITTEN ").map(|(_, number)| number.parse().unwrap());
            acknowledged = number.unwrap_or(acknowledged);
            number.is_some()
        };
        // From the first acknowledgement on, so that every round kills a writer at work.
        while !note(lines.next().unwrap().unwrap()) {}
        let random = u64::from(getrandom_byte());
        std::thread::sleep(Duration::from_micros(200 * random));
        writer.kill().unwrap();
        writer.wait().unwrap();
        for line in lines {
            note(line.unwrap());
        }

        let journal = place.directory.path().join("vault.db-journal");
        interrupted += u64::from(journal.metadata().is_ok_and(|file| file.len() > 0));
        let vault = open(&place.path).unwrap();
        vault.verify().unwrap();
        for number in before + 1..=acknowledged {
            let found = value(&vault, &number.to_string());
            assert_eq!(found, Some(expected(number)), "round {round}, {number} of {acknowledged}");
        }
        // One write may have been finished without being acknowledged, never half of one.
        let unacknowledged = value(&vault, &(acknowledged + 1).to_string());
        if let Some(bytes) = unacknowledged {
            acknowledged += 1;
            assert_eq!(bytes, expected(acknowledged), "round {round}");
        }
        assert_eq!(vault.count().unwrap(), acknowledged, "round {round}");
    }
    println!("{acknowledged} writes, {interrupted} of {ROUNDS} rounds died inside a transaction");
    assert!(acknowledged >= ROUNDS);
}

fn getrandom_byte() -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).unwrap();
    byte[0]
}

#[test]
#[ignore = "the other process of the test above"]
fn write_until_killed() {
    let Some(path) = std::env::var_os("VAULT") else { return };
    let from: u64 = std::env::var("FROM").unwrap().parse().unwrap();
    common::setup();
    let vault = open(path.as_ref()).unwrap();
    let mut output = std::io::stdout();
    for number in from + 1.. {
        vault.set(&number.to_string(), &expected(number)).unwrap();
        writeln!(output, "WRITTEN {number}").unwrap();
        output.flush().unwrap();
    }
}
