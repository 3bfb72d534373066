//! `sesame key`: the key by which the daemons know this person.

use serde_json::json;

use crate::commands::provision::{hex, load_or_make};
use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let path = context.site.layout.operator_key()?;
    let public = hex(load_or_make(path)?.public());
    let json = json!({ "public": public, "file": path.display().to_string() });
    output.result(&format!("{public}\n"), json)
}
