//! `sesame policy …`

mod root;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};
use site_config::durable::create_new_atomically;
use site_config::{Key, LayoutKind, Site};

use crate::cli::Policy;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use root::Root;

pub fn run(context: &Context, output: &Output, command: Policy) -> Result<(), Failure> {
    match command {
        Policy::Show => show(&context.site, output),
        Policy::Lock { settings, source } => lock(&context.site, output, &settings, &source),
    }
}

fn show(site: &Site, output: &Output) -> Result<(), Failure> {
    let mut text = String::new();
    let mut entries: Vec<Value> = Vec::new();
    for entry in &site.policy {
        text.push_str(&format!("{} = {}  # {}\n", entry.key, entry.value, entry.source));
        entries.push(json!({
            "key": entry.key.to_string(),
            "value": entry.value.to_string().trim_matches('"'),
            "source": entry.source,
        }));
    }
    if entries.is_empty() {
        text.push_str("No setting is locked.\n");
    }
    output.result(&text, json!({ "policy": entries }))
}

/// Writes the policy whole or not at all, and takes it back if it does not agree with the rest.
fn lock(site: &Site, output: &Output, settings: &[String], source: &str) -> Result<(), Failure> {
    let path = site.layout.policy_file();
    let mut text = String::new();
    for setting in settings {
        let (key, value) = match setting.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (setting.as_str(), None),
        };
        let key: Key = key
            .parse()
            .map_err(|error| Failure::new(Code::USAGE, format!("{error}; nothing was locked")))?;
        text.push_str(&entry(site, key, value, source)?);
    }
    let entries = site_config::policy::parse(&text, path)?;
    let written = create_new_atomically(path, text.as_bytes(), 0o644);
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
        && site.layout.kind() == LayoutKind::System
        && let Some(root) = Root::of_the_appliance()
    {
        let said = root.lock(&entries, source)?;
        return done(output, path, entries.len(), &said);
    }
    written.map_err(|error| {
        let code = match error.kind() {
            ErrorKind::AlreadyExists => Code::EXISTS,
            _ => Code::STORAGE,
        };
        Failure::new(code, format!("cannot write {}: {error}; nothing was locked", path.display()))
    })?;
    if let Err(error) = Site::load(site.layout.clone()) {
        let _ = fs::remove_file(path);
        return Err(Failure::new(Code::CONFIG, format!("{error}. Nothing was locked")));
    }
    let count = entries.len();
    let text = format!(
        "{count} settings are locked in {}. A running daemon takes notice at its next start.",
        path.display()
    );
    done(output, path, count, &text)
}

fn done(output: &Output, path: &Path, count: usize, said: &str) -> Result<(), Failure> {
    let json = json!({ "policy": path.display().to_string(), "locked": count });
    output.result(&format!("{said}\n"), json)
}

fn entry(site: &Site, key: Key, value: Option<&str>, source: &str) -> Result<String, Failure> {
    let value = match value {
        None => site
            .effective()
            .iter()
            .find(|setting| setting.key == key)
            .map(|setting| setting.value.to_string())
            .unwrap_or_default(),
        Some(text) => {
            key.spec().kind.parse(text).map(|value| value.to_string()).ok_or_else(|| {
                let text = format!("{text:?} is no value of {key}; see `sesame config keys`");
                Failure::new(Code::USAGE, text)
            })?
        }
    };
    // A JSON string is a TOML basic string, but for the one control character JSON lets through.
    let source = json!(source).to_string().replace('\u{7f}', "\\u007F");
    Ok(format!("[[policy]]\nkey = \"{key}\"\nvalue = {value}\nsource = {source}\n\n"))
}
