//! The units against systemd's own judges, and against what the daemons' code expects of them.
//!
//! No service manager need be running. What isn't installed here is skipped, and says so.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hardening::seccomp::{SERVICE, STARTUP, UNKNOWN};
use site_config::{Daemon, Environment, Layout};

const DAEMONS: [(Daemon, &str); 3] = [
    (Daemon::Audit, "sesame-audit"),
    (Daemon::Secrets, "sesame-secrets"),
    (Daemon::Cicada, "cicada"),
];
const UNITS: [&str; 5] =
    ["sesame-audit", "sesame-secrets", "sesame-provision", "cicada", "cicada-nftables"];

/// In tenths, as `--threshold` takes it. Versions of systemd count differently; 252 is the judge,
/// and the others get some room.
const EXPOSURE_252: u32 = 5;
const EXPOSURE: u32 = 10;

/// systemd 252 has no name for it. The seal is a second lock: secret memory does without.
const UNKNOWN_TO_252: &str = "mseal";

const NEVER: &[&str] = &[
    "add_key",
    "bpf",
    "capset",
    "chown",
    "io_uring_setup",
    "keyctl",
    "memfd_create",
    "mount",
    "perf_event_open",
    "process_vm_readv",
    "ptrace",
    "setuid",
    "shmget",
    "userfaultfd",
];

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let Some(_) = version("systemd-analyze") else { return };
    let dir = copies("verify", |text| text);
    let complaints = verify(&dir);
    assert!(complaints.is_empty(), "{complaints}");

    let spoiled = copies("verify-spoiled", |text| text.replace("ProtectHome=", "ProtectHouse="));
    assert!(verify(&spoiled).contains("ProtectHouse"), "verify doesn't notice an unknown setting");
}

#[test]
fn the_daemons_are_hardly_exposed() {
    let Some(version) = version("systemd-analyze") else { return };
    let limit = if version == 252 { EXPOSURE_252 } else { EXPOSURE };
    let dir = copies("security", |text| text);
    let opened = copies("security-opened", |text| {
        text.replace("NoNewPrivileges=yes", "").replace("ProtectSystem=strict", "")
    });
    for (_, unit) in DAEMONS {
        let judged = exposure(&dir, unit, limit);
        let table = String::from_utf8_lossy(&judged.stdout);
        assert!(judged.status.success(), "{unit} is above {limit} tenths:\n{table}");
        println!("{}", table.lines().last().unwrap_or_default());
        assert!(!exposure(&opened, unit, limit).status.success(), "the limit lets all pass");
    }
}

#[test]
fn what_the_daemons_call_is_allowed_and_little_else() {
    let Some(_) = version("systemd-analyze") else { return };
    for (_, unit) in DAEMONS {
        let allowed = allowed_system_calls(unit);
        let needed = SERVICE.iter().chain(STARTUP).chain(UNKNOWN).map(|rule| rule.name);
        let needed = needed.filter(|name| *name != UNKNOWN_TO_252);
        let refused: Vec<&str> = needed.filter(|name| !allowed.contains(*name)).collect();
        assert!(refused.is_empty(), "{unit} refuses {refused:?}");
        let opened: Vec<&&str> = NEVER.iter().filter(|name| allowed.contains(**name)).collect();
        assert!(opened.is_empty(), "{unit} allows {opened:?}");
    }
}

#[test]
fn the_units_and_the_code_mean_the_same_places() {
    let layout = Layout::system(&Environment::default());
    for (daemon, unit) in DAEMONS {
        let text = read(unit);
        let one = |key| single(&text, key);
        let state = Path::new("/var/lib").join(one("StateDirectory"));
        assert_eq!(state, layout.state(daemon), "{unit}");
        let run = Path::new("/run").join(one("RuntimeDirectory"));
        assert_eq!(Some(run.as_path()), layout.socket(daemon).parent(), "{unit}");
        let key = format!("noise.key:{}", layout.daemon_key(daemon).display());
        assert_eq!(one("LoadCredential"), key, "{unit}");
        assert_eq!(one("ExecStart"), format!("/usr/libexec/sesame/{}", daemon.as_str()));
        let group = if daemon == Daemon::Cicada { "cloud-sync" } else { "sesame" };
        assert_eq!((one("User"), one("Group")), (unit, group));
        assert_eq!((one("StateDirectoryMode"), one("RuntimeDirectoryMode")), ("0700", "0750"));
    }
    let (peers, key) = (layout.peers_file().to_owned(), layout.daemon_key(Daemon::Cicada));
    let conditions = [peers, key].map(|path| format!("|!{}", path.display()));
    let provision = read("sesame-provision");
    assert_eq!(values(&provision, "ConditionPathExists").collect::<Vec<_>>(), conditions);
}

