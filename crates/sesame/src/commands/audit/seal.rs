//! `sesame audit seal`

use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let size = context.audit()?.call(&AuditRequest::Seal, |reply| match reply {
        AuditReply::Sealed { size } => Some(size),
        _ => None,
    })?;
    let text = format!("Sealed: a signed checkpoint covers all {size} entries.\n");
    output.result(&text, json!({ "sealed": size }))
}
