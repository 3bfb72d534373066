//! `sesame audit export`

use std::path::Path;

use audit_log::{ExportError, Exporter};
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress::Progress;

pub fn run(context: &Context, output: &Output, directory: &Path) -> Result<(), Failure> {
    let mut client = context.audit()?;
    let mut exporter = Exporter::create(directory).map_err(failure)?;
    let destination = directory.display().to_string();
    let request = AuditRequest::BeginExport { destination: &destination };
    let last = client.call(&request, |reply| match reply {
        AuditReply::Appended { sequence } => Some(sequence),
        _ => None,
    });
    let last = match last {
        Ok(last) => last,
        Err(failure) => {
            // Nothing was written: leave nothing behind that looks like an export.
            let _ = std::fs::remove_dir(directory.join("trail"));
            let _ = std::fs::remove_dir(directory);
            return Err(failure);
        }
    };
    let mut progress = Progress::new("exporting", last + 1);
    let mut done = 0;
    client.pages(0, |page| {
        exporter.push(page).map_err(failure)?;
        done += page.iter().filter(|byte| **byte == b'\n').count() as u64;
        progress.at(done);
        Ok(())
    })?;
    drop(progress);
    let manifest = exporter.finish().map_err(failure)?;
    let text = format!(
        "Exported {} entries to {destination}, written and read back.\n\
         Head {}:{}; check it anywhere with: sesame audit verify --path {destination} \
         --expect-head {}:{}\n",
        manifest.entries, manifest.entries, manifest.head, manifest.entries, manifest.head
    );
    let json = json!({
        "directory": destination,
        "entries": manifest.entries,
        "head": manifest.head.to_string(),
    });
    output.result(&text, json)
}

fn failure(error: ExportError) -> Failure {
    let code = match &error {
        ExportError::Occupied(_) => Code::EXISTS,
        _ => Code::STORAGE,
    };
    Failure::new(code, error.to_string())
}
