//! Fault 7: what root finds of a secret in the daemons' memory, from outside. Nothing.
//!
//! Asked whenever a daemon waits for its next request. In the instant of a decryption a cipher has a
//! block of it on its stack.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::thread;

use ipc::codec;
use ipc::secrets::{Purpose, SecretsReply, SecretsRequest};
use key_hierarchy::{Parameters, WorkingMemory};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use sha2::{Digest, Sha512};
use site_config::Daemon;
use testbed::hunt::{Hunt, random_text};
use testbed::memory::{Mapping, mappings};
use testbed::{Host, is_root_or_skip};

const DAEMONS: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];
const NOTHING: Vec<String> = Vec::new();

/// A host whose first password nobody else has.
fn initialised_with(password: &str) -> Host {
    let host = Host::started();
    host.sesame(["init", "--password-stdin"]).stdin(password).succeed();
    host
}

fn unlock(host: &Host, password: &str) -> i32 {
    host.sesame(["unlock", "--password-stdin"]).stdin(password).run().code
}

fn get(host: &Host, name: &str, times: usize) {
    let mut client = host.connect(Daemon::Secrets).expect("a connection");
    for _ in 0..times {
        let request = SecretsRequest::SecretGet { profile: None, name, purpose: Purpose::Read };
        let reply = client.call(&request).expect("a reply");
        assert!(matches!(codec::decode(reply.expose()), Ok(SecretsReply::Value(_))));
    }
}

#[test]
fn a_value_is_nowhere_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let host = Host::unlocked();
    let value = random_text(64);
    let large = random_text(60_000);
    let hunt = Hunt::default()
        .with("the value", value.as_bytes())
        .with("the start of the large value", &large.as_bytes()[..64])
        .with("the end of the large value", &large.as_bytes()[59_936..]);
    assert_eq!(hunt.finds(&host), NOTHING, "before it was there");
    host.sesame(["secret", "set", "small"]).stdin(value.as_str()).succeed();
    host.sesame(["secret", "set", "large"]).stdin(large.as_str()).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after set");
    assert_eq!(host.sesame(["secret", "get", "small"]).run().stdout, value.as_bytes());
    assert_eq!(host.sesame(["secret", "get", "large"]).run().stdout, large.as_bytes());
    assert_eq!(hunt.finds(&host), NOTHING, "after get");
    host.sesame(["secret", "list"]).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after list");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                get(&host, "small", 100);
                get(&host, "large", 10);
            });
        }
    });
    assert_eq!(hunt.finds(&host), NOTHING, "after 800 gets by 8 connections");
    host.sesame(["secret", "set", "small"]).stdin("another").succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after it was replaced");
    host.sesame(["secret", "delete", "large"]).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after it was deleted");
    host.sesame(["lock"]).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after lock");
}

#[test]
fn a_value_handed_to_a_program_is_nowhere_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let host = Host::unlocked();
    let value = random_text(64);
    host.sesame(["secret", "set", "token"]).stdin(value.as_str()).succeed();
    let printed = host.sesame(["run", "--secret", "TOKEN=token", "printenv", "TOKEN"]).succeed();
    assert_eq!(printed.trim_end(), value);
    assert_eq!(Hunt::default().with("the value", value.as_bytes()).finds(&host), NOTHING);
}

#[test]
fn passwords_right_or_wrong_are_nowhere_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let (right, wrong, second) = (random_text(64), random_text(64), random_text(64));
    let hunt = Hunt::default()
        .with("the password", right.as_bytes())
        .with("the wrong password", wrong.as_bytes())
        .with("the second profile's password", second.as_bytes());
    let host = initialised_with(&right);
    assert_eq!(hunt.finds(&host), NOTHING, "after init");
    assert_eq!(unlock(&host, &wrong), 6);
    assert_eq!(hunt.finds(&host), NOTHING, "after a wrong try");
    assert_eq!(unlock(&host, &right), 0);
    assert_eq!(hunt.finds(&host), NOTHING, "after unlock");
    host.sesame(["profile", "create", "second", "--password-stdin"]).stdin(&*second).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after profile create");
    host.sesame(["lock"]).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after lock");
}

