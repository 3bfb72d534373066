//! The appliance's files (`images/appliance`) against systemd's own judge, and against each other.
//!
//! No service manager need be running. What isn't installed here is skipped, and says so.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn appliance() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images/appliance")
}

fn tree() -> PathBuf {
    appliance().join("tree")
}

fn read(path: &str) -> String {
    fs::read_to_string(appliance().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the tree, as its path in the image.
fn files() -> Vec<String> {
    let (mut found, mut todo) = (Vec::new(), vec![tree()]);
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(tree()).unwrap().to_str().unwrap().to_owned();
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn units() -> Vec<String> {
    let here = ["usr/lib/systemd/system/", "etc/systemd/system/"];
    let mut all = files();
    all.retain(|path| {
        here.iter().any(|here| path.starts_with(here)) && tree().join(path).is_file()
    });
    all.retain(|path| !path.ends_with("default.target"));
    all
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The values of a setting in all the units that aren't drop-ins.
fn values(setting: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for unit in units() {
        let text = fs::read_to_string(tree().join(&unit)).unwrap();
        let of_setting =
            lines(&text).filter_map(|line| line.strip_prefix(setting)?.strip_prefix('='));
        found.extend(of_setting.map(|value| (unit.clone(), value.to_owned())));
    }
    found
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("skipped: systemd-analyze is not installed");
        return;
    };
    assert!(version.status.success());
    let complaints = verify("verify", |text| text);
    assert!(complaints.is_empty(), "{complaints}");
    let spoiled =
        verify("verify-spoiled", |text| text.replace("RestrictNamespaces=", "RestrictSpaces="));
    assert!(spoiled.contains("RestrictSpaces"), "verify doesn't notice an unknown setting");
}

/// What `systemd-analyze verify` says of our units, which may name programs that aren't here.
fn verify(name: &str, change: impl Fn(String) -> String) -> String {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("appliance-{name}"));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let mut names = Vec::new();
    for unit in units() {
        let text = fs::read_to_string(tree().join(&unit)).unwrap();
        let programs = text.lines().map(|line| match line.split_once('=') {
            Some((key, _)) if key.starts_with("Exec") => format!("{key}=/bin/sh\n"),
            _ => format!("{line}\n"),
        });
        let text = change(programs.collect());
        let within = unit.split_once("systemd/system/").unwrap().1;
        let path = dir.join(within);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if !within.contains(".d/") {
            names.push(within.to_owned());
        }
    }
    let paths = names.iter().flat_map(|name| match name.split_once("@.") {
        // A template is judged as what it becomes.
        Some((prefix, kind)) => {
            vec![format!("{prefix}@tty1.{kind}"), format!("{prefix}@ttyS0.{kind}")]
        }
        None => vec![name.clone()],
    });
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(paths.map(|name| dir.join(name)))
        .env("SYSTEMD_UNIT_PATH", format!("{}:", dir.display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || !text.is_empty(), "verify failed and said nothing");
    let dir = dir.display().to_string();
    let ours = |line: &&str| {
        line.contains(&dir) || names.iter().any(|name| line.starts_with(name.as_str()))
    };
    // The daemons' units are those of another directory, and not installed here.
    let ours = text.lines().filter(ours).filter(|line| !line.contains("sesame-"));
    ours.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_enabled_is_there_and_can_be() {
    let preset = read("tree/usr/lib/systemd/system-preset/10-ceremony.preset");
    let ours: BTreeSet<String> =
        units().iter().map(|unit| unit.rsplit('/').next().unwrap().to_owned()).collect();
    let enabled: Vec<&str> =
        lines(&preset).filter_map(|line| line.strip_prefix("enable ")?.split(' ').next()).collect();
    for unit in &enabled {
        let daemon = unit.starts_with("sesame-");
        assert!(daemon || ours.contains(*unit), "{unit} is enabled, and isn't there");
    }
    for (unit, _) in values("WantedBy") {
        let name = unit.rsplit('/').next().unwrap();
        assert!(enabled.contains(&name), "{name} wants to be enabled, and isn't");
    }
    assert_eq!(lines(&preset).last(), Some("disable *"));
}

#[test]
fn nothing_that_is_masked_is_used() {
    let masked = read("masked-units.txt");
    let masked: BTreeSet<&str> = lines(&masked).collect();
    for unit in
        ["debug-shell.service", "getty@.service", "serial-getty@.service", "systemd-logind.service"]
    {
        assert!(masked.contains(unit), "{unit} would be a way in");
    }
    for setting in ["Wants", "Requires", "OnFailure", "WantedBy"] {
        for (unit, value) in values(setting) {
            for used in value.split(' ') {
                assert!(!masked.contains(used), "{unit} uses {used}, which is masked");
            }
        }
    }
    for unit in units() {
        assert!(!masked.contains(unit.rsplit('/').next().unwrap()), "{unit} is ours and masked");
    }
}

/// Loads the module that nothing else may load.
const MODPROBE: &str = "/usr/sbin/modprobe --syslog efivarfs";

#[test]
fn only_the_console_program_and_the_systems_own_are_started() {
    let commands = read("../../crates/ceremony-console/src/main.rs");
    for setting in ["ExecStart", "ExecStartPre", "ExecStopPost"] {
        for (unit, value) in values(setting) {
            let command = value.trim_start_matches(['-', '+']);
            match command.strip_prefix("/usr/libexec/sesame/ceremony-console ") {
                Some(name) => {
                    assert!(commands.contains(&format!("[\"{name}\"")), "{unit}: no command {name}")
                }
                None => {
                    let own = command.starts_with("/usr/bin/") || command == MODPROBE;
                    assert!(own, "{unit}: {command}");
                }
            }
        }
    }
}

#[test]
fn the_uefi_variables_are_for_the_attestation_alone() {
    let denied = read("tree/usr/lib/modprobe.d/ceremony.conf");
    assert!(denied.lines().any(|line| line == "blacklist efivarfs"));
    // By its name, as root, and whether or not there is one.
    let loaded: Vec<_> =
        values("ExecStartPre").into_iter().filter(|(_, v)| v.contains("efivarfs")).collect();
    let unit = "usr/lib/systemd/system/ceremony-setup@.service";
    assert_eq!(loaded, [(unit.to_owned(), format!("-+{MODPROBE}"))]);
    assert!(!read("tree/usr/lib/modules-load.d/ceremony.conf").contains("efivarfs"));
}

#[test]
fn no_terminal_is_roots() {
    for (unit, value) in values("ExecStart") {
        let program = value.trim_start_matches(['-', '+', '!', ':']).split(' ').next().unwrap();
        let shell = ["bash", "sh", "dash", "login", "sulogin", "agetty"];
        let shell = shell.contains(&program.rsplit('/').next().unwrap());
        let text = fs::read_to_string(tree().join(&unit)).unwrap();
        assert!(!shell || text.contains("\nUser=ceremony\n"), "{unit} starts {value} as root");
    }
}

#[test]
fn state_never_falls_back_to_memory_unasked() {
    for drop_in in ["sesame-.service.d", "cicada.service.d"] {
        let text = read(&format!("tree/usr/lib/systemd/system/{drop_in}/ceremony.conf"));
        let asked = "ceremony-setup@tty1.service ceremony-setup@ttyS0.service";
        for setting in ["Requires", "After"] {
            assert!(text.contains(&format!("\n{setting}={asked}\n")), "{drop_in} lacks {setting}=");
        }
    }
}

#[test]
fn the_two_consoles_exclude_each_other() {
    let conditions = ["tty1", "ttyS0"].map(|tty| {
        let text =
            read(&format!("tree/usr/lib/systemd/system/ceremony-@{tty}.service.d/console.conf"));
        let line =
            text.lines().find(|line| line.starts_with("ConditionPathExists=")).unwrap().to_owned();
        line.strip_prefix("ConditionPathExists=").unwrap().to_owned()
    });
    assert_eq!(conditions, ["/dev/fb0", "!/dev/fb0"]);
}

#[test]
fn everything_writable_is_noexec() {
    for (unit, options) in values("Options") {
        for option in ["nosuid", "nodev", "noexec"] {
            assert!(options.split(',').any(|given| given == option), "{unit} lacks {option}");
        }
    }
}

#[test]
fn the_ceremony_user_has_one_number_everywhere() {
    let users = read("tree/usr/lib/sysusers.d/00-ceremony.conf");
    assert!(users.contains("\nu ceremony 1000 "), "{users}");
    assert!(
        read("../../crates/ceremony-console/src/main.rs")
            .contains("const CEREMONY_ID: u32 = 1000;")
    );
    let mount = read("tree/usr/lib/systemd/system/media-export.mount");
    assert!(mount.contains("Options=uid=1000,gid=1000,"), "{mount}");
}

#[test]
fn a_volume_is_judged_by_the_daemons_fixed_numbers() {
    let users = read("tree/usr/lib/sysusers.d/00-ceremony.conf");
    let volume = read("../../crates/ceremony-console/src/volume/content.rs");
    for (constant, user) in [
        ("SESAME_AUDIT", "sesame-audit"),
        ("SESAME_SECRETS", "sesame-secrets"),
        ("CICADA", "cicada"),
    ] {
        let line = users.lines().find(|line| line.starts_with(&format!("u {user} "))).unwrap();
        let number = line.split(' ').nth(2).unwrap();
        assert!(volume.contains(&format!("const {constant}: u32 = {number};")), "{user}");
    }
}

#[test]
fn who_asks_for_the_policy_and_who_is_asked_agree_on_the_places() {
    let command = read("../../crates/sesame/src/commands/policy/root.rs");
    let console = read("../../crates/ceremony-console/src/policy_lock.rs");
    let power = read("../../crates/ceremony-console/src/power.rs");
    let path = read("tree/usr/lib/systemd/system/ceremony-policy.path");
    let of = |text: &str, constant: &str| {
        let begins = format!("const {constant}: &str = \"");
        let line = text.lines().find_map(|line| Some(line.split_once(&begins)?.1.to_owned()));
        line.unwrap().trim_end_matches("\";").to_owned()
    };
    for constant in ["REQUEST", "ANSWER"] {
        assert_eq!(of(&command, constant), of(&console, constant));
    }
    assert_eq!(of(&command, "REQUESTS"), of(&power, "REQUESTS"));
    let (taken, answered) = (of(&console, "TAKEN"), of(&console, "ANSWER"));
    assert_eq!(Path::new(&taken).parent(), Path::new(&answered).parent(), "root's own directory");
    let request = format!("{}/{}", of(&command, "REQUESTS"), of(&command, "REQUEST"));
    assert!(path.contains(&format!("\nPathExists={request}\n")), "{request}");
    let unit = read("tree/usr/lib/systemd/system/ceremony-policy.service");
    let answers = of(&command, "ANSWER");
    let parent = Path::new(&answers).parent().unwrap().to_str().unwrap();
    assert!(unit.contains(&format!("\nReadWritePaths=/etc/pds {parent}\n")), "{parent}");
}

/// A directory of the user's may be sticky, and root takes requests out of it all the same.
#[test]
fn root_may_do_what_taking_a_request_needs() {
    let unit = read("tree/usr/lib/systemd/system/ceremony-policy.service");
    assert!(unit.contains("\nCapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_FOWNER\n"), "{unit}");
}

#[test]
fn what_is_asked_and_what_is_locked_have_one_limit() {
    let constant = "const MAX_SOURCE_CHARS: usize = 256;";
    for path in ["site-config/src/policy.rs", "ceremony-console/src/policy_lock/request.rs"] {
        assert!(read(&format!("../../crates/{path}")).contains(constant), "{path}");
    }
}

#[test]
fn the_fixed_numbers_are_those_of_the_daemons_users() {
    let fixed = read("tree/usr/lib/sysusers.d/00-ceremony.conf");
    let names = |text: &str| -> BTreeSet<(String, String)> {
        let words = lines(text).map(|line| line.split(' ').collect::<Vec<_>>());
        let named = words.filter(|words| matches!(words[0], "u" | "g"));
        named.map(|words| (words[0].to_owned(), words[1].to_owned())).collect()
    };
    let mut daemons = BTreeSet::new();
    for file in ["sesame.conf", "cicada.conf"] {
        daemons.extend(names(&read(&format!(
            "../../crates/daemon-runtime/systemd/sysusers.d/{file}"
        ))));
    }
    let missing: Vec<_> = daemons.difference(&names(&fixed)).cloned().collect();
    assert!(missing.is_empty(), "without a fixed number: {missing:?}");
    let numbers = lines(&fixed)
        .filter(|line| line.starts_with(['u', 'g']))
        .map(|line| line.split(' ').nth(2).unwrap());
    let numbers: Vec<&str> = numbers.collect();
    assert_eq!(numbers.len(), numbers.iter().collect::<BTreeSet<_>>().len(), "{numbers:?}");
}
