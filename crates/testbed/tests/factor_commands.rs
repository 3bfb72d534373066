//! Factors with the real command: on one terminal, spread over two, and from standard input.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::os::unix::fs::chown;

use serde_json::Value;
use site_config::{AuthMode, UnlockPolicy};
use testbed::factors::{PATIENT, auth, mode, policy};
use testbed::terminal::Terminal;
use testbed::{Host, PASSWORD};

const A: &str = "the first password";
const B: &str = "the second password";
const C: &str = "the third password";
const INCOMPLETE: i32 = 29;

fn host_of(policy: &UnlockPolicy) -> Host {
    let config = format!("{PATIENT}{}", auth(policy));
    Host::builder().config(&config).with_passwords(&[("alice", A), ("bob", B)])
}

fn state(host: &Host) -> String {
    let status = host.sesame(["--json", "status"]).succeed();
    let status: Value = serde_json::from_str(&status).unwrap();
    status["profiles"][0]["state"].as_str().unwrap().to_owned()
}

fn answer(terminal: &mut Terminal, prompt: &str, text: &str) {
    terminal.expect_prompt(prompt);
    terminal.press(format!("{text}\r"));
}

/// The lines of a text and Enter for each.
fn passwords(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn init_asks_for_each_factor_and_the_policy_holds_from_then_on() {
    let mut host = Host::builder().config(&auth(&mode(AuthMode::All))).provision();
    host.start();
    let arguments = ["init", "--factor", "password=alice", "--factor", "password=bob"];
    let mut terminal = Terminal::sesame(&host, arguments);
    for text in [A, B] {
        answer(&mut terminal, ": ", text);
        answer(&mut terminal, "The same again: ", text);
    }
    assert_eq!(terminal.finish(), 0, "{}", terminal.screen());
    let said = host.sesame(["unlock", "--password-stdin"]).stdin(A).fail(INCOMPLETE);
    assert!(said.contains("bob") && said.contains("sesame unlock"), "{said}");
    host.sesame(["unlock", "--password-stdin"]).stdin(B).succeed();
    assert_eq!(state(&host), "active");
}

#[test]
fn an_unlock_is_spread_over_two_terminals() {
    let host = host_of(&mode(AuthMode::All));
    let mut first = Terminal::sesame(&host, ["unlock"]);
    answer(&mut first, "Password (alice, bob): ", A);
    answer(&mut first, "Password (bob): ", "");
    assert_eq!(first.finish(), INCOMPLETE, "{}", first.screen());
    assert!(first.screen().contains("still needed"), "{}", first.screen());
    assert!(first.screen().contains("sesame unlock"), "{}", first.screen());
    assert_eq!(state(&host), "locked");
    let listed = host.sesame(["factor", "list"]).succeed();
    assert!(listed.contains("Being collected") && listed.contains("bob"), "{listed}");
    let mut second = Terminal::sesame(&host, ["unlock"]);
    answer(&mut second, "Password (bob): ", "not the password");
    answer(&mut second, "Password (bob): ", B);
    second.expect("is unlocked");
    assert_eq!(second.finish(), 0);
    for terminal in [&first, &second] {
        for text in [A, B] {
            assert!(!terminal.screen().contains(text));
        }
    }
    assert_eq!(state(&host), "active");
}

#[test]
fn both_passwords_come_from_one_standard_input_in_any_order() {
    let host = host_of(&mode(AuthMode::All));
    for lines in [[A, B], [B, A]] {
        host.sesame(["unlock", "--password-stdin"]).stdin(passwords(&lines)).succeed();
        assert_eq!(state(&host), "active");
        host.sesame(["lock"]).succeed();
    }
    let both_wrong = passwords(&["not the first", B]);
    host.sesame(["unlock", "--password-stdin"]).stdin(both_wrong).fail(6);
    assert_eq!(state(&host), "locked");
}

#[test]
fn a_change_is_asked_for_on_one_terminal_and_approved_on_another() {
    let host = host_of(&policy("", 2));
    let enroll = ["factor", "enroll", "password", "--label", "carol"];
    let mut first = Terminal::sesame(&host, enroll);
    answer(&mut first, "Password (alice, bob): ", B);
    answer(&mut first, "Password (alice): ", "");
    assert_eq!(first.finish(), INCOMPLETE, "{}", first.screen());
    assert!(first.screen().contains("sesame factor approve"), "{}", first.screen());
    // Whoever approves sees what, and nothing else can be done with it.
    host.sesame(["unlock", "--password-stdin"]).stdin(A).fail(27);
    let mut second = Terminal::sesame(&host, ["factor", "approve"]);
    second.expect("carol");
    second.expect("[y/N]");
    second.press("n\r");
    assert_eq!(second.finish(), 28, "{}", second.screen());
    let mut second = Terminal::sesame(&host, ["factor", "approve"]);
    second.expect("[y/N]");
    second.press("y\r");
    answer(&mut second, "Password (alice): ", A);
    second.expect("Enough factors were given");
    assert_eq!(second.finish(), 0, "{}", second.screen());
    let mut first = Terminal::sesame(&host, enroll);
    for prompt in ["New password", "The same again"] {
        answer(&mut first, prompt, C);
    }
    assert_eq!(first.finish(), 0, "{}", first.screen());
    let listed = host.sesame(["factor", "list"]).succeed();
    assert!(listed.contains("carol") && !listed.contains("Being collected"), "{listed}");
    host.sesame(["unlock", "--password-stdin"]).stdin(passwords(&[C, A])).succeed();
    host.sesame(["factor", "approve"]).fail(8);
}

#[test]
fn each_change_works_from_standard_input() {
    let host = host_of(&mode(AuthMode::Any));
    let with = |line: &str, lines: &[&str]| {
        let arguments = line.split(' ').chain(["--password-stdin"]);
        host.sesame(arguments).stdin(passwords(lines)).succeed()
    };
    with("unlock", &[A]);
    host.sesame(["secret", "set", "a"]).stdin("value").succeed();
    with("factor enroll password --label carol", &[A, C]);
    let listed: Value =
        serde_json::from_str(&host.sesame(["--json", "factor", "list"]).succeed()).unwrap();
    let labels: Vec<&str> = listed["factors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|factor| factor["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["alice", "bob", "carol"]);
    with("factor test carol", &[C]);
    host.sesame(["factor", "test", "carol", "--password-stdin"]).stdin(A).fail(6);
    with("factor rename carol caroline", &[A]);
    with("factor revoke bob", &[A]);
    with("key rotate", &[C]);
    let shown = host.sesame(["factor", "policy"]).succeed();
    assert!(shown.contains("any one factor"), "{shown}");
    with("factor policy all", &[A]);
    host.sesame(["lock"]).succeed();
    host.sesame(["unlock", "--password-stdin"]).stdin(A).fail(INCOMPLETE);
    with("unlock", &[C]);
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "value");
    host.sesame(["factor", "revoke", "nobody", "--password-stdin"]).stdin(A).fail(8);
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn what_the_site_demands_is_not_changed_by_a_command() {
    let mut host = Host::builder().provision();
    let locked = "[[policy]]\nkey = \"auth.mode\"\nvalue = \"all\"\nsource = \"the board\"\n";
    fs::write(host.layout.policy_file(), locked).unwrap();
    host.start();
    host.init();
    let change = ["factor", "policy", "any", "--password-stdin"];
    let said = host.sesame(change).stdin(PASSWORD).fail(24);
    assert!(said.contains("the board"), "{said}");
}

#[test]
fn shares_are_split_shown_proved_and_typed_back() {
    let host = host_of(&mode(AuthMode::Any));
    let split = ["--json", "share", "split", "--threshold", "2", "--shares", "3", "--show-all"];
    let made = host.sesame(split).args(["--password-stdin"]).stdin(A).succeed();
    let made: Value = serde_json::from_str(&made).unwrap();
    let shares: Vec<(String, String)> = made["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| {
            let text = |name: &str| share[name].as_str().unwrap().to_owned();
            (text("words"), text("code"))
        })
        .collect();
    assert_eq!(shares.len(), 3);
    for (words, code) in &shares {
        for text in [words, code] {
            let verify = host.sesame(["share", "verify", "--share-stdin"]);
            let said = verify.stdin(text.as_str()).succeed();
            assert!(said.contains("is intact"), "{said}");
        }
    }
    let (first, rest) = shares[0].0.split_once(' ').unwrap();
    let swapped = format!("{rest} {first}");
    host.sesame(["share", "verify", "--share-stdin"]).stdin(swapped).fail(24);
    // In the place of a password it would not be read: that is said.
    let unlock = ["unlock", "--factor", "recovery", "--password-stdin"];
    let said = host.sesame(unlock).stdin(shares[0].1.as_str()).fail(2);
    assert!(said.contains("is no password"), "{said}");
    // One custodian on each terminal, and nothing of a share stays on it.
    let mut one = Terminal::sesame(&host, ["unlock", "--factor", "recovery"]);
    answer(&mut one, "2 more needed: ", &shares[2].1);
    answer(&mut one, "1 more needed: ", "");
    assert_eq!(one.finish(), INCOMPLETE, "{}", one.screen());
    assert_eq!(state(&host), "locked");
    let mut other = Terminal::sesame(&host, ["unlock", "--factor", "recovery"]);
    answer(&mut other, "1 more needed: ", &shares[0].0);
    other.expect("is unlocked");
    assert_eq!(other.finish(), 0);
    for terminal in [one, other] {
        let word = shares[0].0.split(' ').nth(5).unwrap();
        assert!(!terminal.screen().contains(word) && !terminal.screen().contains("SHARE:"));
    }
}

