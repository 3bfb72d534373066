//! Bytes that no client sends, and clients that don't do their part: everybody else is served.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ipc::frame::MAX_FRAME_BYTES;
use ipc::secrets::{Purpose, SecretsRequest};
use ipc::session::REQUEST_BYTES;
use ipc::suite::PREAMBLE_BYTES;
use ipc::{Suite, codec};
use site_config::Daemon;
use testbed::random::Random;
use testbed::wire::{Raw, rest_of};
use testbed::{Host, ask, is_root_or_skip};

const BOTH: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];

/// Within which a well-behaved client is served, whatever the others do.
const SERVED_WITHIN: Duration = Duration::from_secs(5);
/// Within which a silent connection is closed: five seconds of patience, a sweep each second.
const CLOSED_WITHIN: Duration = Duration::from_secs(8);

#[track_caller]
fn assert_served(host: &Host) {
    let start = Instant::now();
    for round in 0..10_u32 {
        let mut client = host.connect(Daemon::Secrets).unwrap();
        ask::set(&mut client, "served", &round.to_le_bytes()).unwrap();
        assert_eq!(ask::get(&mut client, "served").unwrap(), round.to_le_bytes());
    }
    assert!(start.elapsed() < SERVED_WITHIN, "served after {:?}", start.elapsed());
}

/// From the test's own uid, with nothing said yet.
fn stream(host: &Host, daemon: Daemon) -> UnixStream {
    let stream = UnixStream::connect(host.layout.socket(daemon)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn established(host: &Host, daemon: Daemon) -> Raw {
    let hello = host.hello(daemon, &host.tester, Suite::ALL[0]);
    Raw::establish(stream(host, daemon), hello).unwrap()
}

fn random_bytes(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.below(256) as u8).collect()
}

fn status_of(host: &Host, daemon: Daemon, field: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid(daemon))).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time, in hundredths of a second (proc_pid_stat(5)).
fn ticks(host: &Host, daemon: Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", host.pid(daemon))).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn descriptors(host: &Host, daemon: Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", host.pid(daemon))).unwrap().count()
}

#[test]
fn what_is_no_hello_gets_not_one_byte() {
    let host = Host::unlocked();
    let mut random = Random::seeded();
    let hello_bytes = PREAMBLE_BYTES + REQUEST_BYTES;
    for daemon in BOTH {
        let (_, hello) = host.hello(daemon, &host.tester, Suite::ALL[0]);
        let mut unknown_suite = hello.clone();
        unknown_suite[4] = 17;
        let mut downgraded = hello.clone();
        downgraded[4] = 1;
        let mut changed = hello.clone();
        changed[40] ^= 1;
        let other = host.hello(
            if daemon == Daemon::Audit { Daemon::Secrets } else { Daemon::Audit },
            &host.tester,
            Suite::ALL[0],
        );
        let attacks = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(4),
            random_bytes(&mut random, hello_bytes),
            random_bytes(&mut random, 100_000),
            vec![0; hello_bytes],
            vec![0xff; hello_bytes],
            [Suite::ALL[0].preamble().to_vec(), random_bytes(&mut random, REQUEST_BYTES)].concat(),
            unknown_suite,
            downgraded,
            changed,
            other.1,
        ];
        for (number, attack) in attacks.iter().enumerate() {
            let mut stream = stream(&host, daemon);
            // It may hang up before it has heard everything.
            let _ = stream.write_all(attack);
            assert_eq!(rest_of(&mut stream).unwrap(), b"", "{daemon:?}, attack {number}");
        }
        for cut in [1, PREAMBLE_BYTES, hello_bytes - 1] {
            let mut stream = stream(&host, daemon);
            stream.write_all(&hello[..cut]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(rest_of(&mut stream).unwrap(), b"", "{daemon:?}, {cut} bytes");
        }
    }
    assert_served(&host);
    let refusals = host.refusals();
    assert!(refusals.iter().any(|entry| entry.detail["reason"] == "bad handshake"));
}

