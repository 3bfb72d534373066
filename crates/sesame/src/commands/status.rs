//! `sesame status`

use std::fmt::Write;

use audit_log::printable;
use ipc::audit::{AuditReply, AuditRequest, TrailStatus};
use ipc::secrets::{ProfileStatus, Status};
use serde_json::{Value, json};

use crate::connect::Context;
use crate::exit::Failure;
use crate::output::{Colour, Output};
use crate::render;

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let status = context.secrets()?.status()?;
    let trail = context.audit().and_then(|mut audit| {
        audit.call(&AuditRequest::Status, |reply| match reply {
            AuditReply::Status(trail) => Some(trail),
            _ => None,
        })
    });
    output.result(&text(output, &status, &trail), json(&status, &trail))
}

fn text(output: &Output, status: &Status, trail: &Result<Option<TrailStatus>, Failure>) -> String {
    let mut text = String::new();
    match &status.installation {
        None => text.push_str("installation  none yet; next: sesame init\n"),
        Some(installation) => {
            let bound = match (installation.machine_bound, installation.machine_tpm) {
                (_, true) => "this machine's TPM",
                (true, false) => "this machine",
                (false, false) => "no machine",
            };
            let _ = writeln!(text, "installation  {}", installation.id);
            if let Some(org) = &installation.org {
                let _ = writeln!(text, "organisation  {org}");
            }
            let _ = writeln!(text, "created       {}, bound to {bound}", installation.created);
        }
    }
    let _ = match trail {
        Ok(Some(trail)) => {
            let sealed = if trail.sealed == trail.size { "all" } else { &trail.sealed.to_string() };
            writeln!(text, "audit trail   {} entries, {sealed} sealed, {}", trail.size, trail.hash)
        }
        Ok(None) => writeln!(text, "audit trail   none yet"),
        Err(failure) => {
            let broken = output.paint(Colour::Red, "unreachable");
            writeln!(text, "audit trail   {broken}: {}", failure.message)
        }
    };
    if status.auto_lock_seconds > 0 && status.installation.is_some() {
        let _ = writeln!(text, "locks itself  after {} s without use", status.auto_lock_seconds);
    }
    for profile in &status.profiles {
        let _ = writeln!(text, "{}", profile_line(profile));
    }
    text
}

/// One profile: its name, state and factors; what is being collected, and wrong tries, if any.
pub fn profile_line(profile: &ProfileStatus) -> String {
    let mut line = format!("profile       {}", profile.name);
    if profile.default {
        line.push_str(" (default)");
    }
    let _ = write!(line, ": {}, {}", profile.state.as_str(), profile.factors.join(" + "));
    if profile.factors.len() > 1 {
        let _ = write!(line, " ({})", profile.policy);
    }
    if let Some((purpose, seconds)) = &profile.pending {
        let (purpose, left) = (printable(purpose), render::duration(*seconds));
        let _ = write!(line, ", factors given for another {left}: {purpose}");
    }
    match profile.failures {
        0 => {}
        1 => line.push_str(", 1 wrong try"),
        failures => {
            let _ = write!(line, ", {failures} wrong tries");
        }
    }
    if profile.retry_after_seconds > 0 {
        let _ = write!(line, ", next in {} s", profile.retry_after_seconds);
    }
    line
}

fn json(status: &Status, trail: &Result<Option<TrailStatus>, Failure>) -> Value {
    json!({
        "version": status.version,
        "installation": status.installation.as_ref().map(|installation| json!({
            "id": installation.id,
            "org": installation.org,
            "created": installation.created,
            "machine_bound": installation.machine_bound,
            "machine_tpm": installation.machine_tpm,
        })),
        "auto_lock_seconds": status.auto_lock_seconds,
        "profiles": status.profiles.iter().map(profile_json).collect::<Vec<_>>(),
        "audit": match trail {
            Ok(trail) => json!({
                "reachable": true,
                "entries": trail.as_ref().map(|trail| trail.size),
                "sealed": trail.as_ref().map(|trail| trail.sealed),
                "hash": trail.as_ref().map(|trail| trail.hash.as_str()),
            }),
            Err(failure) => json!({ "reachable": false, "error": failure.message }),
        },
    })
}

/// One profile as JSON.
pub fn profile_json(profile: &ProfileStatus) -> Value {
    json!({
        "name": profile.name,
        "default": profile.default,
        "state": profile.state.as_str(),
        "factors": profile.factors,
        "policy": profile.policy,
        "pending": profile.pending.as_ref().map(|(purpose, seconds)| {
            json!({ "for": purpose, "seconds_left": seconds })
        }),
        "failures": profile.failures,
        "retry_after_seconds": profile.retry_after_seconds,
    })
}