#[test]
fn the_users_have_no_shell_and_share_one_group() {
    let Some(root) = empty_root("systemd-sysusers", "sysusers") else { return };
    fs::create_dir(root.join("etc")).unwrap();
    for config in ["sesame.conf", "cicada.conf"] {
        run("systemd-sysusers", &root, &[], &systemd().join("sysusers.d").join(config));
    }
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap();
    for (_, user) in DAEMONS {
        let line = passwd.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap();
        let fields: Vec<&str> = line.split(':').collect();
        assert!((1..1000).contains(&fields[2].parse::<u32>().unwrap()), "{line}");
        assert!(fields[6].ends_with("/nologin"), "{line}");
    }
    let groups = fs::read_to_string(root.join("etc/group")).unwrap();
    let members = |group: &str| -> BTreeSet<String> {
        let line = groups.lines().find(|line| line.starts_with(&format!("{group}:"))).unwrap();
        let members = line.rsplit(':').next().unwrap().split(',').filter(|name| !name.is_empty());
        members.map(str::to_owned).collect()
    };
    assert_eq!(members("sesame"), DAEMONS.map(|(_, user)| user.to_owned()).into());
    // Who is in it may ask cicada for keys; the daemon has it by its unit.
    assert_eq!(members("cloud-sync"), BTreeSet::new());
}

#[test]
fn the_keys_directory_is_roots_alone() {
    let Some(root) = empty_root("systemd-tmpfiles", "tmpfiles") else { return };
    // What the package installs for tmpfiles.d to copy.
    let shipped = systemd().join("../../cicada/packaging/cicada.toml");
    fs::create_dir_all(root.join("usr/share/sesame")).unwrap();
    fs::copy(&shipped, root.join("usr/share/sesame/cicada.toml")).unwrap();
    for config in ["sesame.conf", "cicada.conf"] {
        let config = systemd().join("tmpfiles.d").join(config);
        run("systemd-tmpfiles", &root, &["--create"], &config);
    }
    let expected = [
        ("etc/pds", 0o755),
        ("etc/pds/keys", 0o700),
        ("var/lib/pds", 0o755),
        ("run/pds", 0o755),
        ("etc/cicada", 0o755),
    ];
    for (path, mode) in expected {
        let found = fs::metadata(root.join(path)).unwrap();
        assert!(found.is_dir() && found.uid() == 0, "{path}");
        assert_eq!(found.mode() & 0o7777, mode, "{path}");
    }
    let rules = root.join("etc/cicada/cicada.toml");
    assert_eq!(fs::read(&rules).unwrap(), fs::read(shipped).unwrap());
    let found = fs::metadata(rules).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o644));
}

/// What a site has written is never overwritten.
#[test]
fn the_sites_rules_stay() {
    let Some(root) = empty_root("systemd-tmpfiles", "tmpfiles-again") else { return };
    fs::create_dir_all(root.join("usr/share/sesame")).unwrap();
    fs::write(root.join("usr/share/sesame/cicada.toml"), "shipped").unwrap();
    fs::create_dir_all(root.join("etc/cicada")).unwrap();
    fs::write(root.join("etc/cicada/cicada.toml"), "the site's").unwrap();
    run("systemd-tmpfiles", &root, &["--create"], &systemd().join("tmpfiles.d/cicada.conf"));
    assert_eq!(fs::read(root.join("etc/cicada/cicada.toml")).unwrap(), b"the site's");
}

