//! Requests about factors that no command of ours makes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use ipc::FaultKind;
use ipc::factors::{Cause, NewFactor, Source};
use ipc::secrets::SecretsRequest;
use key_hierarchy::Parameters;
use key_hierarchy::parameters::SshAgentParameters;
use site_config::FactorKind;
use testbed::factors::{init, list};
use testbed::{Host, PASSWORD, ask};

/// Each id costs a stretch of the password, all of them under one lock.
#[test]
fn a_factor_is_not_named_twice_in_one_try() {
    let host = Host::initialised();
    let mut client = host.client();
    for factors in [vec![1, 1], vec![1; 1000], vec![]] {
        let request = SecretsRequest::FactorSubmit {
            source: Source::Profile(None),
            cause: Cause::Unlock,
            factors,
            evidence: PASSWORD.as_bytes(),
            passphrase: None,
        };
        let refused = ask::ask(&mut client, &request, |_| Some(())).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{refused:?}");
    }
    assert_eq!(list(&mut client).unwrap().factors[0].failures, 0);
}

/// Sixteen factors must fit into a file that is read again, and into one reply.
#[test]
fn the_parameters_of_a_factor_are_bounded() {
    let host = Host::started();
    let mut client = host.client();
    let mut with_key = |length: usize| {
        let parameters = Parameters::SshAgent(SshAgentParameters {
            public_key: format!("ssh-rsa {}", "A".repeat(length)),
            challenge: [7; 32],
        });
        let parameters = serde_json::to_string(&parameters).unwrap();
        let factor = NewFactor {
            label: "key",
            kind: FactorKind::SshAgent,
            parameters: &parameters,
            machine: false,
            evidence: &[7; 64],
        };
        init(&mut client, vec![factor])
    };
    let refused = with_key(5000).unwrap_err();
    assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{refused:?}");
    with_key(2800).unwrap();
}
