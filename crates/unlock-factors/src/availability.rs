//! Which kinds of factor can be used here and now.

use std::path::{Path, PathBuf};

use site_config::FactorKind;

use crate::ssh_agent::Agent;

/// Where to look for agents and devices.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The agent's socket, where `SSH_AUTH_SOCK` names one.
    pub ssh_auth_sock: Option<PathBuf>,
    /// How the TPM is reached: `device:/dev/tpmrm0`.
    pub tcti: String,
}

/// Whether a kind of factor can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// Which kind.
    pub kind: FactorKind,
    /// Whether this build has what it needs.
    pub built: bool,
    /// What was found, such as `2 usable keys`; or why it can't be used, and what to do.
    pub here: Result<String, String>,
}

/// Looks for each kind, in the order of [`FactorKind::ALL`].
///
/// Asks nobody for a PIN, a touch or a confirmation. Takes up to 10 s where an agent doesn't answer.
#[must_use]
pub fn available(environment: &Environment) -> Vec<Availability> {
    let look = |kind: &FactorKind| {
        let here = look_for(*kind, environment);
        let built = here.is_some();
        let here = here.unwrap_or_else(|| Err(not_built(*kind)));
        Availability { kind: *kind, built, here }
    };
    FactorKind::ALL.iter().map(look).collect()
}

/// None when this build has no driver for the kind.
fn look_for(kind: FactorKind, environment: &Environment) -> Option<Result<String, String>> {
    match kind {
        FactorKind::Password => Some(Ok("needs no device".to_owned())),
        FactorKind::Share => Some(Ok("needs the shares of the custodians".to_owned())),
        FactorKind::SshAgent => Some(ssh_agent(environment.ssh_auth_sock.as_deref())),
        FactorKind::Tpm => tpm(&environment.tcti),
        FactorKind::Fido2 => fido2(),
        FactorKind::Yubikey => yubikey(),
    }
}

fn not_built(kind: FactorKind) -> String {
    format!("this build has no {kind} driver; build with `--features {kind}`")
}

fn ssh_agent(socket: Option<&Path>) -> Result<String, String> {
    let socket = socket.ok_or(
        "SSH_AUTH_SOCK is not set; start an agent with `eval $(ssh-agent)`, and add a key with \
         `ssh-add FILE`",
    )?;
    let keys = Agent::connect(socket).and_then(|agent| agent.keys());
    let keys = keys.map_err(|error| error.to_string())?;
    match keys.iter().filter(|key| key.unusable.is_none()).count() {
        0 if keys.is_empty() => {
            Err("the agent holds no keys, or is locked; add one with `ssh-add \
                                     FILE`, or unlock it with `ssh-add -X`"
                .to_owned())
        }
        0 => Err(
            "none of the agent's keys can be a factor; make one with `ssh-keygen -t ed25519`, and \
                  add it with `ssh-add FILE`"
                .to_owned(),
        ),
        usable => Ok(counted(usable, "usable key")),
    }
}

#[cfg(feature = "tpm")]
fn tpm(tcti: &str) -> Option<Result<String, String>> {
    let found = tcti.parse().and_then(|tcti| crate::tpm::available(&tcti));
    Some(found.map_err(|error| error.to_string()))
}

#[cfg(not(feature = "tpm"))]
fn tpm(_: &str) -> Option<Result<String, String>> {
    None
}

#[cfg(feature = "fido2")]
fn fido2() -> Option<Result<String, String>> {
    Some(match crate::fido2::devices() {
        Ok(tokens) if tokens.is_empty() => {
            Err("no FIDO2 token is plugged in; plug one in".to_owned())
        }
        Ok(tokens) => Ok(counted(tokens.len(), "token")),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(not(feature = "fido2"))]
fn fido2() -> Option<Result<String, String>> {
    None
}

#[cfg(feature = "yubikey")]
fn yubikey() -> Option<Result<String, String>> {
    let name = |device: &crate::yubikey::Device| match device.serial {
        Some(serial) => format!("YubiKey {serial}"),
        None => "a YubiKey that tells no serial number".to_owned(),
    };
    Some(match crate::yubikey::devices() {
        Ok(found) if found.is_empty() => Err("no YubiKey is plugged in; plug one in".to_owned()),
        Ok(found) => Ok(found.iter().map(name).collect::<Vec<_>>().join(", ")),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(not(feature = "yubikey"))]
fn yubikey() -> Option<Result<String, String>> {
    None
}

/// `1 token`, `2 tokens`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine where nothing is found.
    fn bare() -> Environment {
        Environment { ssh_auth_sock: None, tcti: "device:/nonexistent".to_owned() }
    }

    #[test]
    fn every_kind_is_listed_once_in_order() {
        let kinds: Vec<_> = available(&bare()).iter().map(|found| found.kind).collect();
        assert_eq!(kinds, FactorKind::ALL);
    }

    #[test]
    fn passwords_and_shares_are_always_there() {
        for found in available(&bare()) {
            if matches!(found.kind, FactorKind::Password | FactorKind::Share) {
                assert!(found.built && found.here.is_ok(), "{found:?}");
            }
        }
    }

    #[test]
    fn what_is_not_built_is_not_here_and_names_the_feature() {
        let features = [
            (FactorKind::Tpm, cfg!(feature = "tpm")),
            (FactorKind::Fido2, cfg!(feature = "fido2")),
            (FactorKind::Yubikey, cfg!(feature = "yubikey")),
        ];
        for found in available(&bare()) {
            let Some((_, built)) = features.iter().find(|(kind, _)| *kind == found.kind) else {
                assert!(found.built);
                continue;
            };
            assert_eq!(found.built, *built);
            if !built {
                let reason = found.here.unwrap_err();
                assert!(reason.contains(&format!("--features {}", found.kind)), "{reason}");
            }
        }
    }

    #[test]
    fn without_an_agent_the_reason_names_the_variable() {
        assert!(ssh_agent(None).unwrap_err().contains("SSH_AUTH_SOCK"));
        let reason = ssh_agent(Some(Path::new("/nonexistent"))).unwrap_err();
        assert!(reason.contains("SSH_AUTH_SOCK") && reason.contains("/nonexistent"), "{reason}");
    }

    #[cfg(feature = "tpm")]
    #[test]
    fn a_tpm_that_is_not_there_is_not_available() {
        for tcti in ["device:/nonexistent", "nonsense"] {
            assert!(tpm(tcti).is_some_and(|found| found.is_err()), "{tcti}");
        }
    }
}
