//! `sesame cicada identity list`

use std::fmt::Write;

use audit_log::printable;
use cicada_client::{Client, IdentitySummary};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::output::Output;

pub fn run(mut cicada: Client, output: &Output) -> Result<(), Failure> {
    let identities = cicada.identities()?;
    let json: Vec<Value> = identities.iter().map(json).collect();
    output.result(&text(&identities), json!({ "identities": json }))
}

fn text(identities: &[IdentitySummary]) -> String {
    let mut text = String::new();
    let width = identities.iter().map(|identity| identity.identity.len()).max().unwrap_or(0);
    for identity in identities {
        let name = printable(&identity.identity);
        let operations = printable(&identity.operations.join(" "));
        let _ = writeln!(text, "{name:<width$}  {}; you may {operations}", standing(identity));
    }
    if identities.is_empty() {
        text.push_str("There is no identity that you have a rule for.\n");
    }
    text
}

/// `version 2 (1 can still be read), of 2026-11-22T23:25:47Z`
fn standing(identity: &IdentitySummary) -> String {
    let created = printable(&identity.created);
    if let Some(revoked) = &identity.revoked {
        return format!("revoked at {}, of {created}", printable(revoked));
    }
    // Oldest first; the last one is the present one.
    let readable: Vec<String> = identity.readable.iter().map(u32::to_string).collect();
    match readable.split_last() {
        None => format!("no version, of {created}"),
        Some((present, [])) => format!("version {present}, of {created}"),
        Some((present, earlier)) => {
            let earlier = earlier.join(", ");
            format!("version {present} ({earlier} can still be read), of {created}")
        }
    }
}

fn json(identity: &IdentitySummary) -> Value {
    json!({
        "identity": identity.identity,
        "version": identity.version,
        "created": identity.created,
        "readable": identity.readable,
        "revoked": identity.revoked,
        "operations": identity.operations,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, readable: &[u32], revoked: Option<&str>) -> IdentitySummary {
        let summary = json!({
            "identity": name,
            "version": readable.last().unwrap_or(&0),
            "created": "2026-11-22T23:25:47Z",
            "readable": readable,
            "revoked": revoked,
            "operations": ["get_key", "sign"],
        });
        serde_json::from_value(summary).unwrap()
    }

    #[test]
    fn each_identity_is_a_line() {
        let identities = [
            identity("a", &[1], None),
            identity("cloud-sync", &[2, 3, 4], None),
            identity("old", &[], Some("2026-11-23T00:00:00Z")),
        ];
        insta::assert_snapshot!([text(&identities), text(&[])].join("\n"));
    }
}
