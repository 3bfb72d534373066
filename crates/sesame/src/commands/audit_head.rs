//! `sesame audit head`

use audit_log::Hash;
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let status = context.audit()?.call(&AuditRequest::Status, |reply| match reply {
        AuditReply::Status(status) => Some(status),
        _ => None,
    })?;
    let Some(status) = status else {
        let text = "there is no audit trail yet; run `sesame init`";
        return Err(Failure::new(Code::NOT_INITIALISED, text));
    };
    let head = Hash(status.head);
    let json = json!({ "size": status.size, "hash": head.to_string() });
    output.result(&format!("{}:{head}\n", status.size), json)
}
