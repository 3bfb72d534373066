//! `sesame factor cancel`

use ipc::factors::Source;
use ipc::secrets::SecretsRequest;
use serde_json::json;

use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(
    context: &Context,
    output: &Output,
    profile: Option<&str>,
    restore: Option<&str>,
) -> Result<(), Failure> {
    let source = restore.map_or(Source::Profile(profile), Source::Restore);
    context.secrets()?.done(&SecretsRequest::FactorCancel { source })?;
    let json = json!({ "profile": restore.or(profile), "cancelled": true });
    output.result("What was given of factors is forgotten.\n", json)
}
