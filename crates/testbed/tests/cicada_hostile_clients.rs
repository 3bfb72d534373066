//! Programs that send what no program should, or nothing, or far too much: each of them gets what it
//! deserves, and another user's program gets an answer to every one of its requests meanwhile.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use site_config::Daemon;
use testbed::cicada::{OPERATIONS, Program, allow, allow_me_everything, bytes, code, sign, text};
use testbed::random::Random;
use testbed::wire::rest_of;
use testbed::{Host, is_root_or_skip};

/// What the unit gives, `MemoryMax=128M`.
const MEMORY_MAX_KIB: usize = 128 << 10;
/// How many connections one user has at most.
const PER_UID: usize = 240;
/// The hostile ones: they may sign with `cloud-sync`, and that is all.
const HOSTILE: u32 = 54_200;
const WELL_BEHAVED: u32 = 54_201;
const GET_KEY: &str = r#"{"op":"get_key","identity":"cloud-sync","format":"wg"}"#;

/// A host with a program that asks and asks, and must be answered.
struct Attacked {
    host: Host,
    stop: Arc<AtomicBool>,
    program: Option<JoinHandle<usize>>,
    before: Use,
}

/// What the daemon holds.
#[derive(Debug)]
struct Use {
    descriptors: usize,
    threads: usize,
}

fn status_of(host: &Host, field: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid(Daemon::Cicada))).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Use {
    fn of(host: &Host) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", host.pid(Daemon::Cicada)));
        Self { descriptors: descriptors.unwrap().count(), threads: status_of(host, "Threads") }
    }
}

impl Attacked {
    /// None where there is no other user.
    fn begin() -> Option<Self> {
        if !is_root_or_skip("programs of other users") {
            return None;
        }
        let rules = allow_me_everything()
            + &allow(&format!("uid = {HOSTILE}"), "cloud-sync", &["sign", "get_key"])
            + &allow(&format!("uid = {WELL_BEHAVED}"), "*", &OPERATIONS);
        let host = Host::with_identities(&rules, &["cloud-sync"]);
        host.warm_up("cloud-sync");
        let (stop, mut program) =
            (Arc::new(AtomicBool::new(false)), host.program_of(WELL_BEHAVED, WELL_BEHAVED, &[]));
        let (stopped, socket) = (Arc::clone(&stop), host.layout.cicada_socket());
        let first = program.ask(GET_KEY);
        let before = Use::of(&host);
        let thread = std::thread::spawn(move || {
            let mut answered = 0;
            while !stopped.load(Ordering::Relaxed) {
                assert_eq!(program.ask(GET_KEY), first, "after {answered} answers");
                let signature = program.ask(sign("cloud-sync", b"data"));
                assert_eq!(bytes(&signature, "signature").len(), 3309);
                answered += 2;
                std::thread::sleep(Duration::from_millis(5));
            }
            // A new connection is not turned away, either.
            assert!(UnixStream::connect(&socket).is_ok());
            answered
        });
        Some(Self { host, stop, program: Some(thread), before })
    }

    fn hostile(&self) -> Program {
        self.host.program_of(HOSTILE, HOSTILE, &[])
    }

    fn hostiles(&self, count: usize) -> Vec<Program> {
        let streams = self.host.streams_of(HOSTILE, Daemon::Cicada, count).streams;
        streams.into_iter().map(Program::on).collect()
    }

    /// The attack is over: everybody was answered, and nothing is left of it.
    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.program.take().unwrap().join().expect("everything was answered");
        assert!(answered >= 2, "{answered} answers");
        let mut program = self.host.program_of(WELL_BEHAVED, WELL_BEHAVED, &[]);
        assert_eq!(code(&program.ask(GET_KEY)), None);
        drop(program);
        let peak = status_of(&self.host, "VmHWM");
        assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
        // Closed connections are noticed in their turn.
        let begin = Instant::now();
        let mut now = Use::of(&self.host);
        // A thread that has had nothing to record before may have connected to daemon-audit.
        while now.descriptors > self.before.descriptors + now.threads {
            assert!(begin.elapsed() < Duration::from_secs(60), "{:?} became {now:?}", self.before);
            std::thread::sleep(Duration::from_millis(100));
            now = Use::of(&self.host);
        }
        assert_eq!(now.threads, self.before.threads);
        eprintln!("{answered} answers meanwhile, {peak} KiB at the most");
        self.host.sesame(["audit", "verify"]).succeed();
    }
}