#[test]
fn every_key_is_nowhere_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    for config in ["", "crypto.profile = \"governance-compatible\"\n"] {
        let mut host = Host::builder().config(config).provision();
        host.start();
        host.init();
        let mut hunt = Hunt::default();
        for daemon in DAEMONS {
            let private = fs::read(host.layout.daemon_key(daemon)).expect("a key file");
            hunt = hunt.with(&format!("the Noise key of {daemon:?}"), &private);
        }
        // What the daemon computes, computed once more from what lies on the disk.
        let keys = host.profile_keys("default", testbed::PASSWORD);
        let factor = &keys.metadata.enrolment().factors()[0];
        let Parameters::Password(password) = &factor.parameters else { panic!("no password") };
        let stretched = password
            .kdf
            .stretch(testbed::PASSWORD.as_bytes(), &mut WorkingMemory::default())
            .expect("it works");
        let hunt = hunt
            .with("the stretched password", stretched.expose())
            .with("the key of the database", keys.database.expose())
            .with("the key of the rows", keys.rows.expose())
            .with("the factor's piece", keys.piece.expose());
        host.unlock();
        assert_eq!(hunt.finds(&host), NOTHING, "after unlock");
        host.sesame(["secret", "set", "name"]).stdin("value").succeed();
        get(&host, "name", 10);
        assert_eq!(hunt.finds(&host), NOTHING, "after use");
        host.sesame(["lock"]).succeed();
        assert_eq!(hunt.finds(&host), NOTHING, "after lock");
    }
}

/// Neither the seeds of the key that signs, nor those of the key that has signed or is to sign.
#[test]
fn the_signing_keys_of_the_trail_are_nowhere_in_ordinary_memory() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let mut host = Host::unlocked();
    let seeds = |host: &Host| {
        let bytes = fs::read(host.layout.audit_state().join("signing.key")).expect("a key file");
        assert_eq!(bytes.len(), 64);
        bytes
    };
    // The seeds, and what Ed25519 computes of its own (RFC 8032, section 5.1.5).
    let with = |hunt: Hunt, name: &str, seeds: &[u8]| {
        let mut expanded = Sha512::digest(&seeds[..32]);
        let hunt = hunt.with(name, seeds).with(&format!("{name}, hashed"), &expanded);
        expanded[0] &= 0xf8;
        expanded[31] = expanded[31] & 0x3f | 0x40;
        hunt.with(&format!("{name}, expanded"), &expanded)
    };
    let first = seeds(&host);
    let hunt = with(Hunt::default(), "the first signing key", &first);
    assert_eq!(hunt.finds(&host), NOTHING, "after init");
    for _ in 0..20 {
        host.sesame(["audit", "seal"]).succeed();
    }
    assert_eq!(hunt.finds(&host), NOTHING, "after twenty seals");
    host.sesame(["audit", "rotate-key"]).succeed();
    let second = seeds(&host);
    assert_ne!(second, first);
    let hunt = with(hunt, "the second signing key", &second);
    assert_eq!(hunt.finds(&host), NOTHING, "after a rotation");
    host.sesame(["audit", "seal"]).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after a seal by the new key");
    host.stop();
    host.start();
    host.sesame(["audit", "seal"]).succeed();
    assert_eq!(hunt.finds(&host), NOTHING, "after a restart");
}

/// The arena of a running daemon, and a mapping of the same process that is as any other.
fn arena_and_stack(pid: i32) -> (Vec<Mapping>, Mapping) {
    let all = mappings(pid).expect("root reads it");
    let secret = all.iter().filter(|mapping| mapping.name == "/secretmem").cloned().collect();
    let stack = all.into_iter().find(|mapping| mapping.name == "[stack]").expect("a stack");
    (secret, stack)
}