#[test]
fn a_backup_goes_into_a_file_and_comes_back_under_another_name() {
    let host = host_of(&policy("", 2));
    host.sesame(["unlock", "--password-stdin"]).stdin(passwords(&[A, B])).succeed();
    host.sesame(["secret", "set", "a"]).stdin("value").succeed();
    let place = tempfile::tempdir_in("/tmp").unwrap();
    chown(place.path(), Some(host.users.operator), None).unwrap();
    let file = place.path().join("backup");
    host.sesame(["vault", "backup"]).args([&file]).succeed();
    host.sesame(["vault", "backup"]).args([&file]).fail(9);
    let restore = |profile: &str, lines: &[&str]| {
        let command = host.sesame(["vault", "restore", "--profile", profile, "--password-stdin"]);
        command.args([&file]).stdin(passwords(lines)).run()
    };
    let one = restore("copy", &[A]);
    assert_eq!(one.code, INCOMPLETE, "{}", one.error());
    assert!(one.error().contains("sesame factor approve --restore copy"), "{}", one.error());
    let approve = ["factor", "approve", "--restore", "copy", "--yes", "--password-stdin"];
    host.sesame(approve).stdin(B).succeed();
    let done = restore("copy", &[]);
    assert_eq!(done.code, 0, "{}", done.error());
    let unlock = ["unlock", "--profile", "copy", "--password-stdin"];
    host.sesame(unlock).stdin(passwords(&[B, A])).succeed();
    assert_eq!(host.sesame(["secret", "get", "a", "--profile", "copy"]).succeed(), "value");
    assert_eq!(restore("copy", &[A, B]).code, 9);
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&file, damaged).unwrap();
    assert_eq!(restore("third", &[A, B]).code, 26);
    let listed = host.sesame(["profile", "list"]).succeed();
    assert!(!listed.contains("third"), "{listed}");
}
