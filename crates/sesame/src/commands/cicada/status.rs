//! `sesame cicada status`: how the daemon is, and what it finds of its own isolation.

use std::collections::BTreeMap;
use std::fmt::Write;

use audit_log::printable;
use cicada_client::{Client, IsolationCheck, State, Status};
use serde_json::{Value, json};

use crate::exit::{Code, Failure};
use crate::output::{Colour, Output};

pub fn run(mut cicada: Client, output: &Output) -> Result<(), Failure> {
    let status = cicada.status()?;
    output.result(&text(output, &status), json(&status))?;
    let failed = status.isolation.iter().filter(|check| !holds(check)).count();
    match failed {
        0 => Ok(()),
        _ => {
            let text = format!(
                "{failed} of cicada's isolation checks fail; as root, `cicada verify-isolation` looks \
                 from outside"
            );
            Err(Failure::new(Code::BELOW_FLOOR, text))
        }
    }
}

/// What is skipped isn't asked for here. A word that this version doesn't know is no pass.
fn holds(check: &IsolationCheck) -> bool {
    ["pass", "skip"].contains(&check.status.as_str())
}

/// The state as the protocol calls it.
pub const fn word(state: State) -> &'static str {
    match state {
        State::Unlocked => "unlocked",
        State::Locked => "locked",
        State::Uninitialised => "uninitialised",
    }
}

fn text(output: &Output, status: &Status) -> String {
    let mut text = String::new();
    let state = match status.state {
        State::Unlocked if status.identities == 1 => "unlocked, 1 identity".to_owned(),
        State::Unlocked => format!("unlocked, {} identities", status.identities),
        State::Locked => "locked; next: sesame cicada unlock".to_owned(),
        State::Uninitialised => "no key store yet; next: sesame cicada init".to_owned(),
    };
    let _ = writeln!(text, "state       {state}");
    let _ = writeln!(text, "version     {}", printable(&status.version));
    for (label, names) in [("keys", &status.types), ("algorithms", &status.algorithms)] {
        text.push_str(&named(label, names));
    }
    text.push_str("isolation\n");
    let width = status.isolation.iter().map(|check| check.check.len()).max().unwrap_or(0);
    for check in &status.isolation {
        let colour = match check.status.as_str() {
            "pass" => Colour::Green,
            "skip" => Colour::Yellow,
            _ => Colour::Red,
        };
        // Padded before it is painted: escape sequences have no width.
        let word = output.paint(colour, &format!("{:<4}", printable(&check.status)));
        let (name, found) = (printable(&check.check), printable(&check.found));
        let _ = writeln!(text, "  {word}  {name:<width$}  {found}");
    }
    text
}

/// What the protocol's names stand for, one a line.
fn named(label: &str, names: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut label = label;
    for (name, meaning) in names {
        let _ = writeln!(text, "{label:<10}  {}: {}", printable(name), printable(meaning));
        label = "";
    }
    text
}

fn json(status: &Status) -> Value {
    let checks = status
        .isolation
        .iter()
        .map(|check| json!({ "check": check.check, "status": check.status, "found": check.found }));
    json!({
        "state": word(status.state),
        "version": status.version,
        "identities": status.identities,
        "types": status.types,
        "algorithms": status.algorithms,
        "isolation": checks.collect::<Vec<_>>(),
        "isolation_holds": status.isolation.iter().all(holds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(check: &str, status: &str, found: &str) -> IsolationCheck {
        let [check, status, found] = [check, status, found].map(str::to_owned);
        IsolationCheck { check, status, found }
    }

    fn status(state: State) -> Status {
        let names = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, meaning)| ((*name).into(), (*meaning).into())).collect()
        };
        Status {
            state,
            version: "0.1.0".to_owned(),
            identities: 2,
            types: names(&[("x25519+kyber768", "X25519 (RFC 7748) with ML-KEM-768 (FIPS 203)")]),
            algorithms: names(&[
                ("dilithium3", "ML-DSA-65 (FIPS 204)"),
                ("kyber768", "ML-KEM-768 (FIPS 203)"),
            ]),
            isolation: vec![
                check("capabilities", "pass", "none on 17 of 17 threads"),
                check("tmp", "skip", "given by cicada.service only; here: none"),
                check("families", "fail", "not denied: VSOCK"),
            ],
        }
    }

    #[test]
    fn a_status_names_the_standards_and_each_check() {
        let output = Output::new(false);
        let mut texts = [State::Unlocked, State::Locked, State::Uninitialised].map(status);
        texts[1].isolation.truncate(1);
        texts[2].isolation.clear();
        insta::assert_snapshot!(texts.map(|status| text(&output, &status)).join("\n"));
    }

    #[test]
    fn only_pass_and_skip_hold() {
        let mut status = status(State::Unlocked);
        assert_eq!(json(&status)["isolation_holds"], false);
        status.isolation.pop();
        assert_eq!(json(&status)["isolation_holds"], true);
        status.isolation.push(check("new", "unclear", "?"));
        assert_eq!(json(&status)["isolation_holds"], false);
    }

    #[test]
    fn what_a_daemon_says_moves_no_cursor() {
        let mut status = status(State::Unlocked);
        status.isolation = vec![check("a\u{1b}[2J", "pass", "\u{202e}b")];
        let text = text(&Output::new(false), &status);
        assert!(text.contains("a\\u{1b}[2J") && text.contains("\\u{202e}b"), "{text}");
    }
}
