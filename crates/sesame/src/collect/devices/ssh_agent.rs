//! Keys in an ssh-agent.

use unlock_factors::ssh_agent::{Agent, AgentKey, SshAgentError};

use super::{Code, EnrollOptions, Failure, Made, Parameters, ssh_auth_sock};

/// The agent that SSH_AUTH_SOCK names.
pub fn agent() -> Result<Agent, Failure> {
    let socket = ssh_auth_sock().ok_or_else(|| {
        let text = "no ssh-agent: SSH_AUTH_SOCK is not set; nothing was changed. Start one with \
                    `eval $(ssh-agent)` and `ssh-add`, and try again";
        Failure::new(Code::NOT_FOUND, text)
    })?;
    Ok(Agent::connect(&socket)?)
}

/// The key of the agent that is meant: by fingerprint or comment, or the only one.
pub fn key(agent: &Agent, wanted: Option<&str>) -> Result<AgentKey, Failure> {
    choose_key(agent.keys()?, wanted)
}

fn choose_key(keys: Vec<AgentKey>, wanted: Option<&str>) -> Result<AgentKey, Failure> {
    let is_wanted = |key: &AgentKey| match wanted {
        Some(wanted) => {
            let digest = key.fingerprint.strip_prefix("SHA256:");
            key.fingerprint == wanted || digest == Some(wanted) || key.comment == wanted
        }
        None => key.unusable.is_none(),
    };
    let (mut fitting, others): (Vec<AgentKey>, Vec<AgentKey>) =
        keys.into_iter().partition(is_wanted);
    if fitting.len() == 1 {
        let key = fitting.remove(0);
        return match key.unusable {
            None => Ok(key),
            Some(reason) => {
                Err(SshAgentError::Unusable { fingerprint: key.fingerprint, reason }.into())
            }
        };
    }
    if !fitting.is_empty() {
        let text = format!(
            "the ssh-agent holds {} such keys; nothing was changed. Choose one with --ssh-key: {}",
            fitting.len(),
            list(&fitting)
        );
        return Err(Failure::new(Code::USAGE, text));
    }
    let what = match wanted {
        Some(wanted) => format!("no key {wanted:?}"),
        None => "no key that can be a factor".to_owned(),
    };
    let holds = match others.as_slice() {
        [] => "it holds none at all, or is locked. `ssh-add FILE` adds one".to_owned(),
        others => format!("it holds {}", list(others)),
    };
    let text = format!("the ssh-agent has {what}, and nothing was changed: {holds}");
    Err(Failure::new(Code::NOT_FOUND, text))
}

fn list(keys: &[AgentKey]) -> String {
    let names = keys.iter().map(|key| match &key.unusable {
        None => format!("{} ({})", key.fingerprint, key.comment),
        Some(reason) => format!("{} ({}: {reason})", key.fingerprint, key.comment),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Makes a factor of a key in the agent.
pub fn enroll(options: &EnrollOptions) -> Result<Made, Failure> {
    let agent = agent()?;
    let key = key(&agent, options.ssh_key.as_deref())?;
    let (parameters, evidence) = agent.enroll(&key)?;
    Ok((Parameters::SshAgent(parameters), evidence))
}

impl From<SshAgentError> for Failure {
    fn from(error: SshAgentError) -> Self {
        use SshAgentError::{
            BadParameters, KeyMissing, Memory, NoAgent, NoKeys, NotDeterministic, Unusable,
        };
        let code = match &error {
            NoAgent { .. } | KeyMissing { .. } | NoKeys { .. } => Code::NOT_FOUND,
            Unusable { .. } | NotDeterministic { .. } => Code::INVALID,
            BadParameters => Code::TAMPERED,
            Memory(_) => Code::BUSY,
            _ => Code::FAILED,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use unlock_factors::ssh_agent::UnusableKey;

    use super::*;

    fn key(name: &str, unusable: Option<UnusableKey>) -> AgentKey {
        AgentKey {
            public_key: String::new(),
            comment: format!("{name}@example.org"),
            fingerprint: format!("SHA256:{name}"),
            unusable,
        }
    }

    fn keys() -> Vec<AgentKey> {
        vec![key("one", None), key("ec", Some(UnusableKey::Ecdsa)), key("two", None)]
    }

    #[test]
    fn a_key_is_found_by_fingerprint_and_by_comment_and_when_it_is_the_only_one() {
        for wanted in ["SHA256:two", "two", "two@example.org"] {
            assert_eq!(choose_key(keys(), Some(wanted)).unwrap(), key("two", None));
        }
        let only = vec![key("ec", Some(UnusableKey::Ecdsa)), key("one", None)];
        assert_eq!(choose_key(only, None).unwrap(), key("one", None));
    }

    #[test]
    fn what_is_no_key_or_several_says_which_there_are() {
        let refused = |keys, wanted| {
            let failure = choose_key(keys, wanted).unwrap_err();
            format!("{} {}", failure.code.name, failure.message)
        };
        let unusable = vec![key("ec", Some(UnusableKey::Ecdsa))];
        let lines = [
            refused(keys(), None),
            refused(keys(), Some("three")),
            refused(keys(), Some("ec")),
            refused(unusable, None),
            refused(Vec::new(), None),
            refused(Vec::new(), Some("one")),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}
