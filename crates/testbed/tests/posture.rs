//! The security posture: measured, complete, and what follows when the floor does not hold.

use audit_log::{Operation, Outcome};
use serde_json::Value;
use site_config::Daemon;
use testbed::{Host, is_root_or_skip};

const DAEMONS: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];
/// Written out: logs are searched for it, so no word of it changes unnoticed.
const UNAVAILABLE: &str = "memfd_secret unavailable: secrets remain on kernel direct map. \
    Compliance impact: does not meet IL5/IL6, DISA STIG, PCI-DSS requirements for memory \
    isolation. Remediation: enable CONFIG_SECRETMEM=y in kernel config.";

/// The report of this exit code, as its checks.
fn checks(host: &Host, code: i32) -> Vec<Value> {
    let outcome = host.sesame(["--json", "status", "--security-posture"]).run();
    assert_eq!(outcome.code, code, "{}{}", outcome.text(), outcome.error());
    let report: Value = serde_json::from_str(&outcome.text()).expect("JSON");
    assert_eq!(report["floor_holds"], code == 0);
    report["checks"].as_array().expect("a list").clone()
}

fn find<'c>(checks: &'c [Value], subject: &str, id: &str) -> &'c Value {
    let found = checks.iter().find(|check| check["subject"] == subject && check["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} of {subject} in {checks:#?}"))
}

fn threads(host: &Host, daemon: Daemon) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", host.pid(daemon)));
    tasks.expect("its threads").count()
}

#[test]
fn a_good_host_holds_the_floor_on_every_thread() {
    let host = Host::unlocked();
    let checks = checks(&host, 0);
    for check in &checks {
        assert!(!check["controls"].as_array().expect("a list").is_empty(), "{check}");
        assert!(!check["found"].as_str().expect("words").is_empty(), "{check}");
        assert!(check["floor"] == false || check["status"] != "fail", "{check}");
    }
    for daemon in DAEMONS {
        let count = threads(&host, daemon);
        assert!(count > 4, "{count} threads");
        let of = |id| find(&checks, daemon.as_str(), id)["found"].as_str().expect("words");
        assert_eq!(of("seccomp").split(';').next(), Some(&*format!("{count} of {count} threads")));
        assert_eq!(of("no-new-privs"), format!("{count} of {count} threads"));
        assert_eq!(of("landlock"), format!("ABI 6, {count} of {count} threads"));
        assert!(of("capabilities").contains(&format!("{count} of {count} threads have none")));
        assert!(of("secret-memory").starts_with("memfd_secret"));
        assert_eq!(of("dumpable"), "no");
        assert_eq!(of("core-limit"), "soft 0, hard 0 bytes");
    }
    find(&checks, "kernel", "kernel-memfd-secret");
    find(&checks, "kernel", "kernel-landlock");
    let text = host.sesame(["status", "--security-posture"]).succeed();
    assert!(text.ends_with("The floor holds.\n") && text.contains("SC-39"), "{text}");
}

#[test]
fn a_daemon_that_cannot_be_asked_breaks_the_floor() {
    for dead in DAEMONS {
        let mut host = Host::started();
        checks(&host, 0);
        host.kill(dead);
        let checks = checks(&host, 21);
        let check = find(&checks, dead.as_str(), "reachable");
        assert!(check["status"] == "fail" && check["floor"] == true, "{check}");
        let said = host.sesame(["status", "--security-posture"]).fail(21);
        assert!(said.contains("1 checks of the security floor fail"), "{said}");
    }
}

#[test]
fn the_start_of_a_daemon_is_recorded_with_its_posture() {
    let host = Host::initialised();
    let starts = host.entries_of(Operation::DaemonStart, Outcome::Done);
    for daemon in DAEMONS {
        let of_daemon =
            |entry: &&audit_log::Entry| entry.subject.as_deref() == Some(daemon.as_str());
        let start = starts.iter().find(of_daemon).expect("its start is in the trail");
        let count = threads(&host, daemon);
        assert!(start.detail["seccomp"].starts_with(&format!("pass: {count} of {count} threads")));
        assert_eq!(start.detail["landlock"], format!("pass: ABI 6, {count} of {count} threads"));
        assert!(start.detail["secret-memory"].starts_with("pass: memfd_secret"));
    }
}

#[test]
fn require_without_memfd_secret_does_not_start_and_says_the_line() {
    let config = "memory.protection = \"require\"\n";
    let mut able = Host::builder().config(config).provision();
    able.try_start(Daemon::Audit).expect("with memfd_secret it starts");
    if let Err(said) = able.try_start(Daemon::Secrets) {
        // This machine has it, and does not let so much of it be locked: another line.
        assert!(said.starts_with("71: ERROR: secret memory needs ") && said.contains("MEMLOCK"));
    }
    let mut host = Host::builder().config(config).wrapped_in("without-memfd-secret").provision();
    for daemon in DAEMONS {
        let said = host.try_start(daemon).expect_err("no start");
        assert_eq!(said, format!("71: ERROR: {UNAVAILABLE}\n"));
    }
    assert!(!host.layout.audit_state().join("trail").exists(), "nothing was made");
    assert!(!host.layout.audit_socket().exists() && !host.layout.secrets_socket().exists());
}

