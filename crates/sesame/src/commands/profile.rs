//! `sesame profile …`

use ipc::secrets::{SecretsReply, SecretsRequest};
use serde_json::json;

use crate::cli::Profile;
use crate::commands::status::{profile_json, profile_line};
use crate::connect::{Context, SecretsClient};
use crate::exit::Failure;
use crate::output::Output;

pub fn run(context: &Context, output: &Output, command: Profile) -> Result<(), Failure> {
    let mut client = context.secrets()?;
    let (name, request, done) = match &command {
        Profile::List => return list(&mut client, output),
        Profile::Create { name, password } => {
            let password = password.ask_new(&format!("New password for profile {name}: "))?;
            let request =
                SecretsRequest::ProfileCreate { profile: name, password: password.expose() };
            client.done(&request)?;
            let text = format!("Profile {name} is enrolled with a password and locked.\n");
            return output.result(&text, json!({ "profile": name, "state": "locked" }));
        }
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

fn list(client: &mut SecretsClient, output: &Output) -> Result<(), Failure> {
    let profiles = client.call(&SecretsRequest::Status, |reply| match reply {
        SecretsReply::Status(status) => Some(status.profiles),
        _ => None,
    })?;
    let mut text = String::new();
    for profile in &profiles {
        text.push_str(profile_line(profile).trim_start_matches("profile").trim_start());
        text.push('\n');
    }
    let json = json!({ "profiles": profiles.iter().map(profile_json).collect::<Vec<_>>() });
    output.result(&text, json)
}
