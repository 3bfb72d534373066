//! `sesame profile …`

use ipc::secrets::SecretsRequest;
use serde_json::json;
use site_config::FactorKind;

use crate::cli::{NewFactorSpec, NewFactors, Profile};
use crate::collect::new_factor::{self, Fresh, MACHINE_LABEL};
use crate::commands::status::{profile_json, profile_line};
use crate::connect::{Context, SecretsClient};
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::Passwords;

pub fn run(context: &Context, output: &Output, command: Profile) -> Result<(), Failure> {
    let mut client = context.secrets()?;
    let (name, request, done) = match &command {
        Profile::List => return list(&mut client, output),
        Profile::Create { name, factors } => return create(context, output, name, factors),
        Profile::Activate { name } => {
            (name, SecretsRequest::ProfileActivate { profile: name }, "active")
        }
        Profile::Deactivate { name } => {
            (name, SecretsRequest::ProfileDeactivate { profile: name }, "deactivated")
        }
        Profile::Default { name } => {
            (name, SecretsRequest::ProfileDefault { profile: name }, "the default")
        }
    };
    client.done(&request)?;
    output.result(&format!("Profile {name} is {done}.\n"), json!({ "profile": name, "is": done }))
}

fn create(
    context: &Context,
    output: &Output,
    name: &str,
    factors: &NewFactors,
) -> Result<(), Failure> {
    let installation = context.secrets()?.status()?.installation;
    let on_tpm = installation.is_some_and(|installation| installation.machine_tpm);
    let made = NewProfile { name, factors, on_tpm }.make()?;
    let factors_made = made.iter().map(|factor| factor.as_request()).collect();
    let request = SecretsRequest::ProfileCreate { profile: name, factors: factors_made };
    context.secrets()?.done(&request)?;
    let text = format!("Profile {name} is enrolled with {} and locked.\n", enrolled_with(factors));
    output.result(&text, json!({ "profile": name, "state": "locked" }))
}

/// A profile that is to be made, by `init` or `profile create`.
pub struct NewProfile<'a> {
    pub name: &'a str,
    pub factors: &'a NewFactors,
    /// Whether it needs a factor of this machine's TPM.
    pub on_tpm: bool,
}

impl NewProfile<'_> {
    /// Makes its factors, once it is clear that each can be made.
    pub fn make(&self) -> Result<Vec<Fresh>, Failure> {
        let NewFactors { specs, giving, options } = self.factors;
        let devices = &giving.devices;
        check_labels(specs, self.on_tpm)?;
        for spec in specs {
            new_factor::check(spec, options, devices)?;
        }
        let mut made = Vec::new();
        if self.on_tpm {
            made.push(new_factor::machine(devices)?);
        }
        let mut passwords = Passwords::new(&giving.password);
        for spec in specs {
            let prompt = if spec.label == spec.kind.as_str() {
                format!("New password for profile {}: ", self.name)
            } else {
                format!("New password \"{}\" for profile {}: ", spec.label, self.name)
            };
            made.push(new_factor::make(spec, options, devices, &mut passwords, &prompt)?);
        }
        Ok(made)
    }
}

/// Whoever gives a factor tells them apart by these.
fn check_labels(specs: &[NewFactorSpec], on_tpm: bool) -> Result<(), Failure> {
    let mut taken: Vec<&str> = if on_tpm { vec![MACHINE_LABEL] } else { Vec::new() };
    for spec in specs {
        if taken.contains(&spec.label.as_str()) {
            let text = format!(
                "two factors would be called {:?}; nothing was made. Say how each is called with \
                 --factor {}=LABEL",
                spec.label, spec.kind
            );
            return Err(Failure::new(Code::USAGE, text));
        }
        taken.push(&spec.label);
    }
    Ok(())
}

/// `a password`, or what there is by kind and label.
pub fn enrolled_with(factors: &NewFactors) -> String {
    let names = factors.specs.iter().map(|spec| match spec.kind {
        FactorKind::Password if spec.label == spec.kind.as_str() => "a password".to_owned(),
        kind if spec.label == kind.as_str() => kind.to_string(),
        kind => format!("{kind} \"{}\"", spec.label),
    });
    names.collect::<Vec<_>>().join(", ")
}

fn list(client: &mut SecretsClient, output: &Output) -> Result<(), Failure> {
    let profiles = client.status()?.profiles;
    let mut text = String::new();
    for profile in &profiles {
        text.push_str(profile_line(profile).trim_start_matches("profile").trim_start());
        text.push('\n');
    }
    let json = json!({ "profiles": profiles.iter().map(profile_json).collect::<Vec<_>>() });
    output.result(&text, json)
}
