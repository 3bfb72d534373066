//! `sesame audit export`

use std::path::Path;

use audit_log::{ExportError, Exporter, Manifest};
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use super::head;
use crate::cli::Export;
use crate::connect::{AuditClient, Context};
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress::Progress;

pub fn run(context: &Context, output: &Output, arguments: &Export) -> Result<(), Failure> {
    let destination = arguments.destination.display().to_string();
    let mut client = context.audit()?;
    let request = AuditRequest::BeginExport { destination: &destination };
    let size = client.call(&request, |reply| match reply {
        AuditReply::Sealed { size } => Some(size),
        _ => None,
    })?;
    let written = write(&mut client, &arguments.destination, size);
    let failure = written.as_ref().err().map(|failure| recordable(&failure.message));
    let request =
        AuditRequest::FinishExport { destination: &destination, failure: failure.as_deref() };
    let recorded = client.call(&request, |reply| match reply {
        AuditReply::Appended { .. } => Some(()),
        _ => None,
    });
    let manifest = written?;
    recorded.map_err(|failure| {
        let text = format!(
            "the export is complete and sound, and that could not be recorded: {}",
            failure.message
        );
        Failure { message: text, ..failure }
    })?;
    let words = head::words(manifest.head())?;
    let text = format!(
        "Exported {} entries to {destination}, written and read back.\n\
         The head, for paper:\n{}\n\
         Check it anywhere with: sesame audit verify --path {destination} --expect-head -\n",
        manifest.entries,
        head::wrap(&words),
    );
    let json = json!({
        "destination": destination,
        "entries": manifest.entries,
        "root": manifest.root.to_string(),
        "words": words.join(" "),
    });
    output.result(&text, json)
}

/// Writes the first `size` entries, which is where the newest checkpoint is.
fn write(client: &mut AuditClient, path: &Path, size: u64) -> Result<Manifest, Failure> {
    let mut exporter = Exporter::create(path).map_err(failure)?;
    let mut progress = Progress::new("exporting", size);
    let mut done = 0;
    client.pages(0..size, |page| {
        exporter.push(page).map_err(failure)?;
        done += page.iter().filter(|byte| **byte == b'\n').count() as u64;
        progress.at(done);
        Ok(())
    })?;
    client.checkpoints(size, |size, note| exporter.push_checkpoint(size, note).map_err(failure))?;
    exporter.finish().map_err(failure)
}

/// Why it failed, as an entry can have it.
fn recordable(message: &str) -> String {
    audit_log::printable(message).chars().take(200).collect()
}

fn failure(error: ExportError) -> Failure {
    let code = match &error {
        ExportError::Occupied(_) => Code::EXISTS,
        _ => Code::STORAGE,
    };
    Failure::new(code, error.to_string())
}