#[test]
fn what_is_no_frame_ends_the_connection_without_a_reply() {
    let host = Host::unlocked();
    let mut random = Random::seeded();
    for daemon in BOTH {
        let header = |length: u32| length.to_le_bytes().to_vec();
        let too_long = u32::try_from(MAX_FRAME_BYTES + 1).unwrap();
        let attacks = [
            header(0),
            header(u32::MAX),
            header(too_long),
            [header(too_long), random_bytes(&mut random, 4096)].concat(),
            [header(15), vec![0; 15]].concat(),
            [header(40), random_bytes(&mut random, 40)].concat(),
            [header(96 * 1024), random_bytes(&mut random, 96 * 1024)].concat(),
            b"\n\n\n\n\n\n\n\n".to_vec(),
        ];
        for (number, attack) in attacks.iter().enumerate() {
            let mut raw = established(&host, daemon);
            // At once: nothing is buffered, and nothing awaited, for what can't become a frame.
            raw.stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            let _ = raw.stream.write_all(attack);
            assert_eq!(rest_of(&mut raw.stream).unwrap(), b"", "{daemon:?}, attack {number}");
        }
        let mut raw = established(&host, daemon);
        let whole = raw.seal(b"\0");
        raw.stream.write_all(&whole[..whole.len() - 1]).unwrap();
        raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(rest_of(&mut raw.stream).unwrap(), b"", "{daemon:?}, a frame cut short");
    }
    assert_served(&host);
}

