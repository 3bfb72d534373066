//! `sesame factor enroll`

use ipc::factors::{Change, Source};
use ipc::secrets::{SecretsReply, SecretsRequest};
use serde_json::json;

use crate::cli::{Enroll, NewFactorSpec};
use crate::collect::{authorise, free_label, new_factor};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::Passwords;

pub fn run(context: &Context, output: &Output, arguments: &Enroll) -> Result<(), Failure> {
    let spec = NewFactorSpec::new(arguments.kind, arguments.label.as_deref())
        .map_err(|error| Failure::new(Code::INVALID, format!("{error}; nothing was changed")))?;
    let profile = arguments.profile.as_deref();
    let devices = &arguments.giving.devices;
    let source = Source::Profile(profile);
    // Nobody should give factors for a label that is taken, or a device that isn't there.
    free_label(&context.secrets()?.enrolled(source)?, &spec.label)?;
    new_factor::check(&spec, &arguments.options, devices)?;
    let change = Change::Enroll { kind: spec.kind, label: &spec.label, machine: false };
    let mut passwords = Passwords::new(&arguments.giving.password);
    let enrolled = authorise(context, source, change, devices, &mut passwords)?;
    let prompt = format!("New password \"{}\" for profile {}: ", spec.label, enrolled.profile);
    let made = new_factor::make(&spec, &arguments.options, devices, &mut passwords, &prompt)?;
    let request = SecretsRequest::FactorEnroll { profile, factor: made.as_request() };
    let id = context.secrets()?.call(&request, |reply| match reply {
        SecretsReply::Factor(id) => Some(id),
        _ => None,
    })?;
    let text = format!(
        "{} \"{}\" is factor {id} of profile {}, which unlocks with {}.\n",
        spec.kind, spec.label, enrolled.profile, enrolled.policy
    );
    let json = json!({
        "profile": enrolled.profile,
        "id": id,
        "kind": spec.kind.as_str(),
        "label": spec.label,
    });
    output.result(&text, json)
}
