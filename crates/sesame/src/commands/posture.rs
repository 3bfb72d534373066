//! `sesame status --security-posture`: kernel and daemons against the floor.

use std::fmt::Write;

use hardening::posture::{self, Check, Status};
use ipc::audit::{AuditReply, AuditRequest};
use ipc::secrets::{SecretsReply, SecretsRequest};
use serde_json::json;
use site_config::Daemon;

use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::{Colour, Output};

pub fn run(context: &Context, output: &Output) -> Result<(), Failure> {
    let mut checks = posture::kernel();
    let secrets = context.secrets().and_then(|mut client| {
        client.call(&SecretsRequest::Posture, |reply| match reply {
            SecretsReply::Posture(checks) => Some(checks),
            _ => None,
        })
    });
    let audit = context.audit().and_then(|mut client| {
        client.call(&AuditRequest::Posture, |reply| match reply {
            AuditReply::Posture(checks) => Some(checks),
            _ => None,
        })
    });
    for (daemon, answer) in [(Daemon::Audit, audit), (Daemon::Secrets, secrets)] {
        match answer {
            Ok(found) => checks.extend(found),
            Err(failure) => checks.push(unreachable(daemon, &failure)),
        }
    }
    let holds = posture::floor_holds(&checks);
    let json = json!({ "floor_holds": holds, "checks": checks });
    output.result(&text(output, &checks, holds), json)?;
    if holds {
        return Ok(());
    }
    let failed = checks.iter().filter(|check| check.floor && check.status == Status::Fail).count();
    let text = format!("{failed} checks of the security floor fail; enrolment is refused");
    Err(Failure::new(Code::BELOW_FLOOR, text))
}

/// A daemon that can't be asked can't be trusted to be confined.
fn unreachable(daemon: Daemon, failure: &Failure) -> Check {
    Check {
        id: "reachable".to_owned(),
        subject: daemon.as_str().to_owned(),
        status: Status::Fail,
        found: failure.message.clone(),
        floor: true,
        controls: Vec::new(),
    }
}

fn text(output: &Output, checks: &[Check], holds: bool) -> String {
    let mut text = String::new();
    let mut subject = "";
    for check in checks {
        if check.subject != subject {
            subject = &check.subject;
            let _ = writeln!(text, "{subject}");
        }
        let colour = match check.status {
            Status::Pass => Colour::Green,
            Status::Warn => Colour::Yellow,
            Status::Fail => Colour::Red,
        };
        // Padded before it is painted: escape sequences have no width.
        let status = output.paint(colour, &format!("{:<4}", check.status.as_str()));
        let _ = writeln!(text, "  {status}  {:<28} {}", check.id, check.found);
        let _ = writeln!(text, "        {:<28} {}", "", check.controls.join(", "));
    }
    let verdict = if holds { "The floor holds." } else { "The floor does not hold." };
    let _ = writeln!(text, "{verdict}");
    text
}