#[test]
fn what_is_no_request_ends_the_connection_without_a_reply() {
    let host = Host::unlocked();
    let mut random = Random::seeded();
    let request = SecretsRequest::SecretGet { profile: None, name: "a", purpose: Purpose::Read };
    let request = codec::encode(&request).unwrap().expose().to_vec();
    for daemon in BOTH {
        let mut attacks = vec![
            Vec::new(),
            vec![0xff; 16],
            vec![200],
            [request.as_slice(), b"\0"].concat(),
            request[..request.len() - 1].to_vec(),
            // A name of 2^63 bytes, of which none follows.
            vec![11, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            vec![11, 0, 2, 0xc3, 0x28, 0],
        ];
        attacks.extend((0..200).map(|_| {
            let length = random.below(64) as usize;
            // Beyond the requests there are, whatever follows.
            [vec![0x7f], random_bytes(&mut random, length)].concat()
        }));
        for attack in &attacks {
            let mut raw = established(&host, daemon);
            let frame = raw.seal(attack);
            raw.stream.write_all(&frame).unwrap();
            assert_eq!(rest_of(&mut raw.stream).unwrap(), b"", "{daemon:?}, {attack:02x?}");
        }
    }
    assert_served(&host);
}

/// Nobody can hold a thread, and nobody can hold a slot for long by dribbling.
#[test]
fn connections_that_stall_are_closed_in_time_and_hold_nobody_up() {
    let host = Host::unlocked();
    let start = Instant::now();
    let mut stalled: Vec<(&str, UnixStream)> = Vec::new();
    for daemon in BOTH {
        let (_, hello) = host.hello(daemon, &host.tester, Suite::ALL[0]);
        for _ in 0..20 {
            stalled.push(("silent", stream(&host, daemon)));
            let mut half = stream(&host, daemon);
            half.write_all(&hello[..50]).unwrap();
            stalled.push(("in the middle of the handshake", half));
            let mut raw = established(&host, daemon);
            raw.stream.write_all(&1000_u32.to_le_bytes()).unwrap();
            stalled.push(("in the middle of a frame", raw.stream));
        }
    }
    let mut dribbling = Vec::new();
    for daemon in BOTH {
        let (_, hello) = host.hello(daemon, &host.tester, Suite::ALL[0]);
        let mut raw = established(&host, daemon);
        let frame = raw.seal(&[0; 500]);
        for (mut stream, bytes) in [(stream(&host, daemon), hello), (raw.stream, frame)] {
            dribbling.push(std::thread::spawn(move || {
                for byte in bytes {
                    if stream.write_all(&[byte]).is_err() {
                        return start.elapsed();
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
                Duration::MAX
            }));
        }
    }
    assert_served(&host);
    for (what, stream) in &mut stalled {
        assert_eq!(rest_of(stream).expect(what), b"", "{what}");
        assert!(start.elapsed() < CLOSED_WITHIN, "{what}: closed after {:?}", start.elapsed());
    }
    for thread in dribbling {
        // A second more: the next byte finds the connection closed.
        let after = thread.join().unwrap();
        assert!(after < CLOSED_WITHIN + Duration::from_secs(1), "dribbled for {after:?}");
    }
    std::thread::sleep(Duration::from_millis(2200));
    assert!(host.refusals().iter().any(|entry| entry.detail["reason"] == "handshake timed out"));
    assert_served(&host);
}

/// Small requests for large replies that are never read: the daemon must not collect the replies.
#[test]
fn a_client_that_never_reads_costs_no_memory_and_no_thread() {
    if !is_root_or_skip("looking into the daemon") {
        return;
    }
    let host = Host::unlocked();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    ask::set(&mut client, "a", &[7; 65536]).unwrap();
    let before = status_of(&host, Daemon::Secrets, "VmRSS");
    let request = SecretsRequest::SecretGet { profile: None, name: "a", purpose: Purpose::Read };
    let request = codec::encode(&request).unwrap();
    let mut deaf = Vec::new();
    for _ in 0..40 {
        let mut raw = established(&host, Daemon::Secrets);
        let frames: Vec<u8> = (0..2000).flat_map(|_| raw.seal(request.expose())).collect();
        raw.stream.set_nonblocking(true).unwrap();
        let _ = raw.stream.write(&frames);
        deaf.push(raw);
    }
    assert_served(&host);
    std::thread::sleep(Duration::from_secs(1));
    let grown = status_of(&host, Daemon::Secrets, "VmHWM").saturating_sub(before);
    assert!(grown < 40 * 1024, "the daemon has grown by {grown} KiB");
    // Whoever begins to read gets every reply, in order.
    let raw = &mut deaf[0];
    raw.stream.set_nonblocking(false).unwrap();
    for _ in 0..20 {
        assert!(raw.receive().unwrap().expose().ends_with(&[7; 65536]));
    }
    drop(deaf);
    assert_served(&host);
}

/// One that has closed its half, too: there is nothing to do until it reads.
#[test]
fn a_client_that_neither_reads_nor_writes_costs_no_time() {
    if !is_root_or_skip("looking into the daemon") {
        return;
    }
    let host = Host::unlocked();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    ask::set(&mut client, "a", &[7; 65536]).unwrap();
    let request = SecretsRequest::SecretGet { profile: None, name: "a", purpose: Purpose::Read };
    let mut raw = established(&host, Daemon::Secrets);
    for _ in 0..20 {
        let frame = raw.seal(codec::encode(&request).unwrap().expose());
        raw.stream.write_all(&frame).unwrap();
    }
    raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let before = ticks(&host, Daemon::Secrets);
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(&host, Daemon::Secrets) - before;
    assert!(used < 20, "{used} of 100 ticks");
}

#[test]
fn three_hundred_connections_of_a_stranger_leave_room_for_the_operator() {
    if !is_root_or_skip("another uid") {
        return;
    }
    let host = Host::unlocked();
    for daemon in BOTH {
        let start = Instant::now();
        let mut foreign = host.streams_of(host.users.stranger, daemon, 300);
        host.sesame(["secret", "set", "a"]).stdin("value").succeed();
        assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "value");
        host.sesame(["audit", "verify"]).succeed();
        assert_served(&host);
        assert!(start.elapsed() < SERVED_WITHIN, "took {:?}", start.elapsed());
        let mut refused = 0;
        for stream in &mut foreign.streams {
            stream.set_nonblocking(true).unwrap();
            refused += usize::from(rest_of(stream).is_ok());
        }
        assert!((204..300).contains(&refused), "{daemon:?} refused {refused} of 300");
        std::thread::sleep(Duration::from_millis(2200));
        let refusals = host.refusals();
        let too_many = |reason: &String| reason == "too many connections";
        let mut counted = 0;
        for entry in refusals.iter().filter(|entry| {
            too_many(&entry.detail["reason"]) && entry.subject.as_deref() == Some(daemon.as_str())
        }) {
            assert_eq!(entry.actor.as_ref().unwrap().uid, host.users.stranger);
            let before = entry.detail.get("unrecorded").map_or(0, |count| count.parse().unwrap());
            counted += 1 + before;
        }
        assert!((204..300).contains(&counted), "{daemon:?} recorded {counted}");
    }
}

#[test]
fn a_thousand_connections_one_after_the_other_leak_nothing() {
    if !is_root_or_skip("looking into the daemons") {
        return;
    }
    let host = Host::unlocked();
    let round = || {
        for daemon in BOTH {
            for number in 0..250 {
                let mut stream = stream(&host, daemon);
                if number % 2 == 0 {
                    let _ = stream.write_all(b"x");
                }
                drop(stream);
                drop(established(&host, daemon));
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let measure =
        || BOTH.map(|daemon| (descriptors(&host, daemon), status_of(&host, daemon, "VmRSS")));
    round();
    let before = measure();
    round();
    let after = measure();
    for (before, after) in before.iter().zip(after) {
        // A worker of daemon-secrets that has recorded nothing yet may still connect to daemon-audit.
        assert!(after.0 <= before.0 + 16, "{} descriptors became {}", before.0, after.0);
        assert!(after.1 < before.1 + 2048, "{} KiB became {}", before.1, after.1);
    }
    assert_served(&host);
}

#[test]
fn names_and_values_beyond_their_limits_have_their_exit_code() {
    let host = Host::unlocked();
    let largest = vec![0xa5; 65536];
    host.sesame(["secret", "set", "a"]).stdin(largest.clone()).succeed();
    assert!(host.sesame(["secret", "get", "a"]).run().stdout == largest);
    host.sesame(["secret", "set", "a"]).stdin(vec![0; 65537]).fail(24);
    host.sesame(["secret", "set", "a"]).stdin(vec![0; 16 << 20]).fail(24);
    assert!(host.sesame(["secret", "get", "a"]).run().stdout == largest, "changed");
    let long = "n".repeat(10 << 10);
    let longest = "n".repeat(256);
    for name in ["", " a", "a\nb", "a\u{1b}[31m", "a\u{202e}b", &long, &"n".repeat(257)] {
        host.sesame(["secret", "set", name]).stdin("x").fail(24);
        host.sesame(["secret", "get", name]).fail(24);
        host.sesame(["secret", "delete", name]).fail(24);
    }
    host.sesame(["secret", "set", &longest]).stdin("x").succeed();
    host.sesame(["secret", "set", "../../a"]).stdin("x").succeed();
    for name in ["", "../x", "..", ".", "a/b", "/etc", "A", "a b", ".new-a", &long] {
        let create = ["profile", "create", name, "--password-stdin"];
        host.sesame(create).stdin("correct horse battery").fail(24);
        host.sesame(["profile", "activate", name]).fail(24);
        host.sesame(["profile", "default", name]).fail(24);
        host.sesame(["secret", "list", "--profile", name]).fail(24);
        host.sesame(["unlock", "--profile", name, "--password-stdin"]).stdin("x").fail(24);
    }
    assert_eq!(host.sesame(["profile", "list"]).succeed().lines().count(), 1);
    assert_served(&host);
    host.sesame(["audit", "verify"]).succeed();
}
