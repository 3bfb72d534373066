//! `sesame audit verify`

use std::collections::BTreeMap;

use audit_log::{Expectation, Report, Verdict, Verifier, verify_bundle_with};
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use super::{head, pins};
use crate::cli::Verify;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress::Progress;

pub fn run(
    context: impl FnOnce() -> Result<Context, Failure>,
    output: &Output,
    arguments: &Verify,
) -> Result<(), Failure> {
    let expectation = Expectation {
        size: arguments.expect_size,
        head: pins::head(&arguments.expect_head)?,
        require_sealed: arguments.require_sealed,
        ..pins::expectation(&arguments.pin)?
    };
    let report = match &arguments.path {
        Some(path) => {
            let mut progress = Progress::new("verifying", 0);
            verify_bundle_with(path, &expectation, &mut |done, total| progress.of(done, total))
                .map_err(|error| Failure::new(Code::FAILED, error.to_string()))?
        }
        None => live(&context()?, &expectation)?,
    };
    show(output, &report, &expectation)
}

/// Verifies the trail of this installation, as daemon-audit hands it out.
fn live(context: &Context, expectation: &Expectation) -> Result<Report, Failure> {
    let mut client = context.audit()?;
    let size = client.call(&AuditRequest::Status, |reply| match reply {
        AuditReply::Status(status) => Some(status.map_or(0, |status| status.size)),
        _ => None,
    })?;
    // Up to here, entries and checkpoints belong together; later ones come while we read.
    let mut checkpoints = BTreeMap::new();
    client.checkpoints(size, |size, note| {
        checkpoints.insert(size, note.to_vec());
        Ok(())
    })?;
    let mut verifier = Verifier::with_checkpoints(expectation.clone(), checkpoints);
    let mut progress = Progress::new("verifying", size);
    let mut done = 0;
    client.pages(0..size, |page| {
        for line in page.split_inclusive(|byte| *byte == b'\n') {
            // The first fault is kept; what follows it changes nothing.
            let _ = verifier.feed(line);
            done += 1;
        }
        progress.at(done);
        Ok(())
    })?;
    Ok(verifier.finish())
}

fn show(output: &Output, report: &Report, expectation: &Expectation) -> Result<(), Failure> {
    let json = json!({
        "verdict": report.verdict.as_str(),
        "sentence": report.to_string(),
        "entries": report.entries,
        "root": report.head.map(|head| head.root.to_string()),
        "sealed": report.sealed,
        "installation": report.genesis.as_ref().map(|genesis| &genesis.installation),
        "key": report.keys.as_ref().map(|keys| keys.ed25519().to_string()),
        "key_expected": report.key_was_given,
        "cosigners": report.cosigners,
        "first_bad": report.finding.as_ref().map(|finding| json!({
            "seq": finding.seq,
            "file": finding.file,
            "line": finding.line,
            "reason": finding.reason,
        })),
    });
    output.result(&text(report, expectation)?, json)?;
    match report.verdict {
        Verdict::Sound => Ok(()),
        verdict => Err(Failure::new(verdict.into(), "the trail is not what it should be")),
    }
}

fn text(report: &Report, expectation: &Expectation) -> Result<String, Failure> {
    let mut text = format!("{report}\n");
    let (Verdict::Sound, Some(at)) = (report.verdict, report.head) else { return Ok(text) };
    if report.key_was_given {
        let signed = match report.sealed {
            Some(sealed) if sealed < report.entries => {
                format!("The first {sealed} of {} entries are", report.entries)
            }
            _ => "All of it is".to_owned(),
        };
        text.push_str(&format!("{signed} signed by the key that you gave.\n"));
    }
    if let Some(head) = &expectation.head {
        text.push_str(&format!("It has the head of {} entries that you gave.\n", head.size));
    }
    if !report.cosigners.is_empty() {
        let sealed = report.sealed.unwrap_or(0);
        let names = report.cosigners.join(", ");
        text.push_str(&format!("The first {sealed} entries are cosigned by {names}.\n"));
    }
    text.push_str(&format!("{at}\n{}\n", head::wrap(&head::words(at)?)));
    let is_vouched_for = expectation.key.is_some() || !expectation.witnesses.is_empty();
    if !is_vouched_for && expectation.head.is_none() {
        text.push_str(
            "Somebody who could write all of it would pass too: compare these words with those on \
             paper,\nor give the key (--key FILE).\n",
        );
    }
    Ok(text)
}