/// First, middle and last page: none may be different from the rest.
fn pages(mapping: &Mapping) -> [u64; 3] {
    let middle = mapping.start.midpoint(mapping.end) & !4095;
    [mapping.start, middle, mapping.end - 4096]
}

#[test]
fn root_cannot_read_the_secret_pages() {
    if !is_root_or_skip("reading another process's memory") {
        return;
    }
    let host = Host::unlocked();
    for daemon in DAEMONS {
        let pid = host.pid(daemon);
        let (secret, stack) = arena_and_stack(pid);
        assert!(secret.iter().map(|mapping| mapping.end - mapping.start).sum::<u64>() >= 4 << 20);
        let process = Pid::from_raw(pid);
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"));
        let memory = memory.expect("root opens any memory");
        let mut bytes = [0; 64];
        ptrace::attach(process).expect("root may attach");
        waitpid(process, None).expect("it stops");

        let top = stack.end - 64;
        memory.read_exact_at(&mut bytes, top).expect("the stack can be read");
        memory.write_all_at(&bytes, top).expect("the stack can be written");
        assert_eq!(vm_read(process, top), Ok(64), "process_vm_readv(2) works");
        ptrace::read(process, top as ptrace::AddressType).expect("ptrace(2) works");
        for address in secret.iter().flat_map(pages) {
            let read = memory.read_at(&mut bytes, address).map_err(|error| error.raw_os_error());
            assert_eq!(read, Err(Some(Errno::EIO as i32)), "/proc/{pid}/mem at {address:x}");
            let written = memory.write_at(&bytes, address).map_err(|error| error.raw_os_error());
            assert_eq!(written, Err(Some(Errno::EIO as i32)), "/proc/{pid}/mem at {address:x}");
            assert_eq!(vm_read(process, address), Err(Errno::EFAULT), "at {address:x}");
            let peeked = ptrace::read(process, address as ptrace::AddressType);
            assert_eq!(peeked, Err(Errno::EIO), "at {address:x}");
        }
        ptrace::detach(process, None).expect("it goes on");
    }
    host.sesame(["status"]).succeed();
}

fn vm_read(process: Pid, address: u64) -> nix::Result<usize> {
    let mut bytes = [0; 64];
    let remote = RemoteIoVec { base: usize::try_from(address).expect("64 bits"), len: 64 };
    process_vm_readv(process, &mut [IoSliceMut::new(&mut bytes)], &[remote])
}

#[test]
fn no_descriptor_leads_to_the_secret_pages() {
    if !is_root_or_skip("taking another process's descriptors") {
        return;
    }
    let host = Host::unlocked();
    for daemon in DAEMONS {
        let pid = host.pid(daemon);
        let mut taken = 0;
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("root lists it").flatten() {
            let number = entry.file_name().to_string_lossy().parse().expect("a number");
            let stolen = steal(pid, number).expect("root takes any descriptor");
            let place = format!("/proc/self/fd/{}", stolen.as_raw_fd());
            let target = fs::read_link(place).expect("it is open");
            assert!(!target.to_string_lossy().contains("secretmem"), "{number}: {target:?}");
            taken += 1;
        }
        assert!(taken > 5, "{taken} descriptors");
        // The kernel's other door to a mapped file.
        let (secret, _) = arena_and_stack(pid);
        let program = &mappings(pid).expect("root reads it")[0];
        let door = |mapping: &Mapping| {
            File::open(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end))
        };
        door(program).expect("the program's own file opens");
        for mapping in &secret {
            let error = door(mapping).expect_err("the secret pages don't").raw_os_error();
            assert_eq!(error, Some(Errno::ENXIO as i32));
        }
        assert!(!secret.is_empty());
    }
}

fn steal(pid: i32, number: i32) -> std::io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(std::io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}
