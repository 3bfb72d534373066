//! `sesame key`: the key by which the daemons know this person; `sesame key rotate`: a profile's.

use ipc::factors::{Change, Source};
use ipc::secrets::SecretsRequest;
use serde_json::json;

use crate::cli::Giving;
use crate::collect::authorise;
use crate::commands::provision::{hex, load_or_make};
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::password::Passwords;

pub fn show(context: &Context, output: &Output) -> Result<(), Failure> {
    let path = context.site.layout.operator_key()?;
    let public = hex(load_or_make(path)?.public());
    let json = json!({ "public": public, "file": path.display().to_string() });
    output.result(&format!("{public}\n"), json)
}

pub fn rotate(
    context: &Context,
    output: &Output,
    profile: Option<&str>,
    giving: &Giving,
) -> Result<(), Failure> {
    let mut passwords = Passwords::new(&giving.password);
    let source = Source::Profile(profile);
    let enrolled = authorise(context, source, Change::RotateKey, &giving.devices, &mut passwords)?;
    context.secrets()?.done(&SecretsRequest::KeyRotate { profile })?;
    let text = format!(
        "Profile {} has a new master key, and its vault is encrypted anew. Its factors are the same.\n",
        enrolled.profile
    );
    output.result(&text, json!({ "rotated": enrolled.profile }))
}