impl Drop for Attacked {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Everything that comes until the daemon closes; the connection must be closed.
#[track_caller]
fn last_word(program: Program) -> String {
    String::from_utf8(program.rest().expect("it is closed")).unwrap()
}

#[test]
fn half_requests_are_closed_and_hold_nobody_up() {
    let Some(attacked) = Attacked::begin() else { return };
    let mut halves = attacked.hostiles(200);
    for (number, program) in halves.iter_mut().enumerate() {
        let cut = 1 + number % (GET_KEY.len() - 1);
        program.send(&GET_KEY[..cut]).unwrap();
    }
    for program in halves {
        assert_eq!(last_word(program), "", "half a request has no answer");
    }
    // Their beginnings may add up to what one user may have lying here, and not more.
    let mut large = attacked.hostiles(10);
    let half = format!("{}\"{}", "{\"op\":", "x".repeat(60_000));
    for program in &mut large {
        let _ = program.send(&half);
    }
    let words: Vec<_> = large.into_iter().map(last_word).collect();
    let busy = words.iter().filter(|word| code(word).as_deref() == Some("busy")).count();
    assert!((1..10).contains(&busy), "{words:?}");
    attacked.end();
}

#[test]
fn a_gigabyte_of_spaces_takes_no_memory() {
    const GIGABYTE: usize = 1 << 30;
    let Some(attacked) = Attacked::begin() else { return };
    let mut program = attacked.hostile();
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..GIGABYTE / spaces.len() {
        program.send(&spaces).unwrap();
    }
    assert_eq!(text(&program.ask(GET_KEY), "type"), "x25519+kyber768", "white space is no fault");

    for open in ["{", "{\"op\":", "{\"op\":\""] {
        let mut program = attacked.hostile();
        program.send(open).unwrap();
        let sent = (0..GIGABYTE / spaces.len()).take_while(|_| program.send(&spaces).is_ok());
        let sent = sent.count();
        assert!(sent < 8, "{open}: {sent} MiB were taken");
        assert_eq!(code(&last_word(program)).as_deref(), Some("too_large"), "{open}");
    }
    attacked.end();
}

#[test]
fn what_is_no_request_is_answered_with_its_code() {
    let Some(attacked) = Attacked::begin() else { return };
    let deep = |open: &str, depth: usize| open.repeat(depth);
    let closes: Vec<(Vec<u8>, &str)> = vec![
        (deep("{\"a\":", 100_000).into(), "too_deep"),
        (format!("{{\"a\":{}", deep("[", 100_000)).into(), "too_deep"),
        (format!("{{\"a\":{}", deep("[{\"a\":", 9)).into(), "too_deep"),
        (b"[]".to_vec(), "bad_request"),
        (b"null".to_vec(), "bad_request"),
        (b"\"{}\"".to_vec(), "bad_request"),
        (b"}".to_vec(), "bad_request"),
        (b"\0".to_vec(), "bad_request"),
        (b"\0{\"op\":\"status\"}".to_vec(), "bad_request"),
        (b"\xef\xbb\xbf{}".to_vec(), "bad_request"),
        (b"\xff\xfe{\0}\0".to_vec(), "bad_request"),
        (b"\x0b{}".to_vec(), "bad_request"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "bad_request"),
        (vec![0xff; 100_000], "bad_request"),
    ];
    for (bytes, expected) in &closes {
        let mut program = attacked.hostile();
        let _ = program.send(bytes);
        let said = last_word(program);
        assert_eq!(code(&said).as_deref(), Some(*expected), "{:.40?}: {said}", bytes);
    }
    let mut goes_on = attacked.hostile();
    let name = |bytes: &[u8]| [b"{\"op\":\"get_key\",\"identity\":\"", bytes, b"\"}"].concat();
    for request in [
        name(b"\xff\xfe"),
        name(b"\xc3\x28"),
        name(b"\xed\xa0\x80"),
        name(b"\xf4\x90\x80\x80"),
        name(b"\\ud800"),
        name(b"\\udc00\\ud800"),
        name(b"\\u0000"),
        name(b"\0"),
        name(b"a\nb"),
        name(b"\\x41"),
        name("cloud\u{ad}-sync".as_bytes()),
        name("\u{ff43}loud-sync".as_bytes()),
        name(&[b'a'; 65]),
        name(&[b'a'; 60_000]),
        b"{]".to_vec(),
        b"{\"op\":\"get_key\",\"identity\":[[[[[[[]]]]]]]}".to_vec(),
        b"{\"op\":\"get_key\",\"op\":\"sign\",\"identity\":\"cloud-sync\"}".to_vec(),
        b"{\"op\":\"get_key\",\"\\u006fp\":\"sign\",\"identity\":\"cloud-sync\"}".to_vec(),
        format!("{{\"op\":\"get_key\",\"version\":1{}}}", "0".repeat(60_000)).into(),
        format!("{{\"op\":\"get_key\",\"version\":1e{}}}", "9".repeat(60_000)).into(),
        format!("{{\"op\":\"get_key\",\"version\":-0.{}1}}", "0".repeat(60_000)).into(),
        format!("{{{}}}", "\"a\":1,".repeat(9000)).into(),
    ] {
        let reply = goes_on.ask(&request);
        assert_eq!(code(&reply).as_deref(), Some("bad_request"), "{:.60?}: {reply}", request);
    }
    assert_eq!(code(&goes_on.ask(GET_KEY)), None, "the connection is as good as before");
    attacked.end();
}

#[test]
fn a_request_has_65536_bytes_and_not_one_more() {
    let Some(attacked) = Attacked::begin() else { return };
    let padded = |length: usize| {
        let space = " ".repeat(length - GET_KEY.len());
        GET_KEY.replacen(',', &format!(",{space}"), 1)
    };
    let mut program = attacked.hostile();
    assert_eq!(padded(65_536).len(), 65_536);
    assert_eq!(code(&program.ask(padded(65_536))), None);
    program.send(padded(65_537)).unwrap();
    assert_eq!(code(&last_word(program)).as_deref(), Some("too_large"));
    attacked.end();
}

#[test]
fn a_thousand_connections_at_once_leave_room_for_others() {
    let Some(attacked) = Attacked::begin() else { return };
    let mut programs = attacked.hostiles(1000);
    let mut served = 0;
    for program in &mut programs {
        // Those that were turned away are closed already.
        let _ = program.send(GET_KEY);
        let reply = program.receive().unwrap();
        match code(&reply).as_deref() {
            None => served += 1,
            Some(code) => assert_eq!(code, "busy", "{reply}"),
        }
    }
    assert_eq!(served, PER_UID);
    let mut another = attacked.host.program();
    assert_eq!(code(&another.ask(GET_KEY)), None);
    drop(programs);
    attacked.end();
}

#[test]
fn a_million_connections_one_after_the_other_leave_nothing_behind() {
    let Some(attacked) = Attacked::begin() else { return };
    let limit = Duration::from_secs(60);
    let (begin, socket) = (Instant::now(), attacked.host.layout.cicada_socket());
    // Of this process's user, who may do everything: nobody is turned away at the door.
    let mut count = 0;
    while count < 1_000_000 && (count < 200_000 || begin.elapsed() < limit) {
        let mut stream = UnixStream::connect(&socket).unwrap();
        match count % 4 {
            0 => stream.write_all(b"{").unwrap(),
            1 if count % 1001 == 0 => {
                let mut program = Program::on(stream);
                assert_eq!(code(&program.ask(GET_KEY)), None);
            }
            _ => {}
        }
        count += 1;
    }
    eprintln!("{count} connections in {:?}", begin.elapsed());
    attacked.end();
}

/// Without reading anything.
#[track_caller]
fn await_close(stream: &UnixStream) {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let ready = poll(&mut fds, PollTimeout::from(60_000_u16)).unwrap();
    assert!(ready == 1 && fds[0].revents().unwrap().contains(PollFlags::POLLHUP), "{fds:?}");
}

#[test]
fn whoever_dribbles_or_does_not_read_is_closed_and_holds_nobody_up() {
    let Some(attacked) = Attacked::begin() else { return };
    let slow: Vec<_> = attacked
        .hostiles(50)
        .into_iter()
        .map(|mut program| {
            std::thread::spawn(move || {
                for byte in GET_KEY.bytes() {
                    if program.send([byte]).is_err() {
                        return true;
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
                false
            })
        })
        .collect();
    let mut deaf = attacked.hostiles(20);
    let requests = sign("cloud-sync", &[7; 100]).repeat(10_000);
    for program in &mut deaf {
        program.stream.set_nonblocking(true).unwrap();
        let mut left = requests.as_bytes();
        // As much as it takes; the rest is offered again and again.
        for _ in 0..20 {
            match program.stream.write(left) {
                Ok(sent) => left = &left[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!left.is_empty(), "replies are not collected");
    }
    for thread in slow {
        assert!(thread.join().unwrap(), "a request in as many seconds as it has bytes");
    }
    for mut program in deaf {
        await_close(&program.stream);
        program.stream.set_nonblocking(false).unwrap();
        let said = rest_of(&mut program.stream).expect("it is closed");
        assert!(said.len() < 1 << 20, "{} bytes were waiting", said.len());
    }
    attacked.end();
}

#[test]
fn connections_that_break_in_the_middle_leave_nothing_behind() {
    let Some(attacked) = Attacked::begin() else { return };
    let mut random = Random::seeded();
    let requests = (GET_KEY.to_owned() + &sign("cloud-sync", &[7; 2000])).repeat(5);
    for _ in 0..20 {
        for mut program in attacked.hostiles(50) {
            let cut = 1 + random.below(requests.len() as u64 - 1) as usize;
            let _ = program.send(&requests[..cut]);
            if random.below(2) == 0 {
                program.stream.set_nonblocking(true).unwrap();
                let _ = program.stream.read(&mut [0; 100]);
            }
        }
    }
    attacked.end();
}
