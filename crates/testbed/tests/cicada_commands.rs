//! `sesame cicada …` with the real command and the real daemon: what is typed, what comes back, and
//! what is left behind.
//!
//! `INSTA_UPDATE=always cargo test -p testbed --test cicada_commands` writes the snapshots anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/bare.rs"]
mod bare;
#[path = "common/cicada_operator.rs"]
mod cicada_operator;
#[path = "common/redact.rs"]
mod redact;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bare::{as_operator, bare, one_object, outcome};
use cicada_operator::{Place, host, json_of, with_identity};
use data_encoding::BASE64;
use redact::redact;
use serde_json::{Value, json};
use testbed::terminal::Terminal;
use testbed::{Host, PASSWORD, binary};

/// Public keys differ in every run: base64 of 32 bytes.
fn without_keys(text: &str) -> String {
    let is_key = |word: &str| {
        word.len() == 44 && BASE64.decode(word.as_bytes()).is_ok_and(|key| key.len() == 32)
    };
    let line = |line: &str| {
        line.split(' ')
            .map(|word| if is_key(word) { "[key]" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

/// What a check finds depends on the machine.
fn without_findings(text: &str) -> String {
    let line = |line: &str| match ["  pass  ", "  skip  "].iter().any(|word| line.starts_with(word))
    {
        true => {
            line.split_whitespace().take(2).fold("  ".to_owned(), |line, word| line + word + " ")
        }
        false => line.to_owned(),
    };
    text.lines().map(|text| line(text).trim_end().to_owned() + "\n").collect()
}

/// Runs the lines one after the other, and shows what comes back.
fn transcript(host: &Host, lines: &[&str]) -> String {
    let mut shown = String::new();
    for line in lines {
        let stdin = if line.ends_with("--password-stdin") { PASSWORD } else { "" };
        let outcome = host.sesame(line.split(' ')).stdin(stdin).run();
        shown.push_str(&format!("$ sesame {line}\n{}{}", outcome.text(), outcome.error()));
        if outcome.code != 0 {
            shown.push_str(&format!("[{}]\n", outcome.code));
        }
        shown.push('\n');
    }
    without_findings(&without_keys(&redact(host, &shown)))
}

#[test]
fn a_day_with_cicada_reads_well() {
    let host = host();
    let lines = [
        "cicada rules",
        "cicada status",
        "cicada identity list",
        "cicada init",
        "unlock --password-stdin",
        "cicada init",
        "cicada init",
        "secret list",
        "cicada status",
        "cicada identity list",
        "cicada identity create cloud-sync",
        "cicada identity create cloud-sync",
        "cicada identity create Cloud/Sync",
        "cicada identity show cloud-sync",
        "cicada identity show cloud-sync --wg",
        "cicada identity show cloud-sync --version 2",
        "cicada identity show nobody",
        "cicada identity rotate cloud-sync --grace 12h",
        "cicada identity rotate cloud-sync",
        "cicada identity list",
        "cicada identity show cloud-sync --version 1 --wg",
        "cicada identity rotate cloud-sync --grace soon",
        "cicada identity backup cloud-sync /tmp/never/backup",
        "cicada identity revoke cloud-sync --yes",
        "cicada identity show cloud-sync",
        "cicada identity create cloud-sync",
        "cicada lock",
        "cicada lock",
        "cicada identity list",
        "lock",
        "cicada unlock",
        "unlock --password-stdin",
        "cicada unlock",
        "cicada unlock --secret cicada/other",
    ];
    let shown = transcript(&host, &lines);
    if host.users.are_separate() {
        insta::assert_snapshot!("day", shown);
    }
}

/// The commands below `sesame cicada`, as the help lists them.
fn leaves(path: &[&str]) -> Vec<String> {
    let help = outcome(bare(&[path, &["--help"]].concat())).text();
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return vec![path.join(" ")] };
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.flat_map(|name| leaves(&[path, &[name]].concat())).collect()
}

#[test]
fn every_command_prints_one_json_object() {
    let (host, place) = (host(), Place::new());
    let [key, backup] = ["key", "backup"].map(|name| place.path(name).display().to_string());
    let lines = [
        "cicada rules".to_owned(),
        "cicada status".to_owned(),
        format!("cicada init --key-file {key}"),
        "cicada identity create a".to_owned(),
        "cicada identity create b".to_owned(),
        "cicada identity list".to_owned(),
        "cicada identity show a".to_owned(),
        "cicada identity show a --wg".to_owned(),
        "cicada identity rotate a --grace 0s".to_owned(),
        format!("cicada identity backup a {backup}"),
        "cicada identity backup a -".to_owned(),
        "cicada lock".to_owned(),
        format!("cicada unlock --key-file {key}"),
        "cicada identity revoke b --yes".to_owned(),
    ];
    let mut done = BTreeSet::new();
    let mut said = Vec::new();
    for line in lines {
        let outcome = host.sesame(line.split(' ').chain(["--json"])).run();
        assert_eq!((outcome.code, outcome.error().as_str()), (0, ""), "{line}");
        said.push(one_object(&outcome.stdout));
        done.insert(line);
    }
    assert_eq!(said[2], json!({ "state": "unlocked", "unlock_key": { "file": key } }));
    assert_eq!(said[5]["identities"][0]["version"], 1);
    assert_eq!(said[7], json!({ "identity": "a", "version": 1, "x25519": said[3]["x25519"] }));
    assert_eq!((&said[8]["version"], &said[11]["state"]), (&json!(2), &json!("locked")));
    let sealed = BASE64.decode(said[10]["backup"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(sealed, fs::read(&backup).unwrap());

    let other = cicada_operator::host();
    let init = place.path("other").display().to_string();
    other.sesame(["cicada", "init", "--key-file", &init]).succeed();
    let restore = ["cicada", "identity", "restore", &backup, "--key-file", &key, "--json"];
    let restored = one_object(other.sesame(restore).succeed().as_bytes());
    assert_eq!(restored["x25519"], said[8]["x25519"]);
    done.insert("cicada identity restore".to_owned());
    for leaf in leaves(&["cicada"]) {
        assert!(done.iter().any(|done| done.starts_with(&leaf)), "{leaf} is not tried");
    }

    let refused = host.sesame(["cicada", "identity", "show", "b", "--json"]).run();
    let error = &one_object(&refused.stderr)["error"];
    assert_eq!((refused.code, refused.text().as_str()), (8, ""));
    assert_eq!(
        (&error["code"], &error["detail"]["code"]),
        (&json!("not-found"), &json!("revoked"))
    );
}

#[test]
fn a_backup_comes_back_elsewhere_with_the_key_of_its_time() {
    let place = Place::new();
    let (host, key) = with_identity(&place);
    let show = |host: &Host| {
        json_of(&host.sesame(["cicada", "identity", "show", "cloud-sync", "--json"]).succeed())
    };
    let before = show(&host);
    let file = place.path("backup");
    let backup =
        |file: &Path| host.sesame(["cicada", "identity", "backup", "cloud-sync"]).args([file]);
    let said = backup(&file).succeed();
    let sealed = fs::read(&file).unwrap();
    assert!(said.contains(&format!("{} bytes", sealed.len())), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    backup(&file).fail(9);
    assert_eq!(fs::read(&file).unwrap(), sealed);
    assert_eq!(backup(Path::new("-")).run().stdout, sealed);
    backup(&place.path("no/such/directory")).fail(25);

    let other = cicada_operator::host();
    other.unlock();
    other.sesame(["cicada", "init"]).succeed();
    let restore =
        |more: &[&str]| other.sesame(["cicada", "identity", "restore"]).args([&file]).args(more);
    let said = restore(&[]).fail(6);
    assert!(said.contains("of the time"), "{said}");
    restore(&["--key-file", key.to_str().unwrap()]).succeed();
    assert_eq!(show(&other), before);
    restore(&["--key-file", key.to_str().unwrap()]).fail(9);
    restore(&["--profile", "default"]).fail(2);

    // Sealed under the present key by now; a pipe takes it to where it came from.
    let moved = other.sesame(["cicada", "identity", "backup", "cloud-sync", "-"]).run().stdout;
    assert_ne!(moved, sealed);
    let third = cicada_operator::host();
    third.unlock();
    third.sesame(["secret", "set", "old-key"]).stdin(fs::read(&key).unwrap()).succeed();
    third.sesame(["cicada", "init"]).succeed();
    let restore = third.sesame(["cicada", "identity", "restore", "-", "--secret", "old-key"]);
    restore.stdin(sealed.clone()).succeed();
    assert_eq!(show(&third), before);

    let damaged = place.path("damaged");
    for (content, code) in [(&sealed[..100], 24), (b"{}", 24), (&[b' '; 70_000], 24)] {
        fs::write(&damaged, content).unwrap();
        third.sesame(["cicada", "identity", "restore"]).args([&damaged]).fail(code);
    }
    third.sesame(["cicada", "identity", "restore", "/nonexistent"]).fail(2);
    third.sesame(["cicada", "identity", "restore", "-", "--key-file", "-"]).fail(2);
}

#[test]
fn earlier_keys_are_shown_in_their_time_of_grace_and_no_longer() {
    let place = Place::new();
    let (host, _) = with_identity(&place);
    let show = |version: &str, option: &str| {
        let show = ["cicada", "identity", "show", "cloud-sync", "--version", version, option];
        host.sesame(show)
    };
    let [wg, ml_kem, ml_dsa] =
        ["--wg", "--ml-kem", "--ml-dsa"].map(|option| show("1", option).succeed());
    let lengths =
        [&wg, &ml_kem, &ml_dsa].map(|key| BASE64.decode(key.trim().as_bytes()).unwrap().len());
    assert_eq!(lengths, [32, 1184, 1952]);
    let rotate = |grace: &str| {
        host.sesame(["cicada", "identity", "rotate", "cloud-sync", "--grace", grace]).succeed();
    };
    rotate("1h");
    assert_eq!(show("1", "--wg").succeed(), wg);
    assert_ne!(show("2", "--wg").succeed(), wg);
    rotate("0s");
    show("2", "--wg").fail(8);
    assert_eq!(show("1", "--wg").succeed(), wg, "it keeps the hour that it was given");
    let list = json_of(&host.sesame(["cicada", "identity", "list", "--json"]).succeed());
    assert_eq!(list["identities"][0]["readable"], json!([1, 3]));
    for wrong in ["1500ms", "-1h", "3651d"] {
        let rotate = ["cicada", "identity", "rotate", "cloud-sync", "--grace", wrong];
        host.sesame(rotate).fail(2);
    }
}

#[test]
fn a_revocation_wants_the_name_typed() {
    let place = Place::new();
    let (host, _) = with_identity(&place);
    let revoke = ["cicada", "identity", "revoke", "cloud-sync"];
    // In a session of its own there is no terminal to ask on, wherever this test runs.
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(binary("sesame")).arg("--dir").arg(host.dir()).args(revoke);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    as_operator(&mut command, host.users.operator);
    let refused = outcome(command);
    assert_eq!(refused.code, 2, "{}", refused.error());
    assert!(refused.error().contains("--yes"), "{}", refused.error());
    for (typed, code) in [("y\r", 28), ("\r", 28), ("cloud-sync2\r", 28), ("cloud-sync\r", 0)] {
        assert_eq!(host.sesame(["cicada", "identity", "show", "cloud-sync"]).run().code, 0);
        let mut terminal = Terminal::sesame(&host, revoke);
        terminal.expect("Type its name");
        terminal.press(typed);
        assert_eq!(terminal.finish(), code, "{typed:?}: {}", terminal.screen());
    }
    host.sesame(["cicada", "identity", "show", "cloud-sync"]).fail(8);
    host.sesame(revoke).args(["--yes"]).fail(8);
    let list = json_of(&host.sesame(["cicada", "identity", "list", "--json"]).succeed());
    let revoked = &list["identities"][0];
    assert!(revoked["revoked"].is_string() && revoked["readable"] == json!([]), "{revoked}");
    let listed = host.sesame(["cicada", "identity", "list"]).succeed();
    assert!(listed.starts_with("cloud-sync  revoked at 2"), "{listed}");
    host.sesame(["cicada", "identity", "create", "cloud-sync"]).fail(9);
}

#[test]
fn what_was_done_stands_in_the_trail() {
    let place = Place::new();
    let (host, key) = with_identity(&place);
    let file = place.path("backup").display().to_string();
    let key = key.display();
    let lines = [
        "identity list".to_owned(),
        "identity show cloud-sync".to_owned(),
        "identity rotate cloud-sync --grace 90s".to_owned(),
        format!("identity backup cloud-sync {file}"),
        "identity revoke cloud-sync --yes".to_owned(),
        "lock".to_owned(),
        format!("unlock --key-file {key}"),
    ];
    for line in lines {
        host.sesame(["cicada"].into_iter().chain(line.split(' '))).succeed();
    }
    // Refused before there is another copy to be recorded.
    host.sesame(["cicada", "identity", "backup", "cloud-sync", &file]).fail(9);
    let entries = host.trail_lines();
    let entries = entries.iter().map(|line| json_of(line));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of_cicada = entries.filter_map(|entry| {
        let operation = text(&entry["operation"]);
        let is_of_cicada = operation.starts_with("cicada.") || operation.starts_with("identity.");
        let shown = [operation, text(&entry["outcome"]), text(&entry["subject"])].join(" ");
        is_of_cicada.then(|| shown.trim_end().to_owned())
    });
    let expected = [
        "cicada.init authorised",
        "cicada.init done",
        "identity.create authorised cloud-sync",
        "identity.create done cloud-sync",
        "identity.list authorised",
        "identity.public-key authorised cloud-sync",
        "identity.rotate authorised cloud-sync",
        "identity.rotate done cloud-sync",
        "identity.backup authorised cloud-sync",
        "identity.revoke authorised cloud-sync",
        "identity.revoke done cloud-sync",
        "cicada.lock done",
        "cicada.unlock authorised",
        "cicada.unlock done",
    ];
    assert_eq!(of_cicada.collect::<Vec<_>>(), expected);
    host.sesame(["audit", "verify"]).succeed();
}
