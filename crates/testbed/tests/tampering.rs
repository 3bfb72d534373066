//! Files that are not what was written: an error with the next step, and never a wrong value.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use site_config::Daemon;
use testbed::{Host, PASSWORD, ask, binary, is_root_or_skip, snapshot};

const BOTH: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];

/// No wait after wrong tries: what is tried here is not the password.
const PATIENT: &str = "[unlock]\nfree_attempts = 10\nbackoff_max_seconds = 1\n";

fn unlocked() -> Host {
    let mut host = Host::builder().config(PATIENT).provision();
    host.start();
    host.init();
    host.unlock();
    host
}

fn installation(host: &Host) -> PathBuf {
    host.layout.secrets_state().join("installation")
}

fn profile(host: &Host, name: &str) -> PathBuf {
    installation(host).join("profiles").join(name)
}

/// Keeps owner and mode.
fn overwrite(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
}

fn try_unlock(host: &Host) -> i32 {
    host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).run().code
}

#[test]
fn a_flipped_byte_in_a_vault_is_an_error_and_never_a_wrong_value() {
    let host = unlocked();
    let value = |count: u32| count.to_le_bytes().repeat(700);
    let mut client = host.connect(Daemon::Secrets).unwrap();
    for count in 0..12 {
        ask::set(&mut client, &format!("{count}"), &value(count)).unwrap();
    }
    let path = profile(&host, "default").join("vault.db");
    host.sesame(["lock"]).succeed();
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut damaged) = (0, 0);
    let steps = (0..24).map(|step| step * whole.len() / 24 + step);
    for offset in [0, 16, 100, 4080].into_iter().chain(steps) {
        let mut flipped = whole.clone();
        flipped[offset] ^= 0x10;
        overwrite(&path, &flipped);
        match try_unlock(&host) {
            0 => {}
            25 | 26 => {
                refused += 1;
                continue;
            }
            other => panic!("offset {offset}: exit code {other}"),
        }
        for count in 0..12 {
            let outcome = host.sesame(["secret", "get", &count.to_string()]).run();
            match outcome.code {
                0 => assert_eq!(outcome.stdout, value(count), "offset {offset}"),
                25 | 26 => damaged += 1,
                other => panic!("offset {offset}: exit code {other}: {}", outcome.error()),
            }
        }
        host.sesame(["lock"]).succeed();
    }
    assert!(refused > 0 && damaged > 0, "{refused} refused, {damaged} damaged");
    overwrite(&path, &whole[..whole.len() / 2]);
    assert!(matches!(try_unlock(&host), 0 | 25 | 26));
    let outcome = host.sesame(["secret", "get", "11"]).run();
    assert!(outcome.code != 0 || outcome.stdout == value(11));
    host.sesame(["lock"]).succeed();
    overwrite(&path, b"");
    assert!(matches!(try_unlock(&host), 25 | 26));
    overwrite(&path, &whole);
    host.unlock();
    let mut client = host.connect(Daemon::Secrets).unwrap();
    for count in 0..12 {
        assert_eq!(ask::get(&mut client, &format!("{count}")).unwrap(), value(count));
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn an_edited_unlock_file_unlocks_nothing_and_the_whole_one_does() {
    let host = unlocked();
    host.sesame(["lock"]).succeed();
    let path = profile(&host, "default").join("unlock.json");
    let whole = fs::read_to_string(&path).unwrap();
    let edits = [
        String::new(),
        "garbage".to_owned(),
        "{}".to_owned(),
        "\0".repeat(whole.len()),
        whole[..whole.len() / 2].to_owned(),
        format!("{whole}x"),
        whole.replace("default", "another"),
        whole.replace("argon2id", "argon2i"),
        whole.replacen('{', "{\"extra\":1,", 1),
        // A cost at which guessing is cheap, and one that takes all memory.
        whole.replace("19456", "8"),
        whole.replace("19456", "4294967295"),
    ];
    for edited in &edits {
        assert_ne!(*edited, whole, "the edit changed nothing: {whole}");
        overwrite(&path, edited.as_bytes());
        let outcome = host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).run();
        assert!(matches!(outcome.code, 6 | 26), "{edited}: {}", outcome.error());
        host.sesame(["status"]).succeed();
        overwrite(&path, whole.as_bytes());
        host.unlock();
        host.sesame(["lock"]).succeed();
    }
    // Each digit of each hexadecimal or base64 text in turn would take long; every seventh byte.
    for offset in (0..whole.len()).step_by(7) {
        let mut flipped = whole.clone().into_bytes();
        flipped[offset] ^= 1;
        overwrite(&path, &flipped);
        let code = try_unlock(&host);
        assert!(matches!(code, 6 | 26), "offset {offset}: exit code {code}");
        overwrite(&path, whole.as_bytes());
        host.unlock();
        host.sesame(["lock"]).succeed();
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(try_unlock(&host), 25);
}

#[test]
fn a_garbled_count_of_wrong_tries_counts_as_many() {
    let mut host = Host::initialised();
    let path = profile(&host, "default").join("attempts.json");
    for garbage in ["garbage", "", "[]", "{\"1\":{\"failures\":0}}"] {
        host.stop();
        overwrite(&path, garbage.as_bytes());
        host.start();
        let said = host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD).fail(7);
        assert!(said.contains("this one was not made"), "{said}");
    }
}

