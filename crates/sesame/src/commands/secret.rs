//! `sesame secret …`. A value exists in secret memory, in the pipe that it came from, and in the
//! one that it goes to.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use data_encoding::BASE64;
use ipc::secrets::{Purpose, SecretsReply, SecretsRequest};
use secret_memory::SecretBytes;
use serde_json::json;
use site_config::MAX_SECRET_VALUE_BYTES;

use crate::cli::Secret;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::prompt::prompt_hidden;

/// A page of names with fewer bytes than this is the last: the daemon sends nearly 60 000 at a time.
const SHORT_PAGE_BYTES: usize = 30_000;

pub fn run(context: &Context, output: &Output, command: Secret) -> Result<(), Failure> {
    match command {
        Secret::Set { name, profile } => set(context, output, &name, profile.as_deref()),
        Secret::Get { name, profile, show } => {
            get(context, output, &name, profile.as_deref(), show)
        }
        Secret::List { profile } => list(context, output, profile.as_deref()),
        Secret::Delete { name, profile } => delete(context, output, &name, profile.as_deref()),
    }
}

fn set(
    context: &Context,
    output: &Output,
    name: &str,
    profile: Option<&str>,
) -> Result<(), Failure> {
    let mut client = context.secrets()?;
    let value = read_value(name)?;
    let request =
        SecretsRequest::SecretSet { profile, name, value: value.expose(), only_new: false };
    let replaced = client.call(&request, |reply| match reply {
        SecretsReply::Written { replaced } => Some(replaced),
        _ => None,
    })?;
    let verb = if replaced { "replaced" } else { "written" };
    let text = format!("{name} is {verb} ({} bytes).\n", value.len());
    output.result(&text, json!({ "name": name, "bytes": value.len(), "replaced": replaced }))
}

/// From a terminal a line without echo, from anything else all its bytes as they are.
fn read_value(name: &str) -> Result<SecretBytes, Failure> {
    if io::stdin().is_terminal() {
        return prompt_hidden(&format!("Value of {name}: "));
    }
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => {
            let text =
                format!("a value has at most {MAX_SECRET_VALUE_BYTES} bytes; nothing was written");
            Failure::new(Code::INVALID, text)
        }
        _ => Failure::new(Code::INVALID, format!("cannot read the value: {error}")),
    };
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?;
    SecretBytes::read_from(&mut File::from(stdin), MAX_SECRET_VALUE_BYTES).map_err(unreadable)
}

fn get(
    context: &Context,
    output: &Output,
    name: &str,
    profile: Option<&str>,
    show: bool,
) -> Result<(), Failure> {
    let to_terminal = io::stdout().is_terminal();
    if to_terminal && !show {
        let text = "standard output is a terminal: pipe the value somewhere, or add --show; \
                    nothing was read";
        return Err(Failure::new(Code::USAGE, text));
    }
    let request = SecretsRequest::SecretGet { profile, name, purpose: Purpose::Read };
    let value = context.secrets()?.value(&request)?;
    if output.is_json() {
        return output.bytes(as_json(name, &value)?.expose());
    }
    output.bytes(value.expose())?;
    if to_terminal { output.bytes(b"\n") } else { Ok(()) }
}

/// `{"name":…,"value":"<base64>"}`, put together in secret memory.
fn as_json(name: &str, value: &SecretBytes) -> Result<SecretBytes, Failure> {
    let mut line = SecretBytes::new();
    let head = format!("{{\"name\":{},\"value\":\"", json!(name));
    line.extend_from_slice(head.as_bytes())?;
    let start = line.len();
    line.resize(start + BASE64.encode_len(value.len()))?;
    BASE64.encode_mut(value.expose(), &mut line.expose_mut()[start..]);
    line.extend_from_slice(b"\"}\n")?;
    Ok(line)
}

fn list(context: &Context, output: &Output, profile: Option<&str>) -> Result<(), Failure> {
    let mut client = context.secrets()?;
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().map(String::as_str);
        let page =
            client.call(&SecretsRequest::SecretList { profile, after }, |reply| match reply {
                SecretsReply::Names(names) => Some(names),
                _ => None,
            })?;
        // A short page is the last one; most lists are one short page.
        let is_last = page.iter().map(String::len).sum::<usize>() < SHORT_PAGE_BYTES;
        names.extend(page);
        if is_last {
            break;
        }
    }
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    output.result(&text, json!({ "names": names }))
}

fn delete(
    context: &Context,
    output: &Output,
    name: &str,
    profile: Option<&str>,
) -> Result<(), Failure> {
    context.secrets()?.done(&SecretsRequest::SecretDelete { profile, name })?;
    output.result(&format!("{name} is deleted.\n"), json!({ "deleted": name }))
}