#[test]
fn the_line_has_the_level_error_in_the_journal() {
    let config = "memory.protection = \"require\"\n";
    let host = Host::builder().config(config).wrapped_in("without-memfd-secret").provision();
    let mut command = host.daemon_command(Daemon::Secrets);
    let output = command.env("JOURNAL_STREAM", "1:2").output().expect("it runs");
    assert_eq!(output.status.code(), Some(71));
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("<3>{UNAVAILABLE}\n"));
}

#[test]
fn below_the_floor_nothing_is_enrolled() {
    let mut host = Host::builder().wrapped_in("without-memfd-secret").provision();
    host.start();
    let checks = checks(&host, 21);
    for daemon in DAEMONS {
        let check = find(&checks, daemon.as_str(), "secret-memory");
        assert!(check["status"] == "fail" && check["floor"] == true, "{check}");
        assert!(check["found"].as_str().is_some_and(|found| found.starts_with("mlock")), "{check}");
    }
    let said = host.sesame(["init", "--password-stdin"]).stdin(testbed::PASSWORD).fail(21);
    assert!(said.contains("enrolment.allow_below_floor"), "{said}");
    assert!(!host.layout.secrets_state().join("installation").exists());
    assert_eq!(host.trail_lines(), Vec::<String>::new());
}

#[test]
fn what_was_enrolled_above_the_floor_is_not_lost_below_it_and_nothing_is_added() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "name"]).stdin("value").succeed();
    let mut host = host.rewrapped("without-memfd-secret");
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "name"]).run().stdout, b"value");
    let create = ["profile", "create", "second", "--password-stdin"];
    host.sesame(create).stdin(testbed::PASSWORD).fail(21);
    assert_eq!(host.sesame(["profile", "list"]).succeed().lines().count(), 1);
    let starts = host.entries_of(Operation::DaemonStart, Outcome::Done);
    let last = starts.last().expect("a start");
    assert!(last.detail["secret-memory"].starts_with("fail: mlock"), "{last:?}");
    host.stop();
}

#[test]
fn enrolment_below_the_floor_is_a_choice_by_name_and_recorded() {
    let config = "enrolment.allow_below_floor = true\n";
    let mut host = Host::builder().config(config).wrapped_in("without-memfd-secret").provision();
    host.start();
    host.init();
    let below = |host: &Host| host.entries_of(Operation::EnrolmentBelowFloor, Outcome::Authorised);
    assert_eq!(below(&host).len(), 1);
    let create = ["profile", "create", "second", "--password-stdin"];
    host.sesame(create).stdin(testbed::PASSWORD).succeed();
    let entries = below(&host);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].profile.as_deref(), Some("second"));
    assert_eq!(entries[1].actor.as_ref().map(|actor| actor.uid), Some(host.users.operator));
    checks(&host, 21);
}

#[test]
fn above_the_floor_the_choice_leaves_no_trace() {
    let mut host = Host::builder().config("enrolment.allow_below_floor = true\n").provision();
    host.start();
    host.init();
    assert!(host.entries_of(Operation::EnrolmentBelowFloor, Outcome::Authorised).is_empty());
}

#[test]
fn a_part_of_the_sandbox_that_is_off_by_name_fails_the_floor_and_is_in_the_trail() {
    for (part, other) in [("landlock", "seccomp"), ("seccomp", "landlock")] {
        let mut host = Host::initialised();
        host.stop();
        let config = format!("sandbox.{part} = \"off\"\n");
        std::fs::write(host.layout.config_file(), config).expect("config.toml");
        host.start();
        let checks = checks(&host, 21);
        let starts = host.entries_of(Operation::DaemonStart, Outcome::Done);
        for daemon in DAEMONS {
            assert_eq!(find(&checks, daemon.as_str(), part)["found"], "off by configuration");
            assert_eq!(find(&checks, daemon.as_str(), other)["status"], "pass");
            let start = starts
                .iter()
                .rfind(|entry| entry.subject.as_deref() == Some(daemon.as_str()))
                .expect("its start");
            assert_eq!(start.detail[part], "fail: off by configuration");
        }
        host.unlock();
        let create = ["profile", "create", "second", "--password-stdin"];
        host.sesame(create).stdin(testbed::PASSWORD).fail(21);
        if !is_root_or_skip("looking at the threads of another user") {
            continue;
        }
        let status = format!("/proc/{}/status", host.pid(Daemon::Secrets));
        let status = std::fs::read_to_string(status).expect("root reads it");
        assert_eq!(status.contains("Seccomp:\t2"), part == "landlock", "what it says is so");
    }
}
