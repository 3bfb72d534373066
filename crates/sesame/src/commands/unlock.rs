//! `sesame unlock`

use ipc::secrets::SecretsRequest;
use serde_json::json;

use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;
use crate::password::PasswordSource;

pub fn run(
    context: &Context,
    output: &Output,
    profile: Option<&str>,
    password: &PasswordSource,
) -> Result<(), Failure> {
    let mut client = context.secrets()?;
    let which = profile.map_or("the default profile".to_owned(), |name| format!("profile {name}"));
    let password = password.ask(&format!("Password for {which}: "))?;
    client.done(&SecretsRequest::Unlock { profile, password: password.expose() })?;
    let mut which = which;
    if let Some(first) = which.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    output.result(&format!("{which} is unlocked.\n"), json!({ "unlocked": profile }))
}
