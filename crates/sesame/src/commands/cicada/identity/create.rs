//! `sesame cicada identity create`

use cicada_client::Client;

use crate::commands::cicada::identity::public_key;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(mut cicada: Client, output: &Output, name: &str) -> Result<(), Failure> {
    let keys = cicada.create(name)?;
    let text = format!("Identity {name} is made.\n{}", public_key::text(&keys));
    output.result(&text, public_key::json(&keys))
}
