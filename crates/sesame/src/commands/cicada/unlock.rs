//! `sesame cicada unlock`

use cicada_client::Client;
use serde_json::json;

use crate::cli::UnlockKey;
use crate::commands::cicada::unlock_key;
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(
    context: &Context,
    mut cicada: Client,
    output: &Output,
    arguments: &UnlockKey,
) -> Result<(), Failure> {
    let key = unlock_key::read(context, &arguments.place())?;
    cicada.unlock(&key)?;
    output.result("Cicada is unlocked.\n", json!({ "state": "unlocked" }))
}