#[test]
fn two_profiles_can_not_be_exchanged() {
    let mut host = unlocked();
    host.sesame(["secret", "set", "a"]).stdin("of default").succeed();
    host.sesame(["profile", "create", "other", "--password-stdin"]).stdin(PASSWORD).succeed();
    let unlock_other = ["unlock", "--profile", "other", "--password-stdin"];
    host.sesame(unlock_other).stdin(PASSWORD).succeed();
    host.sesame(["secret", "set", "a", "--profile", "other"]).stdin("of other").succeed();
    host.stop();
    let exchange = |file: &str| {
        let [one, two] = ["default", "other"].map(|name| profile(&host, name).join(file));
        let aside = one.with_extension("aside");
        fs::rename(&one, &aside).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(&aside, &two).unwrap();
    };
    let exchange_whole = |files: &[&str]| files.iter().for_each(|file| exchange(file));
    for files in [["vault.db"].as_slice(), &["unlock.json"], &["vault.db", "unlock.json"]] {
        exchange_whole(files);
        let mut daemons = [Daemon::Audit, Daemon::Secrets].map(|daemon| {
            let child = host.daemon_command(daemon).spawn().unwrap();
            wait_for(&host.layout.socket(daemon));
            child
        });
        for arguments in [["unlock", "--profile", "default", "--password-stdin"], unlock_other] {
            let outcome = host.sesame(arguments).stdin(PASSWORD).run();
            assert_eq!(outcome.code, 26, "{files:?}: {}", outcome.error());
        }
        for daemon in daemons.iter_mut().rev() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        exchange_whole(files);
    }
    host.start();
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "of default");
}

/// Of a daemon that was started without a notification.
fn wait_for(socket: &Path) {
    for _ in 0..1000 {
        std::thread::sleep(Duration::from_millis(10));
        // The socket of the one before is still there, and nobody listens.
        if UnixStream::connect(socket).is_ok() {
            return;
        }
    }
    panic!("nobody listens on {}", socket.display());
}

#[test]
fn torn_configuration_stops_both_daemons_and_names_file_and_line() {
    let mut host = Host::unlocked();
    host.stop();
    let before = snapshot(host.layout.secrets_state());
    let torn = [
        (host.layout.config_file().to_owned(), "[audit]\nsegment_bytes = 65", ":2"),
        (host.layout.config_file().to_owned(), "[unlock]\nauto_lock_seconds = 60\n[cry", ":3"),
        (host.layout.config_file().to_owned(), "[unlock]\nauto_lok_seconds = 60\n", ":2"),
        (host.layout.peers_file().to_owned(), "[[peer]]\nname = \"operator", ":2"),
    ];
    for (path, text, line) in &torn {
        let whole = fs::read(path).unwrap();
        overwrite(path, text.as_bytes());
        for daemon in BOTH {
            let said = host.try_start(daemon).unwrap_err();
            let place = format!("{}{line}", path.display());
            assert!(said.starts_with("78:") && said.contains(&place), "{said}");
        }
        host.sesame(["status"]).fail(20);
        overwrite(path, &whole);
    }
    host.try_start(Daemon::Audit).unwrap();
    let path = installation(&host).join("installation.toml");
    let whole = fs::read_to_string(&path).unwrap();
    for torn in ["", &whole[..whole.len() / 2], &whole[..10], "\0\0\0\0"] {
        overwrite(&path, torn.as_bytes());
        let said = host.try_start(Daemon::Secrets).unwrap_err();
        assert!(said.starts_with("78:") && said.contains(path.to_str().unwrap()), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), torn, "nothing is repaired silently");
    }
    fs::remove_file(&path).unwrap();
    let said = host.try_start(Daemon::Secrets).unwrap_err();
    assert!(said.starts_with("78:"), "{said}");
    overwrite(&path, whole.as_bytes());
    std::os::unix::fs::chown(&path, Some(host.users.secrets), None).unwrap();
    assert!(snapshot(host.layout.secrets_state()) == before, "a file was changed");
    host.try_start(Daemon::Secrets).unwrap();
    host.unlock();
}

