//! A first day with Sesame as a transcript: what is typed, and what comes back.

#[path = "common/durations.rs"]
mod durations;
#[path = "common/redact.rs"]
mod redact;

use durations::without_durations;
use redact::redact;
use testbed::{Host, PASSWORD};

const BOB: &str = "bob's own password";

/// Runs the lines one after the other. `<<< TEXT` is standard input; `--password-stdin` has the
/// password there.
fn transcript(host: &Host, lines: &[&str]) -> String {
    let mut shown = String::new();
    for line in lines {
        let (args, stdin) = line.split_once(" <<< ").unwrap_or((line, ""));
        let stdin = match stdin {
            "" if args.ends_with("--password-stdin") => PASSWORD.to_owned(),
            "alice's and bob's" => format!("{PASSWORD}\n{BOB}\n"),
            "bob's" => BOB.to_owned(),
            "nothing" => String::new(),
            text => text.to_owned(),
        };
        let outcome = host.sesame(args.split(' ')).stdin(stdin).run();
        shown.push_str(&format!("$ sesame {line}\n{}{}", outcome.text(), outcome.error()));
        if outcome.code != 0 {
            shown.push_str(&format!("[{}]\n", outcome.code));
        }
        shown.push('\n');
    }
    redact(host, &shown)
}

#[test]
fn a_first_day_reads_well() {
    let mut host = Host::builder().config("[unlock]\nauto_lock_seconds = 600\n").provision();
    host.start();
    let shown = transcript(
        &host,
        &[
            "status",
            "init --org org.example --password-stdin",
            "status",
            "unlock --password-stdin",
            "secret set db/password <<< hunter2",
            "secret set db/password <<< hunter3",
            "secret set api token <<< x",
            "secret set api/token <<< abc",
            "secret list",
            "secret get db/password --json",
            "secret delete api/token",
            "secret list --json",
            "profile create work --password-stdin",
            "profile list",
            "profile default work",
            "secret list",
            "unlock --profile work --password-stdin",
            "profile deactivate work",
            "profile list",
            "profile activate work",
            "profile list --json",
            "run --secret DB=db/password --profile default -- printenv DB",
            "status",
            "status --json",
            "lock --profile work",
            "lock",
            "audit tail -n 60",
            "audit verify",
            "audit seal",
            "audit verify --require-sealed",
            "audit head",
            "audit key",
            "audit rotate-key",
            "audit tail -n 2",
            "config show",
            "config show --json",
            "config check",
            "policy show",
        ],
    );
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let shown = shown.replace(&version, "\"version\":\"[version]\"");
    if host.users.are_separate() {
        insta::assert_snapshot!("first_day", shown);
    }
}

/// Two people, a recovery for three custodians, and a policy that needs both.
#[test]
fn a_day_with_several_factors_reads_well() {
    let mut host = Host::builder().config("[unlock]\nauto_lock_seconds = 600\n").provision();
    host.start();
    let shown = transcript(
        &host,
        &[
            "init --factor password=alice --password-stdin",
            "factor list",
            "unlock --password-stdin",
            "factor enroll password --label bob --password-stdin <<< alice's and bob's",
            "factor list",
            "factor test bob --password-stdin <<< bob's",
            "factor test alice --password-stdin <<< bob's",
            "factor rename bob robert --password-stdin",
            "factor policy",
            "factor policy policy --require password --password-stdin",
            "factor policy all --password-stdin",
            "factor policy --json",
            "lock",
            "unlock --password-stdin",
            "factor list",
            "status",
            "unlock --password-stdin <<< bob's",
            "key rotate --password-stdin",
            "factor list",
            "factor approve --yes --password-stdin <<< bob's",
            "key rotate --password-stdin <<< nothing",
            "factor revoke robert --password-stdin",
            "factor cancel",
            "factor revoke robert --password-stdin <<< alice's and bob's",
            "vault backup /tmp/never/backup",
            "factor list",
            "audit tail -n 60",
            "audit verify",
        ],
    );
    if host.users.are_separate() {
        insta::assert_snapshot!("several_factors", without_durations(&shown));
    }
}

#[test]
fn the_trail_is_the_same_for_a_person_and_for_a_program() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "x"]).stdin("value").succeed();
    let tail = host.sesame(["audit", "tail", "-n", "3"]).succeed();
    let json = host.sesame(["audit", "tail", "-n", "3", "--json"]).succeed();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let entries = json["entries"].as_array().expect("a list");
    assert_eq!((entries.len(), tail.lines().count()), (3, 3));
    let lines = host.trail_lines();
    assert_eq!(json["size"], lines.len());
    for ((entry, shown), line) in entries.iter().zip(tail.lines()).zip(&lines[lines.len() - 3..]) {
        let stored: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(*entry, stored, "as it is on disk");
        for field in ["time", "operation", "outcome", "subject", "profile"] {
            if let Some(word) = stored[field].as_str() {
                assert!(shown.contains(word), "{field} in {shown}");
            }
        }
    }
    assert_eq!(host.sesame(["audit", "tail", "-n", "0"]).succeed(), "");
    let all = host.sesame(["audit", "tail", "-n", "99999"]).succeed();
    assert_eq!(all.lines().count(), lines.len());
}
