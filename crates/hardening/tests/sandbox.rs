//! A daemon that was taken over, against the whole sandbox and against each part of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

mod common;

#[path = "common/attacks.rs"]
mod attacks;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use attacks::{ATTACKS, Target, denied};
use common::{alone, alone_as_nobody, fork, forked, is_root, wait};
use hardening::filesystem::{ABI, Access, RestrictError, is_denied_here, restrict};
use hardening::posture::{self, Facts, Status, Switch};
use hardening::{network, process, seccomp, threads};

/// What stands around a daemon: its directory, one that is not its own, and another process.
struct World {
    own: tempfile::TempDir,
    target: Target,
    _outside: tempfile::TempDir,
    _listener: UnixListener,
}

impl World {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("there"), "x").unwrap();
        // The temporary name is unique; a child of an earlier world may still hold its socket.
        let abstract_socket = outside.path().to_str().unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(&abstract_socket).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let victim = fork(|| {
            thread::sleep(std::time::Duration::from_secs(60));
            0
        });
        let target = Target { victim, outside: outside.path().to_owned(), abstract_socket };
        Self { own: tempfile::tempdir().unwrap(), target, _outside: outside, _listener: listener }
    }

    fn access(&self) -> Access {
        Access {
            read_write: vec![self.own.path().to_owned()],
            read_only: vec![PathBuf::from("/proc/self")],
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: ends the child that `new` forked.
        unsafe { libc::kill(self.target.victim, libc::SIGKILL) };
        wait(self.target.victim);
    }
}

/// What a daemon does all day; all of it must work.
fn work(own: &Path, thread: usize) {
    let file = own.join(format!("state-{thread}"));
    let new = own.join(format!("state-{thread}.new"));
    let mut written = File::create(&new).unwrap();
    written.write_all(b"state").unwrap();
    written.sync_all().unwrap();
    fs::rename(&new, &file).unwrap();
    File::open(own).unwrap().sync_all().unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"state");
    assert!(fs::read_dir(own).unwrap().count() > 0);
    fs::create_dir(own.join(format!("profile-{thread}"))).unwrap();
    fs::remove_dir(own.join(format!("profile-{thread}"))).unwrap();
    fs::remove_file(&file).unwrap();
    // Large enough for malloc to map, and to grow.
    let mut large = vec![1_u8; 1 << 20];
    large.resize(8 << 20, 2);
    drop(large);
    thread::sleep(std::time::Duration::from_millis(1));
    assert!(secret_memory::SecretSlice::<argon2::Block>::new(32).is_ok());
    let mut noise = [0_u8; 32];
    // SAFETY: getrandom(2) writes as many bytes as the buffer has.
    assert_eq!(unsafe { libc::getrandom(noise.as_mut_ptr().cast(), 32, 0) }, 32);
}

/// Tries every attack; returns those that were not stopped.
fn failures(target: &Target) -> Vec<String> {
    let tried = ATTACKS.iter().map(|(name, attack)| (name, attack(target)));
    tried
        .filter(|(_, result)| !denied(result))
        .map(|(name, result)| format!("{name}: {result:?}"))
        .collect()
}

