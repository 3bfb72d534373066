//! `sesame factor list`

use std::fmt::Write;

use audit_log::printable;
use ipc::factors::{Enrolled, Progress, Source};
use serde_json::{Value, json};

use crate::cli::Devices;
use crate::collect::devices;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::render;

pub fn run(context: &Context, output: &Output, profile: Option<&str>) -> Result<(), Failure> {
    let enrolled = context.secrets()?.enrolled(Source::Profile(profile))?;
    output.result(&text(&enrolled), json(&enrolled))
}

fn text(enrolled: &Enrolled) -> String {
    let mut text = format!("Profile {} unlocks with {}.\n", enrolled.profile, enrolled.policy);
    for factor in &enrolled.factors {
        let label = printable(&factor.label);
        let mut line = format!("{:>4}  {:<10}  {label}", factor.id, factor.kind.as_str());
        if factor.machine {
            line.push_str(", always needed");
        }
        if let Some((threshold, shares)) = render::shares(factor) {
            let _ = write!(line, ", {threshold} of {shares} shares give it");
        }
        if factor.failures > 0 {
            let _ = write!(line, ", wrong tries: {}", factor.failures);
        }
        if factor.retry_after_seconds > 0 {
            let _ = write!(line, ", next in {}", render::duration(factor.retry_after_seconds));
        }
        text.push_str(&line);
        text.push('\n');
    }
    if let Some(pending) = &enrolled.pending {
        let purpose = pending.change.as_deref();
        let purpose = purpose.map_or("unlock".to_owned(), |text| render::change(enrolled, text));
        let left = render::duration(pending.progress.seconds_left);
        let _ = writeln!(text, "Being collected for another {left}: {purpose}.");
        let _ = writeln!(text, "{}", standing(enrolled, &pending.progress));
    }
    text
}

fn standing(enrolled: &Enrolled, progress: &Progress) -> String {
    if progress.missing.is_empty() {
        "Enough factors were given.".to_owned()
    } else {
        format!("Still needed: {}.", render::needs(enrolled, progress))
    }
}

fn json(enrolled: &Enrolled) -> Value {
    let factors = enrolled.factors.iter().map(|factor| {
        json!({
            "id": factor.id,
            "kind": factor.kind.as_str(),
            "label": factor.label,
            "machine": factor.machine,
            "parameters": serde_json::from_str::<Value>(&factor.parameters).unwrap_or_default(),
            "failures": factor.failures,
            "retry_after_seconds": factor.retry_after_seconds,
        })
    });
    json!({
        "profile": enrolled.profile,
        "policy": policy_json(enrolled),
        "generation": enrolled.generation,
        "factors": factors.collect::<Vec<_>>(),
        "needs": render::needs_json(enrolled, &enrolled.needs),
        "pending": enrolled.pending.as_ref().map(|pending| json!({
            "change": pending.change,
            "progress": render::progress_json(enrolled, &pending.progress),
        })),
    })
}

/// The policy as JSON.
pub fn policy_json(enrolled: &Enrolled) -> Value {
    let required: Vec<&str> = enrolled.policy.required.iter().map(|kind| kind.as_str()).collect();
    json!({
        "mode": enrolled.policy.mode.as_str(),
        "required": required,
        "additional_required": enrolled.policy.additional_required,
        "text": enrolled.policy.to_string(),
    })
}

/// What can be used on this machine. Needs no daemon.
pub fn available(output: &Output, devices: &Devices) -> Result<(), Failure> {
    let found = unlock_factors::available(&devices::environment(devices));
    let mut text = String::new();
    let mut list = Vec::new();
    for availability in &found {
        let (here, words) = match &availability.here {
            _ if !availability.built => (false, "not in this build"),
            Ok(words) => (true, words.as_str()),
            Err(reason) => (false, reason.as_str()),
        };
        let mark = if here { "yes" } else { "no" };
        let _ = writeln!(text, "{:<10}  {mark:<3}  {words}", availability.kind.as_str());
        list.push(json!({
            "kind": availability.kind.as_str(),
            "built": availability.built,
            "available": here,
            "detail": words,
        }));
    }
    output.result(&text, json!({ "available": list }))
}

#[cfg(test)]
mod tests {
    use ipc::factors::{Need, Pending};

    use super::*;

    #[test]
    fn a_list_says_what_there_is_and_what_is_going_on() {
        let mut enrolled = crate::render::tests::enrolled();
        enrolled.factors[0].failures = 3;
        enrolled.factors[0].retry_after_seconds = 90;
        enrolled.pending = Some(Pending {
            owner: "alice".to_owned(),
            change: Some("revoke factor 2".to_owned()),
            progress: Progress {
                given: vec![1],
                missing: vec![Need { count: 1, of: vec![3] }],
                seconds_left: 250,
                ..Progress::default()
            },
        });
        insta::assert_snapshot!(text(&enrolled));
        enrolled.pending.as_mut().unwrap().progress.missing.clear();
        assert!(text(&enrolled).ends_with("\nEnough factors were given.\n"));
    }
}
