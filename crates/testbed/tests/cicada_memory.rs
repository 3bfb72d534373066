//! What root finds of an identity's private keys in cicada's memory, on its disk, in the trail and in a
//! core dump. Nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/identity_secrets.rs"]
mod identity_secrets;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use identity_secrets::Secrets;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{Resource as RustixResource, Rlimit, prlimit};
use site_config::Daemon;
use testbed::cicada::{Program, about, allow_me_everything, bytes, code, sign, text, with_key};
use testbed::hunt::random_text;
use testbed::{Host, is_root_or_skip};

const NOTHING: Vec<String> = Vec::new();
fn random_key() -> [u8; 32] {
    random_text(32).into_bytes().try_into().unwrap()
}

fn host_with(key: &[u8; 32], identities: &[&str]) -> Host {
    let host = Host::with_cicada(&allow_me_everything());
    let mut program = host.program();
    program.ask(with_key("init", key));
    for name in identities {
        assert_eq!(code(&program.ask(about("create", name))), None);
    }
    host
}

/// Uses everything that is private, on several of the daemon's threads; returns the shared secrets.
fn use_keys(host: &Host, name: &str) -> Vec<Vec<u8>> {
    let mut programs: Vec<Program> = (0..8).map(|_| host.program()).collect();
    let mut secrets = Vec::new();
    for _ in 0..3 {
        let sent: Vec<_> =
            programs.iter_mut().map(|it| it.ask(about("encapsulate", name))).collect();
        for (program, sent) in programs.iter_mut().zip(&sent) {
            let ciphertext = text(sent, "ciphertext");
            program.send(about("get_key", name)).unwrap();
            program.send(sign(name, b"data")).unwrap();
            program
                .send(format!(
                    r#"{{"op":"decapsulate","identity":"{name}","ciphertext":"{ciphertext}"}}"#
                ))
                .unwrap();
        }
        for (program, sent) in programs.iter_mut().zip(&sent) {
            assert_eq!(text(&program.receive().unwrap(), "type"), "x25519+kyber768");
            assert_eq!(bytes(&program.receive().unwrap(), "signature").len(), 3309);
            let secret = bytes(&program.receive().unwrap(), "shared_secret");
            assert_eq!(secret, bytes(sent, "shared_secret"));
            secrets.push(secret);
        }
    }
    secrets
}

#[test]
fn a_private_key_is_nowhere_in_readable_memory_or_on_disk_whatever_was_done_with_it() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let key = random_key();
    let mut host = host_with(&key, &["cloud-sync", "other"]);
    let mut secrets = Secrets::default();
    secrets.add("the unlock key", &key);
    for name in ["cloud-sync", "other"] {
        secrets.add_version(name, &host.stored_identity(name, &key).versions[0]);
    }
    let search = |host: &Host, secrets: &Secrets, after: &str| {
        assert_eq!(secrets.hunt().finds_in(host, Daemon::Cicada), NOTHING, "memory after {after}");
        let disk = secrets.found_below(host.layout.state(Daemon::Cicada));
        assert_eq!(disk, NOTHING, "cicada's disk after {after}");
        assert_eq!(secrets.found_below(&host.trail()), NOTHING, "the trail after {after}");
    };
    search(&host, &secrets, "create");
    for (number, secret) in use_keys(&host, "cloud-sync").iter().enumerate() {
        secrets.add(&format!("shared secret {number}"), secret);
    }
    search(&host, &secrets, "use");
    let mut program = host.program();
    let backup = text(&program.ask(about("backup", "other")), "backup");
    program.ask(about("rotate", "cloud-sync"));
    let second = host.stored_identity("cloud-sync", &key).versions.remove(1);
    secrets.add_version("the second version", &second);
    use_keys(&host, "cloud-sync");
    search(&host, &secrets, "rotate");
    // What went wrong has had the key in its hands, too.
    let wrong = random_key();
    secrets.add("a wrong unlock key", &wrong);
    program.ask(with_key("unlock", &wrong));
    program.ask(with_key("unlock", &wrong).replace("unlock_key", "unlock_kee"));
    program.ask(with_key("unlock", &wrong).replacen("unlock", "nothing", 1));
    program.ask(with_key("unlock", &wrong).replace('}', ",\"data\":7}"));
    search(&host, &secrets, "requests with a wrong key");
    program.ask(about("revoke", "other"));
    fs::remove_file(host.cicada_keys().join("other.identity")).unwrap();
    search(&host, &secrets, "revoke");
    program.ask(r#"{"op":"lock"}"#);
    search(&host, &secrets, "lock");
    program.ask(with_key("unlock", &key));
    let request =
        format!(r#"{{"op":"restore","backup":"{backup}","unlock_key":"{}"}}"#, BASE64.encode(&key));
    assert_eq!(code(&program.ask(request)), None);
    use_keys(&host, "other");
    search(&host, &secrets, "unlock and restore");
    host.end(Daemon::Cicada, Signal::SIGKILL);
    host.start_cicada();
    search(&host, &secrets, "a restart");
    host.program().ask(with_key("unlock", &key));
    search(&host, &secrets, "unlock at once");
    host.program().ask(with_key("unlock", &key));
    use_keys(&host, "cloud-sync");
    search(&host, &secrets, "use after unlock");
}

/// What is public and in the same places is found: the search is not blind.
#[test]
fn a_public_key_is_found_where_a_private_one_is_not() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let key = random_key();
    let host = host_with(&key, &["cloud-sync"]);
    let public = host.program().ask(about("public_key", "cloud-sync"));
    for member in ["x25519", "ml_kem_768", "ml_dsa_65"] {
        let mut planted = Secrets::default();
        planted.0.push((member.to_owned(), bytes(&public, member)));
        assert_ne!(planted.hunt().finds_in(&host, Daemon::Cicada), NOTHING, "{member}");
    }
    let file = fs::read(host.cicada_keys().join("cloud-sync.identity")).unwrap();
    let mut planted = Secrets::default();
    planted.0.push(("sealed".to_owned(), file[100..200].to_vec()));
    assert_eq!(planted.found_below(host.layout.state(Daemon::Cicada)).len(), 1);
    planted.0 = vec![("the trail's".to_owned(), b"\"identity.public_key\"".to_vec())];
    assert_ne!(planted.found_below(&host.trail()), NOTHING);
}

