//! `sesame audit verify`

use std::path::Path;

use audit_log::{Expectation, Head, Report, Verdict, Verifier, verify_bundle};
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress::Progress;

/// What the person expects of the trail.
pub fn expectation(head: Option<&str>, size: Option<u64>) -> Result<Expectation, Failure> {
    let head = head.map(parse_head).transpose()?;
    Ok(Expectation { size, head, manifest: None })
}

fn parse_head(text: &str) -> Result<Head, Failure> {
    let parsed = text
        .trim()
        .split_once(':')
        .and_then(|(size, hash)| Some(Head { size: size.parse().ok()?, hash: hash.parse().ok()? }));
    parsed.ok_or_else(|| {
        Failure::new(Code::USAGE, "a head is SIZE:HASH, as `sesame audit head` shows it")
    })
}

/// Verifies a bundle or a copy, with no daemon.
pub fn bundle(output: &Output, path: &Path, expectation: &Expectation) -> Result<(), Failure> {
    let report = verify_bundle(path, expectation)
        .map_err(|error| Failure::new(Code::FAILED, error.to_string()))?;
    show(output, &report)
}

/// Verifies the trail of this installation, as daemon-audit hands it out.
pub fn live(context: &Context, output: &Output, expectation: Expectation) -> Result<(), Failure> {
    let mut client = context.audit()?;
    let size = client.call(&AuditRequest::Status, |reply| match reply {
        AuditReply::Status(status) => Some(status.map_or(0, |status| status.size)),
        _ => None,
    })?;
    let mut verifier = Verifier::new(expectation);
    let mut progress = Progress::new("verifying", size);
    let mut done = 0;
    client.pages(0, |page| {
        for line in page.split_inclusive(|byte| *byte == b'\n') {
            // The first fault is kept; what follows it changes nothing.
            let _ = verifier.feed(line);
            done += 1;
        }
        progress.at(done);
        Ok(())
    })?;
    drop(progress);
    show(output, &verifier.finish())
}

fn show(output: &Output, report: &Report) -> Result<(), Failure> {
    let head = report.head.map(|head| head.hash.to_string());
    let json = json!({
        "verdict": report.verdict.as_str(),
        "sentence": report.to_string(),
        "entries": report.entries,
        "head": head,
        "installation": report.genesis.as_ref().map(|genesis| &genesis.installation),
        "first_bad": report.finding.as_ref().map(|finding| json!({
            "seq": finding.seq,
            "file": finding.file,
            "line": finding.line,
            "reason": finding.reason,
        })),
    });
    let mut text = format!("{report}\n");
    if let (Verdict::Sound, Some(head)) = (report.verdict, head) {
        text.push_str(&format!("{} entries, head {}:{head}\n", report.entries, report.entries));
    }
    output.result(&text, json)?;
    let number = report.verdict.exit_code();
    match Code::ALL.iter().find(|code| code.number == number) {
        _ if report.verdict == Verdict::Sound => Ok(()),
        Some(code) => Err(Failure::new(*code, "the trail is not what it should be")),
        None => Err(Failure::new(Code::FAILED, "the trail is not what it should be")),
    }
}
