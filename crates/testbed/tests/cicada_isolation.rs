//! A program in cicada's place: in the settings of its unit, and in the daemon's own sandbox on top.
//! Everything that it tries is denied; the same for root outside gets somewhere.

use std::process::Command;

use site_config::Daemon;
use testbed::booted::{Booted, Layer};
use testbed::{Host, binary, is_root_or_skip};

#[path = "common/installed.rs"]
mod installed;

use installed::{installed, shipped};

/// Attempts that this kernel denies everybody, for it has no modules.
const OF_MODULES: [&str; 2] = ["init_module", "finit_module"];

/// With a victim, an abstract socket, and a set-user-ID program.
fn site() -> Layer {
    let victim = "[Service]\nExecStart=/usr/bin/sleep infinity\nUser=sesame-secrets\n";
    let door = "[Socket]\nListenStream=@intruder\nService=victim.service\n";
    let id = std::fs::read("/usr/bin/id").expect("coreutils");
    installed()
        .file("/etc/systemd/system/victim.service", victim, 0o644)
        .file("/etc/systemd/system/door.socket", door, 0o644)
        .file("/usr/libexec/sesame/setuid-id", id, 0o4755)
        .copy(&binary("intruder"), "/usr/libexec/sesame/intruder")
        .file("/etc/pds/keys/cicada.key", [7; 32], 0o600)
        .file("/etc/pds/peers.toml", "", 0o644)
}

fn begin(machine: &Booted) -> String {
    // As the units of the others make theirs.
    for (user, state) in [("sesame-audit", "audit"), ("sesame-secrets", "secrets")] {
        let state = format!("/var/lib/pds/{state}");
        let made = machine.run(&["install", "-d", "-m", "0700", "-o", user, &state]);
        assert!(made.status.success(), "{made:?}");
    }
    machine.start("door.socket");
    machine.start("victim.service");
    machine.property("victim.service", "MainPID")
}

/// Lines, and what came of them.
fn attempts(text: &str) -> Vec<(bool, String)> {
    let attempt = |line: &str| {
        let (word, rest) = line.split_once("  ")?;
        let denied = word.trim() == "denied";
        (denied || word == "ALLOWED").then(|| (denied, rest.trim().to_owned()))
    };
    text.lines().filter_map(attempt).collect()
}

/// cicada.service with another program, which ends.
fn as_cicada(arguments: &str) -> String {
    let unit = shipped("daemon-runtime/systemd/system/cicada.service");
    let unit = std::fs::read_to_string(unit).expect("shipped");
    let kept = unit.lines().filter(|line| {
        let gone = [
            "Type=",
            "ExecStart",
            "NotifyAccess=",
            "WatchdogSec=",
            "Restart",
            "Requires=",
            "Wants=",
            "After=",
            "StartLimit",
        ];
        !gone.iter().any(|gone| line.starts_with(gone))
    });
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    let program = "/usr/libexec/sesame/intruder";
    let start = format!("[Service]\nType=oneshot\nExecStart={program} {arguments}\n");
    kept.replace("[Service]\n", &start)
}

fn intrude(machine: &Booted, unit: &str) -> Vec<(bool, String)> {
    // It exits 1 when something was allowed.
    let _ = machine.systemctl(["start", unit]);
    let journal = machine.journal(unit);
    let attempts = attempts(&journal);
    assert!(attempts.len() > 50, "{journal}");
    attempts
}

#[test]
fn everything_is_denied_in_the_units_settings_and_in_the_sandbox() {
    // The number of the victim is in a file, since a unit is written before there is one.
    let arguments = |mode: &str| {
        format!("{mode} /var/lib/cicada $VICTIM intruder /usr/libexec/sesame/setuid-id")
    };
    let unit = |mode| {
        as_cicada(&arguments(mode))
            .replace("[Service]\n", "[Service]\nEnvironmentFile=/run/victim\n")
    };
    let layer = site().file("/etc/systemd/system/bare.service", unit("bare"), 0o644).file(
        "/etc/systemd/system/sandboxed.service",
        unit("sandboxed"),
        0o644,
    );
    let Some(machine) = layer.boot() else { return };
    let victim = begin(&machine);
    std::fs::write(machine.path("/run/victim"), format!("VICTIM={victim}\n")).expect("a file");
    for unit in ["bare.service", "sandboxed.service"] {
        let attempts = intrude(&machine, unit);
        let allowed: Vec<_> = attempts.iter().filter(|(denied, _)| !denied).collect();
        assert!(allowed.is_empty(), "{unit}: {allowed:#?}");
        println!("{unit}: {} attempts denied", attempts.len());
        for (_, line) in &attempts {
            println!("denied  {line}");
        }
    }
}

#[test]
fn each_attempt_succeeds_for_root_outside() {
    let Some(machine) = site().boot() else { return };
    let victim = begin(&machine);
    // The machine of the test has them read-only, for the sake of the one it runs on.
    for place in ["/proc/sys", "/sys"] {
        assert!(machine.run(&["mount", "-o", "remount,rw,bind", place]).status.success());
    }
    let intruder = "/usr/libexec/sesame/intruder";
    let setuid = "/usr/libexec/sesame/setuid-id";
    let output = machine.run(&[intruder, "bare", "/tmp", &victim, "intruder", setuid]);
    let attempts = attempts(&String::from_utf8_lossy(&output.stdout));
    assert!(attempts.len() > 50, "{output:?}");
    let of_modules = |line: &str| OF_MODULES.iter().any(|name| line.starts_with(name));
    let denied: Vec<_> = attempts
        .iter()
        .filter(|(denied, line)| *denied && !(of_modules(line) && line.contains("os error 38")))
        .collect();
    assert!(denied.is_empty(), "denied anyway: {denied:#?}");
}

/// Without the unit: what the daemon does itself passes, and what only the unit gives is never passed.
#[test]
fn in_a_directory_of_its_own_the_daemon_passes_what_it_does_itself() {
    if !is_root_or_skip("looking at the process of another user") {
        return;
    }
    let rules = "[[allow]]\nuid = 0\nidentity = \"*\"\noperations = [\"status\"]\n";
    let mut host = Host::builder().cicada(rules).provision();
    host.start();
    host.init();
    host.try_start(Daemon::Cicada).expect("cicada starts");
    let dir = host.dir().to_owned();
    let verify = |arguments: &[&str]| {
        let mut command = Command::new(binary("cicada"));
        let output = command.args(arguments).arg("--dir").arg(&dir).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, text) = verify(&["verify-isolation"]);
    assert_eq!(code, Some(0), "{text}");
    let status = |check: &str| {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(check));
        line.and_then(|line| line.split_whitespace().next()).unwrap_or("absent").to_owned()
    };
    for own in ["capabilities", "no-new-privileges", "seccomp", "core-dumps", "network-sockets"] {
        assert_eq!(status(own), "pass", "{own}: {text}");
    }
    for own in ["inside:landlock", "inside:families", "inside:seccomp"] {
        assert_eq!(status(own), "pass", "{own}: {text}");
    }
    for given in ["user", "root", "tmp", "writable", "shared-memory", "memory-limit", "socket"] {
        assert_eq!(status(given), "skip", "{given}: {text}");
    }
    let (code, json) = verify(&["verify-isolation", "--json"]);
    let checks: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, checks.len()), (Some(0), text.lines().count()));
    assert_eq!(verify(&["verify-isolation", "--nonsense"]).0, Some(2));
    host.kill(Daemon::Cicada);
    assert_eq!(verify(&["verify-isolation"]).0, Some(1), "nobody is there");
}