/// The start-up order of a daemon with three workers, each of which then runs `serve`.
fn as_a_daemon(world: &World, serve: fn(usize, &Path, &Target) -> Vec<String>) {
    let access = world.access();
    network::isolate(false).unwrap();
    process::lock_down().unwrap();
    secret_memory::init(secret_memory::Policy::Prefer, 1 << 16, 0).unwrap();
    let address = world.own.path().join("socket");
    let listener = UnixListener::bind(&address).unwrap();
    restrict(&access).unwrap();

    let (reports, reported) = mpsc::channel();
    let mut starts = Vec::new();
    for thread in 1..4 {
        let (start, started) = mpsc::channel::<()>();
        let (own, target) = (world.own.path().to_owned(), world.target.clone());
        let reports = reports.clone();
        thread::spawn(move || {
            started.recv().unwrap();
            let denied = is_denied_here();
            reports.send((denied, serve(thread, &own, &target))).unwrap();
            // Stay, to be counted.
            let _ = started.recv();
        });
        starts.push(start);
    }
    seccomp::apply_to_every_thread(seccomp::SERVICE).unwrap();
    threads::verify(threads::Expected::ALL).unwrap();

    let mut confirmed = usize::from(is_denied_here());
    let mut failed = serve(0, world.own.path(), &world.target);
    for start in &starts {
        start.send(()).unwrap();
        let (denied, failures) = reported.recv().unwrap();
        confirmed += usize::from(denied);
        failed.extend(failures);
    }
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(confirmed, 4, "the domain holds on every thread");

    let mut client = UnixStream::connect(&address).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    let mut hello = [0; 5];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    peer.set_nonblocking(true).unwrap();

    let facts = Facts {
        seccomp_filters: 1,
        working_memory: 0,
        seccomp: Switch::On,
        landlock: Switch::On,
        landlock_abi: Some(ABI),
        landlock_threads: (confirmed, 4),
    };
    let checks = posture::process("daemon-test", &facts);
    assert_eq!(checks.len(), 9);
    for check in &checks {
        let needless = matches!(&*check.id, "network" | "capabilities") && !is_root();
        assert!(check.status == Status::Pass || needless, "{check:?}");
        assert!(!check.controls.is_empty(), "{check:?}");
    }
    assert!(posture::floor_holds(&checks));
    drop(starts);
}

#[test]
fn every_attack_gets_somewhere_without_a_sandbox() {
    alone("every_attack_gets_somewhere_without_a_sandbox", || {
        if !is_root() {
            return; // An ordinary user is denied some of them anyway.
        }
        let mut pointless = Vec::new();
        for (name, attack) in ATTACKS {
            let world = World::new();
            // A child for each: some change the process they succeed in.
            let attempt = || assert!(!denied(&attack(&world.target)));
            if !forked(attempt) {
                pointless.push(name);
            }
        }
        assert_eq!(pointless, Vec::<&&str>::new(), "denied without a sandbox too");
    });
}

#[test]
fn every_attack_fails_from_every_thread() {
    alone("every_attack_fails_from_every_thread", || {
        let world = World::new();
        let attacked = forked(|| as_a_daemon(&world, |_, _, target| failures(target)));
        assert!(attacked);
        assert!(world.target.outside.join("there").exists());
        assert!(!world.target.outside.join("new").exists());
    });
}

#[test]
fn every_attack_fails_for_an_ordinary_user_too() {
    alone_as_nobody("every_attack_fails_for_an_ordinary_user_too", || {
        let world = World::new();
        assert!(forked(|| as_a_daemon(&world, |_, _, target| failures(target))));
    });
}

#[test]
fn the_work_of_a_daemon_goes_on_in_every_thread() {
    alone("the_work_of_a_daemon_goes_on_in_every_thread", || {
        let world = World::new();
        let worked = forked(|| {
            as_a_daemon(&world, |thread, own, _| {
                work(own, thread);
                Vec::new()
            });
        });
        assert!(worked);
    });
}

#[test]
fn abort_still_ends_the_process() {
    alone("abort_still_ends_the_process", || {
        let world = World::new();
        let child = fork(|| {
            as_a_daemon(&world, |_, _, _| Vec::new());
            std::process::abort()
        });
        let status = wait(child);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT, "{status}");
    });
}

#[test]
fn landlock_alone_holds_what_is_its_part() {
    alone("landlock_alone_holds_what_is_its_part", || {
        let world = World::new();
        let held = forked(|| {
            assert!(!is_denied_here());
            restrict(&world.access()).unwrap();
            assert!(is_denied_here());
            let part = ["kill", "open /etc/passwd", "list /", "connect to an abstract socket"];
            for (name, attack) in ATTACKS.iter().filter(|(name, _)| part.contains(name)) {
                assert!(denied(&attack(&world.target)), "{name}");
            }
            work(world.own.path(), 0);
            // Nothing in the daemon's own directory can be run, and no device made there.
            let own = world.own.path();
            fs::copy("/proc/self/exe", own.join("program")).unwrap_err();
            // No format of a program: were it allowed, the error would be ENOEXEC.
            fs::write(own.join("program"), "x").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(own.join("program"), mode).unwrap();
            let run = std::process::Command::new(own.join("program")).status().unwrap_err();
            assert_eq!(run.raw_os_error(), Some(libc::EACCES));
            // TCP: a port that nobody may bind.
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap_err();
            assert_eq!(tcp.raw_os_error(), Some(libc::EACCES));
            let read_only = OpenOptions::new().write(true).open("/proc/self/comm").unwrap_err();
            assert_eq!(read_only.raw_os_error(), Some(libc::EACCES));
        });
        assert!(held);
    });
}

