//! `sesame init`

use ipc::secrets::{SecretsReply, SecretsRequest};
use serde_json::json;

use crate::cli::{Init, MachineBinding};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(context: &Context, output: &Output, arguments: Init) -> Result<(), Failure> {
    let mut client = context.secrets()?;
    // Nobody should choose a password only to hear that there is nothing to choose it for.
    let present = client.call(&SecretsRequest::Status, |reply| match reply {
        SecretsReply::Status(status) => Some(status.installation.map(|present| present.id)),
        _ => None,
    })?;
    if let Some(id) = present {
        let text = format!(
            "installation {id} exists and was not touched; only `sesame wipe --i-understand {id}` \
             removes it"
        );
        return Err(Failure::new(Code::EXISTS, text));
    }
    let prompt = format!("New password for profile {}: ", arguments.profile);
    let password = arguments.password.ask_new(&prompt)?;
    let request = SecretsRequest::Init {
        org: arguments.org.as_deref(),
        bind_machine: arguments.machine_binding == MachineBinding::MachineId,
        profile: &arguments.profile,
        password: password.expose(),
    };
    let (installation, resumed) = client.call(&request, |reply| match reply {
        SecretsReply::Initialised { installation, resumed } => Some((installation, resumed)),
        _ => None,
    })?;
    let mut text = format!("Installation {installation} is ready.\n");
    if resumed {
        text.push_str("It finishes an init that was interrupted; the trail says so.\n");
    }
    text.push_str(&format!(
        "Profile {} is enrolled with a password and locked; next: sesame unlock\n",
        arguments.profile
    ));
    let json = json!({
        "installation": installation,
        "resumed": resumed,
        "profile": arguments.profile,
    });
    output.result(&text, json)
}
