//! `sesame factor policy`

use std::fmt::Write;

use ipc::factors::{Change, Enrolled, EnrolledFactor, Source};
use ipc::secrets::SecretsRequest;
use key_hierarchy::policy_tree::{Leaf, Tree};
use serde_json::json;
use site_config::{FactorKinds, UnlockPolicy};

use super::list::policy_json;
use crate::cli::{FactorPolicy, PolicyMode};
use crate::collect::authorise;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::password::Passwords;
use crate::render;

pub fn run(context: &Context, output: &Output, arguments: &FactorPolicy) -> Result<(), Failure> {
    let profile = arguments.profile.as_deref();
    let source = Source::Profile(profile);
    let mut enrolled = context.secrets()?.enrolled(source)?;
    let Some(mode) = arguments.mode else {
        if arguments.additional > 0 {
            let text = "--additional belongs to `sesame factor policy policy`";
            return Err(Failure::new(Code::USAGE, text));
        }
        return show(output, &enrolled, "unlocks");
    };
    let policy = policy(mode, &arguments.required, arguments.additional)?;
    check(&policy, enrolled.factors.iter())?;
    let mut passwords = Passwords::new(&arguments.giving.password);
    let devices = &arguments.giving.devices;
    authorise(context, source, Change::Policy(policy), devices, &mut passwords)?;
    context.secrets()?.done(&SecretsRequest::FactorPolicy { profile, policy })?;
    enrolled.policy = policy;
    show(output, &enrolled, "now unlocks")
}

fn policy(
    mode: PolicyMode,
    required: &[site_config::FactorKind],
    additional: u8,
) -> Result<UnlockPolicy, Failure> {
    let mut kinds = FactorKinds::EMPTY;
    for kind in required {
        if !kinds.insert(*kind) {
            let text = format!(
                "--require {kind} stands there twice, and one of each kind is all that can be \
                 required; nothing was changed"
            );
            return Err(Failure::new(Code::USAGE, text));
        }
    }
    if mode != PolicyMode::Policy && (!required.is_empty() || additional > 0) {
        let text = "--require and --additional belong to `sesame factor policy policy`; nothing was \
                    changed";
        return Err(Failure::new(Code::USAGE, text));
    }
    UnlockPolicy::new(mode.into(), kinds, additional).map_err(|_| {
        let text = format!(
            "this policy asks for no factor, or for more than {} others; nothing was changed. Name \
             kinds with --require, or how many others with --additional",
            site_config::MAX_ADDITIONAL_REQUIRED
        );
        Failure::new(Code::USAGE, text)
    })
}

/// Refuses a policy that these factors can never satisfy, before anybody gives one for it.
pub fn check<'f>(
    policy: &UnlockPolicy,
    factors: impl Iterator<Item = &'f EnrolledFactor>,
) -> Result<(), Failure> {
    Tree::new(policy, &leaves(factors)).map(|_| ()).map_err(|error| {
        let text = format!(
            "{error}, so nobody could unlock; nothing was changed. Enrol a factor first, or choose \
             another policy with `sesame factor policy`"
        );
        Failure::new(Code::INVALID, text)
    })
}

fn leaves<'f>(factors: impl Iterator<Item = &'f EnrolledFactor>) -> Vec<Leaf> {
    factors
        .map(|factor| Leaf { id: factor.id, kind: factor.kind, machine: factor.machine })
        .collect()
}

fn show(output: &Output, enrolled: &Enrolled, verb: &str) -> Result<(), Failure> {
    let without_vote = without_vote(enrolled);
    let mut json = json!({ "profile": enrolled.profile, "policy": policy_json(enrolled) });
    json["without_vote"] = without_vote.iter().map(|factor| render::factor_json(factor)).collect();
    output.result(&text(enrolled, verb, &without_vote), json)
}

fn text(enrolled: &Enrolled, verb: &str, without_vote: &[&EnrolledFactor]) -> String {
    let mut text = format!("Profile {} {verb} with {}.\n", enrolled.profile, enrolled.policy);
    let machine = enrolled.factors.iter().filter(|factor| factor.machine).map(render::factor);
    let machine: Vec<String> = machine.collect();
    if !machine.is_empty() {
        let _ = writeln!(text, "Always needed beside them: {}.", machine.join(", "));
    }
    for factor in without_vote {
        let _ = writeln!(text, "Warning: {} opens nothing under it.", render::factor(factor));
    }
    text
}

/// Enrolled factors that the policy has no use for.
fn without_vote(enrolled: &Enrolled) -> Vec<&EnrolledFactor> {
    let Ok(tree) = Tree::new(&enrolled.policy, &leaves(enrolled.factors.iter())) else {
        return Vec::new();
    };
    let members = tree.members();
    enrolled.factors.iter().filter(|factor| !members.contains(&factor.id)).collect()
}

#[cfg(test)]
mod tests {
    use site_config::FactorKind;

    use super::*;

    #[test]
    fn a_policy_is_said_in_words_with_what_it_leaves_out() {
        let mut enrolled = crate::render::tests::enrolled();
        let shown = |enrolled: &Enrolled| text(enrolled, "unlocks", &without_vote(enrolled));
        let all = shown(&enrolled);
        enrolled.policy = policy(PolicyMode::Policy, &[FactorKind::Password], 0).unwrap();
        insta::assert_snapshot!(format!("{all}{}", shown(&enrolled)));
    }

    #[test]
    fn a_policy_that_cannot_be_is_refused_before_anybody_gives_a_factor() {
        let enrolled = crate::render::tests::enrolled();
        let refused = |mode, required: &[FactorKind], additional| {
            let policy = policy(mode, required, additional);
            let checked = policy.and_then(|policy| check(&policy, enrolled.factors.iter()));
            checked.unwrap_err()
        };
        let failures = [
            refused(PolicyMode::Any, &[FactorKind::Tpm], 0),
            refused(PolicyMode::All, &[], 1),
            refused(PolicyMode::Policy, &[], 0),
            refused(PolicyMode::Policy, &[], 17),
            refused(PolicyMode::Policy, &[FactorKind::Tpm, FactorKind::Tpm], 0),
            refused(PolicyMode::Policy, &[FactorKind::Fido2], 0),
            refused(PolicyMode::Policy, &[FactorKind::Password], 2),
        ];
        let lines = failures.map(|failure| format!("{} {}", failure.code.name, failure.message));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
