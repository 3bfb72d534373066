//! `sesame factor test`

use ipc::factors::Source;
use ipc::secrets::{SecretsReply, SecretsRequest};
use serde_json::json;
use site_config::FactorKind;

use crate::cli::Giving;
use crate::collect::evidence::ask_or_read;
use crate::collect::find;
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
    let enrolled = context.secrets()?.enrolled(Source::Profile(profile))?;
    let factor = find(&enrolled, factor)?;
    if factor.kind == FactorKind::Share {
        let text = "a single share is proven with `sesame share verify`; nothing was tried";
        return Err(Failure::new(Code::USAGE, text));
    }
    let mut passwords = Passwords::new(&giving.password);
    let evidence = ask_or_read(factor, &giving.devices, &mut passwords)?;
    let request = SecretsRequest::FactorTest {
        profile,
        factors: vec![factor.id],
        evidence: evidence.bytes.expose(),
    };
    context.secrets()?.call(&request, |reply| match reply {
        SecretsReply::Factor(id) => Some(id),
        _ => None,
    })?;
    let text = format!("{} works. Nothing was unlocked.\n", render::factor(factor));
    let json = json!({ "profile": enrolled.profile, "works": render::factor_json(factor) });
    output.result(&text, json)
}