/// A key that is read in the middle of a request, which never ends, and one in a request that is in the
/// way of another.
#[test]
fn an_unlock_key_in_half_a_request_is_nowhere_either() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let key = random_key();
    let host = host_with(&key, &[]);
    let (half, whole) = (random_key(), random_key());
    let mut secrets = Secrets::default();
    secrets.add("the key in half a request", &half);
    secrets.add("the key in a whole request", &whole);
    let mut program = host.program();
    let request = with_key("unlock", &half);
    let (most, _) = request.split_at(request.len() - 1);
    program.send(format!("{}{most}", with_key("unlock", &whole))).unwrap();
    assert_eq!(code(&program.receive().unwrap()).as_deref(), Some("wrong_key"));
    assert_eq!(secrets.hunt().finds_in(&host, Daemon::Cicada), NOTHING, "while it waits");
    drop(program);
    host.program().ask(r#"{"op":"status"}"#);
    assert_eq!(secrets.hunt().finds_in(&host, Daemon::Cicada), NOTHING, "after it was closed");
}

/// Where cores go; what it was before comes back when this is dropped.
struct CorePattern {
    before: String,
    directory: PathBuf,
}

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

impl CorePattern {
    /// None where it can't be changed.
    fn into(directory: &Path) -> Option<Self> {
        let before = fs::read_to_string(CORE_PATTERN).ok()?;
        let pattern = format!("{}/core.%p", directory.display());
        fs::write(CORE_PATTERN, pattern).ok()?;
        Some(Self { before, directory: directory.to_owned() })
    }

    fn core_of(&self, pid: i32) -> PathBuf {
        self.directory.join(format!("core.{pid}"))
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        let _ = fs::write(CORE_PATTERN, &self.before);
    }
}

/// Lifts the limit that a daemon gave itself, where root may do that (CAP_SYS_RESOURCE).
fn allow_cores(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let all = Rlimit { current: None, maximum: None };
    if prlimit(Some(pid), RustixResource::Core, all).is_err() {
        eprintln!("the limit stays: this root may not lift it");
    }
}

/// Whether this process ignores a signal (`SigIgn` in proc_pid_status(5)).
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
}

#[test]
fn a_daemon_that_crashes_leaves_no_core() {
    if !is_root_or_skip("changing where cores go") {
        return;
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    setrlimit(Resource::RLIMIT_CORE, hard, hard).unwrap();
    let key = random_key();
    let mut host = host_with(&key, &["cloud-sync"]);
    // Elsewhere Landlock would keep the kernel from writing it.
    let Some(pattern) = CorePattern::into(host.layout.state(Daemon::Cicada)) else {
        eprintln!("skipped, for core_pattern can't be changed");
        return;
    };
    for signal in [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGQUIT] {
        // Whoever started the tests may ignore it (nohup(1), a shell's background job), and that is
        // inherited.
        if is_ignored(signal) {
            eprintln!("skipped: {signal} is ignored here");
            continue;
        }
        // The same signal, limit and user: of any other program there is one.
        let user = host.users.cicada;
        let mut other = Command::new("sleep");
        let mut other = other.arg("60").uid(user).gid(user).stdin(Stdio::null()).spawn().unwrap();
        let pid = other.id().cast_signed();
        while !fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().starts_with("sleep") {}
        kill(Pid::from_raw(pid), signal).unwrap();
        other.wait().unwrap();
        assert!(pattern.core_of(pid).exists(), "{signal}: no program has a core here");

        let pid = host.pid(Daemon::Cicada);
        use_keys(&host, "cloud-sync");
        // Root lifts the limit that the daemon gave itself; it is not dumpable either.
        allow_cores(pid);
        // The runtime's handler of SIGSEGV takes the first for a stack that is full, and none of it.
        kill(Pid::from_raw(pid), signal).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let status = host.end(Daemon::Cicada, signal).unwrap();
        assert!(!status.success());
        assert!(!pattern.core_of(pid).exists(), "{signal}: there is a core");
        host.start_cicada();
        host.program().ask(with_key("unlock", &key));
    }
}
