//! `sesame audit tail`

use std::collections::VecDeque;

use audit_log::{Actor, Entry, parse_line, printable};
use ipc::audit::{AuditReply, AuditRequest};
use serde_json::json;

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(context: &Context, output: &Output, lines: u64) -> Result<(), Failure> {
    let mut client = context.audit()?;
    let status = client.call(&AuditRequest::Status, |reply| match reply {
        AuditReply::Status(status) => Some(status),
        _ => None,
    })?;
    let size = status.map_or(0, |status| status.size);
    let mut entries: VecDeque<Entry> = VecDeque::new();
    client.pages(size.saturating_sub(lines)..size, |page| {
        for line in page.split_inclusive(|byte| *byte == b'\n') {
            let entry = parse_line(line).map_err(|error| {
                let text = format!("{error}; run `sesame audit verify`");
                Failure::new(Code::MALFORMED, text)
            })?;
            entries.push_back(entry);
        }
        Ok(())
    })?;
    let text: String = entries.iter().map(line).collect();
    output.result(&text, json!({ "size": size, "entries": entries }))
}

/// One entry as a person reads it: number, time, what came of what, about what, who.
pub fn line(entry: &Entry) -> String {
    let mut line =
        format!("{:>5}  {}  {:<10}  {}", entry.seq, entry.time, entry.outcome, entry.operation);
    for (word, value) in [("", &entry.subject), ("profile ", &entry.profile)] {
        if let Some(value) = value {
            line.push_str(&format!("  {word}{}", printable(value)));
        }
    }
    if let Some(actor) = &entry.actor {
        line.push_str(&format!("  by {}", name(actor)));
    }
    // A posture has its own command; everything else is short.
    if entry.operation != audit_log::Operation::DaemonStart {
        // The keys of a genesis or rotation have a command too, and begin alike.
        for (key, value) in entry.detail.iter().filter(|(key, _)| !key.starts_with("key_")) {
            line.push_str(&format!("  {}={}", printable(key), shorten(&printable(value))));
        }
    }
    line.push('\n');
    line
}

fn name(actor: &Actor) -> String {
    match &actor.name {
        Some(name) => format!("{} (uid {})", printable(name), actor.uid),
        None => format!("uid {}", actor.uid),
    }
}

fn shorten(value: &str) -> String {
    match value.char_indices().nth(24) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
