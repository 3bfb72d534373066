//! `sesame status`

use std::fmt::Write;

use ipc::audit::{AuditReply, AuditRequest, TrailStatus};
use ipc::secrets::{ProfileStatus, SecretsReply, SecretsRequest, Status};
use serde_json::{Value, json};

use crate::connect::Context;
use crate::exit::Failure;
use crate::output::{Colour, Output};

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let status = context.secrets()?.call(&SecretsRequest::Status, |reply| match reply {
        SecretsReply::Status(status) => Some(status),
        _ => None,
    })?;
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
            let bound = if installation.machine_bound { "this machine" } else { "no machine" };
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

/// One profile: its name, state, factors, and wrong tries if there were any.
pub fn profile_line(profile: &ProfileStatus) -> String {
    let mut line = format!("profile       {}", profile.name);
    if profile.default {
        line.push_str(" (default)");
    }
    let _ = write!(line, ": {}, {}", profile.state.as_str(), profile.factors.join(" + "));
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
        "failures": profile.failures,
        "retry_after_seconds": profile.retry_after_seconds,
    })
}
