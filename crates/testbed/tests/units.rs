//! The real unit files under a living systemd: the daemons start from them, and `cicada
//! verify-isolation` sees what they are confined to.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use nix::sys::resource::{Resource, getrlimit};
use testbed::PASSWORD;
use testbed::booted::{Booted, Layer};

#[path = "common/installed.rs"]
mod installed;

use installed::installed;

const VERIFY: [&str; 2] = ["/usr/libexec/sesame/cicada", "verify-isolation"];

/// For kernels whose cgroup-v2 hierarchy limits neither memory nor processors: the check after the start
/// must not stop the unit then.
const WITHOUT_LIMITS: &str = "[Service]\nExecStartPost=\n\
    ExecStartPost=-+/usr/libexec/sesame/cicada verify-isolation\n";

/// What is added to cicada.service.
fn with(layer: Layer, settings: &str) -> Layer {
    layer.file("/etc/systemd/system/cicada.service.d/10-test.conf", settings, 0o644)
}

/// Boots, provisions, and initialises with an operator's hands.
fn initialised(mut layer: Layer) -> Option<Booted> {
    let (_, locked) = getrlimit(Resource::RLIMIT_MEMLOCK).expect("a limit");
    if locked < 64 << 20 {
        eprintln!(
            "this machine lets nobody lock 64 MiB, as LimitMEMLOCK= has it: some lie elsewhere"
        );
        layer = layer.file("/etc/pds/config.toml", "[memory]\nprotection = \"prefer\"\n", 0o644);
    }
    let machine = layer.boot()?;
    machine.start("sesame-provision.service");
    let key = said(&machine, &["sesame", "key"]);
    let key = key.split_whitespace().find(|word| word.len() == 64).expect("a public key");
    said(&machine, &["sesame", "peer", "add", "--uid", "0", "--key", key, "root"]);
    machine.start("sesame-secrets.service");
    let mut init = machine.command(&["sesame", "init", "--password-stdin"]);
    let init = init.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut init = init.spawn().expect("it starts");
    init.stdin.take().expect("piped").write_all(PASSWORD.as_bytes()).expect("a password");
    assert!(init.wait().expect("it ends").success());
    Some(machine)
}

