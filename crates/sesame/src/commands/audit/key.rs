//! `sesame audit key` and `sesame audit rotate-key`

use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;
use tlog::PublicKeys;

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn show(context: &Context, output: &Output) -> Result<(), Failure> {
    let key = call(context, &AuditRequest::PublicKey)?;
    output.result(&key.to_string(), json(&key))
}

pub fn rotate(context: &Context, output: &Output) -> Result<(), Failure> {
    let key = call(context, &AuditRequest::RotateKey)?;
    let text = format!(
        "The trail is signed by a new key from here on; the old one signed it into the trail and is \
         gone.\nWhoever verifies with the old public key can go on doing so. The new one:\n{key}"
    );
    output.result(&text, json(&key))
}

fn json(key: &PublicKeys) -> serde_json::Value {
    json!({
        "name": key.name().to_string(),
        "ed25519": key.ed25519().to_string(),
        "ml_dsa_44": key.ml_dsa_44().to_string(),
    })
}

fn call(context: &Context, request: &AuditRequest<'_>) -> Result<PublicKeys, Failure> {
    let text = context.audit()?.call(request, |reply| match reply {
        AuditReply::PublicKey(key) => Some(key.to_owned()),
        _ => None,
    })?;
    text.parse().map_err(|error| {
        Failure::new(Code::MALFORMED, format!("daemon-audit sent what is no public key: {error}"))
    })
}
