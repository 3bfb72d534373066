//! `sesame cicada lock`

use cicada_client::{Client, State};
use serde_json::json;

use crate::commands::cicada::status::word;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(mut cicada: Client, output: &Output) -> Result<(), Failure> {
    let state = cicada.lock()?;
    let text = match state {
        State::Uninitialised => "There is no key store yet, and no key in cicada's memory.\n",
        State::Locked | State::Unlocked => "Cicada is locked: no key is in its memory.\n",
    };
    output.result(text, json!({ "state": word(state) }))
}
