//! `sesame audit prove`

use std::path::PathBuf;

use audit_log::{ProveError, Prover, prove_offline};
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;
use site_config::durable::create_new_atomically;
use tlog::{SignedCheckpoint, TlogProof};

use crate::cli::Prove;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress::Progress;

pub fn run(
    context: impl FnOnce() -> Result<Context, Failure>,
    output: &Output,
    arguments: &Prove,
) -> Result<(), Failure> {
    let seq = arguments.entry;
    let proof = match &arguments.path {
        Some(path) => prove_offline(path, seq).map_err(failure)?,
        None => live(&context()?, seq)?,
    };
    let path = arguments.output.clone();
    let path = path.unwrap_or_else(|| PathBuf::from(format!("entry-{seq}.tlog-proof")));
    let shown = path.display();
    create_new_atomically(&path, proof.to_string().as_bytes(), 0o644).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::AlreadyExists => Code::EXISTS,
            _ => Code::STORAGE,
        };
        Failure::new(code, format!("cannot write {shown}: {error}; choose another with --output"))
    })?;
    let size = proof.checkpoint.checkpoint().size;
    let text = format!(
        "{shown} proves entry {seq}, in the trail of {size} entries.\nCheck it anywhere with: sesame \
         audit verify-proof {shown} --key FILE\n"
    );
    output.result(&text, json!({ "file": path.display().to_string(), "seq": seq, "size": size }))
}

/// From the trail of this installation, under its newest checkpoint.
fn live(context: &Context, seq: u64) -> Result<TlogProof, Failure> {
    let mut client = context.audit()?;
    let entries = client.call(&AuditRequest::Status, |reply| match reply {
        AuditReply::Status(status) => Some(status.map_or(0, |status| status.size)),
        _ => None,
    })?;
    if seq >= entries {
        let text = format!("there is no entry {seq}: the trail has {entries}, from 0 on");
        return Err(Failure::new(Code::NOT_FOUND, text));
    }
    let mut newest = None;
    client.checkpoints(u64::MAX, |size, note| {
        newest = Some((size, note.to_vec()));
        Ok(())
    })?;
    let unsealed = |sealed| failure(ProveError::Unsealed { seq, sealed });
    let (size, note) = newest.ok_or_else(|| unsealed(0))?;
    let checkpoint = SignedCheckpoint::parse(&note)
        .map_err(|error| Failure::new(Code::MALFORMED, error.to_string()))?;
    let mut prover = Prover::new(seq, checkpoint).ok_or_else(|| unsealed(size))?;
    let mut progress = Progress::new("proving", size);
    let mut done = 0;
    client.pages(0..size, |page| {
        for line in page.split_inclusive(|byte| *byte == b'\n') {
            prover.push(line);
            done += 1;
        }
        progress.at(done);
        Ok(())
    })?;
    prover.finish().map_err(failure)
}

fn failure(error: ProveError) -> Failure {
    let code = match &error {
        ProveError::Unsealed { .. } => Code::UNSEALED,
        ProveError::Disagree => Code::REWRITTEN,
        ProveError::Damaged(report) => report.verdict.into(),
        ProveError::Unreadable(_) => Code::FAILED,
    };
    Failure::new(code, error.to_string())
}