#[track_caller]
fn said(machine: &Booted, program: &[&str]) -> String {
    let output = machine.run(program);
    assert!(output.status.success(), "{program:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The checks of `verify-isolation`: name, status, what was found.
fn checks(text: &str) -> BTreeMap<String, (String, String)> {
    let check = |line: &str| {
        let (status, rest) = line.split_once("  ")?;
        let (check, found) = rest.split_once(' ')?;
        Some((check.to_owned(), (status.to_owned(), found.trim().to_owned())))
    };
    text.lines().filter_map(check).collect()
}

/// Those that failed, less the limits where this kernel has none to give.
fn failures(machine: &Booted, checks: &BTreeMap<String, (String, String)>) -> Vec<String> {
    let controllers = said(machine, &["cat", "/sys/fs/cgroup/cgroup.controllers"]);
    let limits = [("memory-limit", "memory"), ("cpu-limit", "cpu")];
    let unlimited = limits.into_iter().filter(|(_, controller)| !controllers.contains(controller));
    let excused: Vec<&str> = unlimited.map(|(check, _)| check).collect();
    if !excused.is_empty() {
        eprintln!("skipped: {excused:?}, for this kernel has no such controller of cgroup v2");
    }
    let failed = checks.iter().filter(|(_, (status, _))| status == "fail");
    let failed = failed.filter(|(check, _)| !excused.contains(&check.as_str()));
    failed.map(|(check, (_, found))| format!("{check}: {found}")).collect()
}

#[test]
fn the_daemons_start_from_their_units_and_are_isolated() {
    let Some(machine) = initialised(with(installed(), WITHOUT_LIMITS)) else { return };
    machine.start("cicada.service");
    for unit in ["sesame-audit", "sesame-secrets", "cicada"] {
        assert_eq!(machine.property(unit, "ActiveState"), "active", "{}", machine.journal(unit));
        assert_eq!(machine.property(unit, "NRestarts"), "0", "{unit}");
    }
    let output = machine.run(&VERIFY);
    let text = String::from_utf8(output.stdout).expect("text");
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    let checks = checks(&text);
    assert_eq!(failures(&machine, &checks), Vec::<String>::new(), "{}", machine.journal("cicada"));
    assert_eq!(checks["socket"].1.split(' ').nth(1), Some("0660"));
    assert_eq!(checks["tmp"].1, "tmpfs of 10485760 bytes, mode 1700");
    assert!(checks.keys().any(|check| check.starts_with("inside:")), "{text}");
}

#[test]
fn verify_isolation_finds_what_the_unit_no_longer_gives() {
    let opened = "PrivateNetwork=no\nPrivateIPC=no\nRuntimeDirectoryMode=0755\n";
    let layer = with(installed(), &format!("{WITHOUT_LIMITS}{opened}"));
    let Some(machine) = initialised(layer) else { return };
    machine.start("cicada.service");
    // Somebody else's doing, as root.
    said(&machine, &["nft", "delete", "table", "inet", "cicada"]);
    said(&machine, &["chmod", "0666", "/run/cicada/cicada.sock"]);
    let output = machine.run(&VERIFY);
    assert_eq!(output.status.code(), Some(1));
    let checks = checks(&String::from_utf8(output.stdout).expect("text"));
    let failed = failures(&machine, &checks);
    let failed: Vec<&str> = failed.iter().filter_map(|line| line.split(':').next()).collect();
    let expected = ["ipc-namespace", "network-namespace", "nftables", "socket", "socket-directory"];
    assert_eq!(failed, expected);
}

#[test]
fn a_unit_that_is_not_isolated_does_not_start() {
    // ExecStartPost= as it is shipped, and something that the daemon itself does not see.
    let layer = with(installed(), "[Service]\nRuntimeDirectoryMode=0755\nRestart=no\n");
    let Some(machine) = initialised(layer) else { return };
    let output = machine.systemctl(["start", "cicada.service"]);
    assert!(!output.status.success());
    let journal = machine.journal("cicada.service");
    assert!(journal.contains("fail  socket-directory"), "{journal}");
    assert_eq!(machine.property("cicada.service", "ActiveState"), "failed", "{journal}");
    assert_eq!(machine.property("cicada.service", "MainPID"), "0");
    assert!(!machine.path("/run/cicada").exists(), "its runtime directory goes with it");
}

/// What it sees itself it does not wait to be told.
#[test]
fn the_daemon_does_not_start_with_a_tmp_of_the_hosts() {
    let layer = with(installed(), "[Service]\nTemporaryFileSystem=\nPrivateTmp=yes\nRestart=no\n");
    let Some(machine) = initialised(layer) else { return };
    assert!(!machine.systemctl(["start", "cicada.service"]).status.success());
    let journal = machine.journal("cicada.service");
    assert!(journal.contains("not isolated: tmp: "), "{journal}");
}

#[test]
fn no_packet_of_cicadas_user_leaves() {
    let Some(machine) = installed().boot() else { return };
    machine.start("cicada-nftables.service");
    if machine.property("cicada-nftables.service", "ActiveState") != "active" {
        eprintln!("skipped: nft is not installed");
        return;
    }
    said(&machine, &["ip", "link", "set", "lo", "up"]);
    let send = |user: &str, group: &str| {
        let script = "echo x > /dev/udp/127.0.0.1/9999";
        let by =
            ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "bash", "-c", script];
        machine.run(&by).status.success()
    };
    assert!(send("nobody", "nogroup"));
    assert!(!send("cicada", "nogroup"), "by its uid");
    assert!(!send("nobody", "cicada"), "by its gid");
    let table = said(&machine, &["nft", "list", "table", "inet", "cicada"]);
    let counted = table.lines().filter(|line| line.contains("counter packets 1 ")).count();
    assert_eq!(counted, 2, "{table}");
    machine.start("cicada-nftables.service");
    assert!(machine.systemctl(["reload", "cicada-nftables.service"]).status.success());
    let again = said(&machine, &["nft", "list", "table", "inet", "cicada"]);
    assert_eq!(again.matches("drop").count(), 4, "loaded twice, it is there once: {again}");
    assert!(machine.systemctl(["stop", "cicada-nftables.service"]).status.success());
    assert!(send("cicada", "cicada"), "nothing else drops it");
}

/// The unlock key by systemd-creds(1): absent in the other tests, and here encrypted for this machine.
#[test]
fn the_unlock_key_comes_as_an_encrypted_credential() {
    let Some(machine) = initialised(with(installed(), WITHOUT_LIMITS)) else { return };
    let script = "mkdir -p /etc/credstore.encrypted && head -c 32 /dev/urandom | \
        systemd-creds encrypt --with-key=host --name=cicada.unlock-key - \
        /etc/credstore.encrypted/cicada.unlock-key";
    said(&machine, &["sh", "-c", script]);
    machine.start("cicada.service");
    let key = machine.path("/run/credentials/cicada.service/cicada.unlock-key");
    assert_eq!(std::fs::metadata(key).expect("the daemon has it").len(), 32);
}