#[test]
fn a_missing_path_is_named() {
    alone("a_missing_path_is_named", || {
        let access = Access { read_write: vec!["/nowhere/at/all".into()], ..Access::default() };
        let error = restrict(&access).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
        assert!(!is_denied_here(), "nothing was restricted");
    });
}

#[test]
fn a_single_file_can_be_allowed() {
    alone("a_single_file_can_be_allowed", || {
        let world = World::new();
        let (one, other) = (world.own.path().join("one"), world.own.path().join("other"));
        fs::write(&one, "1").unwrap();
        fs::write(&other, "2").unwrap();
        let held = forked(|| {
            restrict(&Access { read_write: vec![one.clone()], ..Access::default() }).unwrap();
            fs::write(&one, "3").unwrap();
            fs::read(&other).unwrap_err();
        });
        assert!(held);
    });
}

#[test]
fn a_second_thread_is_refused_because_it_would_stay_outside() {
    alone("a_second_thread_is_refused_because_it_would_stay_outside", || {
        thread::scope(|scope| {
            let (release, wait) = mpsc::channel::<()>();
            scope.spawn(move || wait.recv());
            let refused = restrict(&Access::default());
            assert!(matches!(refused, Err(RestrictError::Threads(2))));
            assert!(!is_denied_here());
            drop(release);
        });
    });
}

/// The kernel gives `/proc/PID` a new inode when it runs out of memory for the old one; a rule of
/// Landlock is tied to the inode.
#[test]
fn the_posture_can_be_read_after_the_kernel_dropped_its_caches() {
    alone("the_posture_can_be_read_after_the_kernel_dropped_its_caches", || {
        let world = World::new();
        let drop_caches = OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches");
        let Ok(mut drop_caches) = drop_caches else { return };
        let held = forked(|| {
            restrict(&world.access()).unwrap();
            threads::report(1).unwrap();
            drop_caches.write_all(b"2").unwrap();
            threads::report(1).unwrap();
            work(world.own.path(), 0);
        });
        assert!(held);
    });
}

#[test]
fn the_posture_of_an_unconfined_process_does_not_hold() {
    alone("the_posture_of_an_unconfined_process_does_not_hold", || {
        let facts = Facts {
            seccomp_filters: 1,
            working_memory: 0,
            seccomp: Switch::On,
            landlock: Switch::Off,
            landlock_abi: None,
            landlock_threads: (0, 1),
        };
        let checks = posture::process("daemon-test", &facts);
        let failed = |check: &&posture::Check| check.floor && check.status == Status::Fail;
        let failed: Vec<_> = checks.iter().filter(failed).map(|check| &*check.id).collect();
        for id in ["seccomp", "no-new-privs", "landlock", "dumpable"] {
            assert!(failed.contains(&id), "{id} in {failed:?}");
        }
        assert!(!posture::floor_holds(&checks));
        let landlock = checks.iter().find(|check| check.id == "landlock").unwrap();
        assert_eq!(landlock.found, "off by configuration");
    });
}

#[test]
fn the_kernel_is_asked_before_the_sandbox_closes() {
    for check in posture::kernel() {
        assert_eq!(check.subject, "kernel");
        assert_eq!(check.floor, check.id == "kernel-memfd-secret");
        assert!(!check.found.is_empty() && !check.controls.is_empty(), "{check:?}");
    }
    assert_eq!(posture::kernel().len(), 6);
}
