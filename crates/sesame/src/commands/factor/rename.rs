//! `sesame factor rename`

use ipc::factors::{Change, Source};
use ipc::secrets::SecretsRequest;
use serde_json::json;

use crate::cli::Giving;
use crate::collect::{authorise, find, free_label};
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::password::Passwords;
use crate::render;

pub fn run(
    context: &Context,
    output: &Output,
    factor: &str,
    new: &str,
    profile: Option<&str>,
    giving: &Giving,
) -> Result<(), Failure> {
    let source = Source::Profile(profile);
    let enrolled = context.secrets()?.enrolled(source)?;
    let label = free_label(&enrolled, new)?;
    let factor = find(&enrolled, factor)?;
    let change = Change::Rename { factor: factor.id, label };
    let mut passwords = Passwords::new(&giving.password);
    authorise(context, source, change, &giving.devices, &mut passwords)?;
    context.secrets()?.done(&SecretsRequest::FactorRename { profile, factor: factor.id, label })?;
    let text = format!("{} is now called \"{label}\".\n", render::factor(factor));
    let json = json!({ "profile": enrolled.profile, "id": factor.id, "label": label });
    output.result(&text, json)
}
