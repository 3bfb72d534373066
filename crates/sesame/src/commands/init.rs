//! `sesame init`

use ipc::secrets::{BindTo, SecretsReply, SecretsRequest};
use serde_json::json;

use crate::cli::{Init, MachineBinding};
use crate::commands::profile::{NewProfile, enrolled_with};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(context: &Context, output: &Output, arguments: Init) -> Result<(), Failure> {
    // Nobody should choose a password only to hear that there is nothing to choose it for.
    if let Some(present) = context.secrets()?.status()?.installation {
        let text = format!(
            "installation {0} exists and was not touched; only `sesame wipe --i-understand {0}` \
             removes it",
            present.id
        );
        return Err(Failure::new(Code::EXISTS, text));
    }
    let new = NewProfile {
        name: &arguments.profile,
        factors: &arguments.factors,
        on_tpm: arguments.machine_binding == MachineBinding::Tpm,
    };
    let made = new.make()?;
    let request = SecretsRequest::Init {
        org: arguments.org.as_deref(),
        binding: match arguments.machine_binding {
            MachineBinding::MachineId => BindTo::MachineId,
            MachineBinding::Tpm => BindTo::Tpm,
            MachineBinding::None => BindTo::Nothing,
        },
        profile: &arguments.profile,
        factors: made.iter().map(|factor| factor.as_request()).collect(),
    };
    let (installation, resumed) = context.secrets()?.call(&request, |reply| match reply {
        SecretsReply::Initialised { installation, resumed } => Some((installation, resumed)),
        _ => None,
    })?;
    let mut text = format!("Installation {installation} is ready.\n");
    if resumed {
        text.push_str("It finishes an init that was interrupted; the trail says so.\n");
    }
    let with = enrolled_with(&arguments.factors);
    text.push_str(&format!(
        "Profile {} is enrolled with {with} and locked; next: sesame unlock\n",
        arguments.profile
    ));
    let json = json!({
        "installation": installation,
        "resumed": resumed,
        "profile": arguments.profile,
    });
    output.result(&text, json)
}