#[test]
fn a_changed_line_of_the_trail_stops_daemon_audit_with_the_next_command() {
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("1").succeed();
    host.stop();
    let trail = host.layout.audit_state().join("trail");
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl");
    let segment = snapshot(&trail).into_keys().find(is_segment).unwrap();
    let whole = fs::read_to_string(&segment).unwrap();
    let edited = whole.replacen("\"subject\":\"a\"", "\"subject\":\"b\"", 1);
    assert_ne!(edited, whole);
    let mut deleted: Vec<&str> = whole.split_inclusive('\n').collect();
    deleted.remove(3);
    let mut swapped: Vec<&str> = whole.split_inclusive('\n').collect();
    swapped.swap(2, 3);
    for (damage, code) in [(edited, 10), (deleted.concat(), 11), (swapped.concat(), 12)] {
        overwrite(&segment, damage.as_bytes());
        let before = snapshot(&trail);
        let said = host.try_start(Daemon::Audit).unwrap_err();
        let command = format!("sesame audit verify --path {}", trail.display());
        assert!(said.contains(&command), "{said}");
        assert!(snapshot(&trail) == before, "a file was changed");
        let own = nix::unistd::Uid::effective().as_raw();
        let path = trail.to_str().unwrap();
        host.sesame(["audit", "verify", "--path", path]).user(own).fail(code);
        let said = host.try_start(Daemon::Secrets).unwrap_err();
        assert!(said.contains("daemon-audit"), "{said}");
        overwrite(&segment, whole.as_bytes());
    }
    host.start();
    host.unlock();
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn vaults_without_their_trail_or_with_another_are_not_served() {
    let mut host = Host::unlocked();
    host.sesame(["secret", "set", "a"]).stdin("1").succeed();
    let trail = host.layout.audit_state().join("trail");
    let aside = host.layout.audit_state().join("aside");
    // Under a daemon-secrets that runs on.
    host.kill(Daemon::Audit);
    fs::rename(&trail, &aside).unwrap();
    host.try_start(Daemon::Audit).unwrap();
    host.sesame(["secret", "get", "a"]).fail(22);
    host.sesame(["secret", "set", "a"]).stdin("2").fail(22);
    // And at its start.
    host.kill(Daemon::Secrets);
    let said = host.try_start(Daemon::Secrets).unwrap_err();
    assert!(said.contains("has lost its audit trail; nothing was changed"), "{said}");
    host.kill(Daemon::Audit);

    let other = Host::initialised();
    let others_trail = other.layout.audit_state().join("trail");
    copy_tree(&others_trail, &trail, host.users.audit);
    let key = host.layout.audit_state().join("signing.key");
    let own_key = fs::read(&key).unwrap();
    let said = host.try_start(Daemon::Audit).unwrap_err();
    assert!(said.contains("put back the file that belongs to the trail"), "{said}");
    overwrite(&key, &fs::read(other.layout.audit_state().join("signing.key")).unwrap());
    host.try_start(Daemon::Audit).unwrap();
    let said = host.try_start(Daemon::Secrets).unwrap_err();
    assert!(said.contains("and the audit trail to"), "{said}");
    host.kill(Daemon::Audit);

    fs::remove_dir_all(&trail).unwrap();
    fs::rename(&aside, &trail).unwrap();
    overwrite(&key, &own_key);
    host.start();
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "1");
    host.sesame(["audit", "verify"]).succeed();
}

fn copy_tree(from: &Path, to: &Path, owner: u32) {
    fs::create_dir(to).unwrap();
    std::os::unix::fs::chown(to, Some(owner), None).unwrap();
    for (path, content) in snapshot(from) {
        let copy = to.join(path.file_name().unwrap());
        fs::write(&copy, content).unwrap();
        std::os::unix::fs::chown(&copy, Some(owner), None).unwrap();
    }
}

#[test]
fn on_another_machine_neither_daemon_starts() {
    if !is_root_or_skip("another /etc/machine-id") {
        return;
    }
    let mut host = Host::unlocked();
    let own = fs::read_to_string("/etc/machine-id").unwrap();
    let machine = host.dir().join("machine-id");
    let before = snapshot(host.layout.secrets_state());
    let refused = |host: &Host, daemon: Daemon| {
        let output = on_machine(host, daemon, &machine).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("was bound to another machine; nothing was touched"), "{said}");
    };
    host.stop();
    fs::write(&machine, "0123456789abcdef0123456789abcdef\n").unwrap();
    refused(&host, Daemon::Audit);
    host.try_start(Daemon::Audit).unwrap();
    refused(&host, Daemon::Secrets);
    assert!(snapshot(host.layout.secrets_state()) == before, "a file was changed");
    // The same way in, on the same machine.
    fs::write(&machine, own).unwrap();
    let mut same = on_machine(&host, Daemon::Secrets, &machine).spawn().unwrap();
    wait_for(&host.layout.socket(Daemon::Secrets));
    host.unlock();
    same.kill().unwrap();
    same.wait().unwrap();
}

/// A daemon that sees another file as /etc/machine-id. It keeps the process id of the command.
fn on_machine(host: &Host, daemon: Daemon, machine_id: &Path) -> Command {
    let uid = host.expected(daemon).uid.to_string();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg(
        "mount --bind \"$1\" /etc/machine-id && \
         exec setpriv --reuid \"$2\" --regid \"$2\" --clear-groups \"$3\" --dir \"$4\"",
    );
    command.arg("sh").arg(machine_id).arg(uid).arg(binary(daemon.as_str())).arg(host.dir());
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    command
}