/// With a private /tmp of the host's, or /run left as ProcSubset= leaves it, there would be more to
/// write than the daemon's own directories.
#[test]
fn cicada_has_the_limits_that_it_promises() {
    let text = read("cicada");
    let one = |key| single(&text, key);
    assert!(one("TemporaryFileSystem").starts_with("/tmp:size=10M,mode=1700"));
    assert_eq!(values(&text, "PrivateTmp").count(), 0);
    assert_eq!((one("MemoryMax"), one("CPUQuota")), ("128M", "50%"));
    assert_eq!((one("NoNewPrivileges"), one("CapabilityBoundingSet")), ("yes", ""));
    assert_eq!((one("PrivateNetwork"), one("RestrictAddressFamilies")), ("yes", "AF_UNIX"));
    assert_eq!(values(&text, "PrivateUsers").count(), 0, "a peer's uid would read 65534");
    let verify = one("ExecStartPost");
    assert_eq!(verify, "+/usr/libexec/sesame/cicada verify-isolation");
    assert_eq!(one("LoadCredentialEncrypted"), "cicada.unlock-key", "a path must not be absent");
    for (_, unit) in DAEMONS {
        assert_eq!(single(&read(unit), "ReadOnlyPaths"), "/run", "{unit}");
    }
}

fn systemd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn read(unit: &str) -> String {
    fs::read_to_string(systemd().join(format!("system/{unit}.service"))).unwrap()
}

fn values<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
}

fn single<'t>(text: &'t str, key: &str) -> &'t str {
    let found: Vec<&str> = values(text, key).collect();
    let [value] = found[..] else { panic!("{key} is set {} times", found.len()) };
    value
}

/// The version of a program of systemd; `None`, and a line that says so, where there is none.
fn version(program: &str) -> Option<u32> {
    let Ok(output) = Command::new(program).arg("--version").output() else {
        println!("skipped: {program} is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Some(version.unwrap_or_else(|| panic!("{program} --version says {text:?}")))
}

/// A directory of this test's own with nothing in it.
fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("units-{name}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// The units with a program that exists everywhere, since verify looks for it.
fn copies(name: &str, change: impl Fn(String) -> String) -> PathBuf {
    let dir = scratch(name);
    for unit in UNITS {
        let text = read(unit);
        let programs = text.lines().map(|line| match line.split_once('=') {
            Some((key, _)) if key.starts_with("Exec") => format!("{key}=/bin/sh\n"),
            _ => format!("{line}\n"),
        });
        let text: String = programs.collect();
        fs::write(dir.join(format!("{unit}.service")), change(text)).unwrap();
    }
    dir
}

/// What `systemd-analyze verify` says of our units; this host may have other units with faults.
fn verify(dir: &Path) -> String {
    let paths = UNITS.map(|unit| dir.join(format!("{unit}.service")));
    let arguments = ["verify", "--man=no", "--recursive-errors=no"];
    let output = Command::new("systemd-analyze").args(arguments).args(paths).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let ours = |line: &&str| UNITS.iter().any(|unit| line.contains(unit));
    let ours: Vec<&str> = text.lines().filter(ours).collect();
    assert!(output.status.success() || !text.is_empty(), "verify failed and said nothing");
    ours.join("\n")
}

fn exposure(dir: &Path, unit: &str, limit: u32) -> Output {
    Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &format!("--threshold={limit}")])
        .arg(dir.join(format!("{unit}.service")))
        .output()
        .unwrap()
}

/// `SystemCallFilter=` as systemd reads it: line after line, each adding or (`~`) taking away.
fn allowed_system_calls(unit: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for value in values(&read(unit), "SystemCallFilter") {
        let (names, add) = value.strip_prefix('~').map_or((value, true), |names| (names, false));
        let named = names.split_whitespace().flat_map(members);
        if add {
            allowed.extend(named);
        } else {
            allowed = &allowed - &named.collect();
        }
    }
    allowed
}

/// The system calls of a group, of the groups in it, or the one that is named.
fn members(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", name]).output().unwrap();
    assert!(output.status.success(), "systemd knows no group {name}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().skip(1).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).flat_map(members).collect()
}

/// A directory to be taken for `/`; `None`, and a line that says so, where that can't work.
fn empty_root(program: &str, name: &str) -> Option<PathBuf> {
    version(program)?;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: only root can make what belongs to root");
        return None;
    }
    Some(scratch(name))
}

fn run(program: &str, root: &Path, options: &[&str], config: &Path) {
    let root = format!("--root={}", root.display());
    let output = Command::new(program).arg(root).args(options).arg(config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains(".conf:"), "{text}");
}
