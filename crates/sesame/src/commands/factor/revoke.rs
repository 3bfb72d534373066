//! `sesame factor revoke`

use ipc::factors::{Change, Source};
use ipc::secrets::SecretsRequest;
use serde_json::json;

use super::policy::check;
use crate::cli::Giving;
use crate::collect::{authorise, find};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::Passwords;
use crate::render;

pub fn run(
    context: &Context,
    output: &Output,
    factor: &str,
    profile: Option<&str>,
    giving: &Giving,
) -> Result<(), Failure> {
    let source = Source::Profile(profile);
    let enrolled = context.secrets()?.enrolled(source)?;
    let factor = find(&enrolled, factor)?;
    let rest = enrolled.factors.iter().filter(|other| other.id != factor.id);
    check(&enrolled.policy, rest.clone())?;
    if factor.machine && !rest.clone().any(|other| other.machine) && on_tpm(context)? {
        let text = "the installation is bound to this machine's TPM, and this is the profile's only \
                    factor of it; nothing was changed";
        return Err(Failure::new(Code::INVALID, text));
    }
    let change = Change::Revoke { factor: factor.id };
    let mut passwords = Passwords::new(&giving.password);
    authorise(context, source, change, &giving.devices, &mut passwords)?;
    context.secrets()?.done(&SecretsRequest::FactorRevoke { profile, factor: factor.id })?;
    let name = render::factor(factor);
    let text = format!(
        "{name} is revoked, and profile {} has a new master key. A backup from before still opens \
         with it.\n",
        enrolled.profile
    );
    let json = json!({ "profile": enrolled.profile, "revoked": render::factor_json(factor) });
    output.result(&text, json)
}

fn on_tpm(context: &Context) -> Result<bool, Failure> {
    let installation = context.secrets()?.status()?.installation;
    Ok(installation.is_some_and(|installation| installation.machine_tpm))
}
