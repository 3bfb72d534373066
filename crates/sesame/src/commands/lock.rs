//! `sesame lock`

use ipc::secrets::SecretsRequest;
use serde_json::json;

use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(context: &Context, output: &Output, profile: Option<&str>) -> Result<(), Failure> {
    context.secrets()?.done(&SecretsRequest::Lock { profile })?;
    let text = match profile {
        Some(name) => format!("Profile {name} is locked.\n"),
        None => "Everything is locked.\n".to_owned(),
    };
    output.result(&text, json!({ "locked": profile.unwrap_or("all") }))
}
