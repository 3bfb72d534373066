//! `kill -9` of daemon-audit under load, with seals and new segments all the time: every entry and
//! every checkpoint that was acknowledged is there, and the trail verifies under its key.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use audit_log::{Expectation, Verdict, verify_bundle};
use site_config::Daemon;
use testbed::random::Random;
use testbed::{Host, audit};

const ROUNDS: u32 = 60;
const WRITERS: u32 = 6;

#[test]
fn no_acknowledged_entry_or_seal_is_lost_in_sixty_kills() {
    // The smallest segments that there are, and a seal after every third entry.
    let config = "[audit]\ncheckpoint_entries = 3\nsegment_bytes = 65536\n";
    let mut host = Host::builder().config(config).with_a_trail();
    let key = audit::public_key(&mut host.connect(Daemon::Audit).unwrap()).unwrap();
    let entries: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let seals: Mutex<Vec<u64>> = Mutex::default();
    let mut random = Random::seeded();
    for round in 1..=ROUNDS {
        std::thread::scope(|scope| {
            for number in 0..WRITERS {
                let mut reporter = host.reporter().unwrap();
                let (entries, seed) = (&entries, random.below(1000));
                scope.spawn(move || {
                    for count in 0.. {
                        // Of many lengths, up to a twentieth of a segment.
                        let length = (seed + 97 * count) % 2000;
                        let subject =
                            format!("{round}/{number}/{count}/{}", "n".repeat(length as usize));
                        let Ok(seq) = audit::append(&mut reporter, &subject) else { break };
                        entries.lock().unwrap().insert(seq, subject);
                    }
                });
            }
            let (mut operator, seals) = (host.connect(Daemon::Audit).unwrap(), &seals);
            scope.spawn(move || {
                while let Ok(size) = audit::seal(&mut operator) {
                    seals.lock().unwrap().push(size);
                }
            });
            std::thread::sleep(random.up_to(Duration::from_millis(50)));
            host.kill(Daemon::Audit);
        });
        host.try_start(Daemon::Audit).unwrap_or_else(|said| panic!("round {round}: {said}"));
        if round % 5 == 0 {
            let expectation = Expectation { key: Some(key.clone()), ..Expectation::default() };
            let report = verify_bundle(&host.trail(), &expectation).unwrap();
            assert_eq!(report.verdict, Verdict::Sound, "round {round}: {report}");
            let (found, checkpoints) = (host.entries(), host.checkpoints());
            for (seq, subject) in &*entries.lock().unwrap() {
                let entry = found.get(*seq as usize).unwrap_or_else(|| panic!("{seq} is lost"));
                assert_eq!(entry.subject.as_ref(), Some(subject), "{seq}");
            }
            for size in &*seals.lock().unwrap() {
                assert!(checkpoints.contains(size), "the checkpoint over {size} is lost");
            }
        }
    }
    let (entries, seals) = (entries.into_inner().unwrap(), seals.into_inner().unwrap());
    let segments = host.trail_lines().iter().map(String::len).sum::<usize>() / 65536;
    assert!(entries.len() > 100 && segments > 1, "{} entries: too few", entries.len());
    eprintln!("{} entries, {} seals, about {segments} segments", entries.len(), seals.len());
}
