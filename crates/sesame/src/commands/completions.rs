//! `sesame completions` and `sesame man`

use std::path::Path;

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use serde_json::json;

use crate::cli::Cli;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn shell(output: &Output, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "sesame", &mut script);
    if !output.is_json() {
        return output.bytes(&script);
    }
    let script = String::from_utf8_lossy(&script);
    output.result("", json!({ "shell": shell.to_string(), "script": script }))
}

pub fn man(output: &Output, directory: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| {
        let text = format!("cannot write into {}: {error}", directory.display());
        Failure::new(Code::STORAGE, text)
    })?;
    let text = format!("The man pages are in {}.\n", directory.display());
    output.result(&text, json!({ "directory": directory.display().to_string() }))
}
