//! `unlock` by each mode, against what its factors cost by themselves.

use std::time::{Duration, Instant};

use ipc::factors::{Cause, NewFactor, Source};
use ipc::secrets::{BindTo, SecretsReply, SecretsRequest};
use ipc::{Client, codec};
use key_hierarchy::Parameters;
use key_hierarchy::parameters::SshAgentParameters;
use site_config::{Daemon, FactorKind};
use testbed::{Host, PASSWORD, Users};

use crate::floors::{argon2id, median};
use crate::requests::WORKING_MEMORY_IS_RELEASED_AFTER;
use crate::table::Table;

/// What a device answers costs the daemon next to nothing, whichever it is.
const SIGNATURE: [u8; 64] = [7; 64];

/// A mode: its setting, what is enrolled, and which of that, by id, is given.
struct Mode {
    name: &'static str,
    config: &'static str,
    passwords: u32,
    device: bool,
    given: &'static [u32],
}

const MODES: [Mode; 4] = [
    Mode { name: "any", config: "", passwords: 1, device: false, given: &[1] },
    Mode {
        name: "all, 2 passwords and a device",
        config: "[auth]\nmode = \"all\"\n",
        passwords: 2,
        device: true,
        given: &[1, 2, 3],
    },
    Mode {
        name: "policy, 2 of 3 passwords",
        config: "[auth]\nmode = \"policy\"\n[auth.policy]\nadditional_required = 2\n",
        passwords: 3,
        device: false,
        given: &[2, 3],
    },
    Mode {
        name: "policy, a password and a device",
        config: "[auth]\nmode = \"policy\"\n[auth.policy]\nrequired = [\"password\"]\n\
                 additional_required = 1\n",
        passwords: 1,
        device: true,
        given: &[1, 2],
    },
];

/// Unlocks by every mode.
pub fn unlock(table: &mut Table) {
    let alone = argon2id();
    for mode in &MODES {
        let mut host = Host::builder().users(Users::only_me()).config(mode.config).provision();
        host.start();
        let mut client = host.connect(Daemon::Secrets).expect("a connection");
        init(&mut client, mode);
        let unlock = measure(&mut client, mode);
        let stretched = mode.given.iter().filter(|id| **id <= mode.passwords).count();
        let own = alone * u32::try_from(stretched).expect("few");
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        table.at_most(
            &format!("unlock, mode {}", mode.name),
            millis(unlock) / millis(own),
            1.2,
            "times",
            &format!("{:.1} ms against {:.1} ms of Argon2id alone", millis(unlock), millis(own)),
        );
    }
}

fn init(client: &mut Client, mode: &Mode) {
    let labels: Vec<String> = (1..=mode.passwords).map(|n| format!("password {n}")).collect();
    let parameters = serde_json::to_string(&Parameters::SshAgent(SshAgentParameters {
        public_key: "ssh-ed25519 AAAA".to_owned(),
        challenge: [0; 32],
    }));
    let parameters = parameters.expect("plain data");
    let passwords: Vec<Vec<u8>> = (1..=mode.passwords).map(password).collect();
    let mut factors: Vec<NewFactor<'_>> = labels
        .iter()
        .zip(&passwords)
        .map(|(label, evidence)| NewFactor {
            label,
            kind: FactorKind::Password,
            parameters: "",
            machine: false,
            evidence,
        })
        .collect();
    if mode.device {
        factors.push(NewFactor {
            label: "device",
            kind: FactorKind::SshAgent,
            parameters: &parameters,
            machine: false,
            evidence: &SIGNATURE,
        });
    }
    let request =
        SecretsRequest::Init { org: None, binding: BindTo::Nothing, profile: "default", factors };
    let reply = client.call(&request).expect("a reply");
    assert!(matches!(codec::decode(reply.expose()), Ok(SecretsReply::Initialised { .. })));
}

/// The time of all submissions together.
fn measure(client: &mut Client, mode: &Mode) -> Duration {
    let lock = |client: &mut Client| {
        client.call(&SecretsRequest::Lock { profile: None }).expect("a reply");
    };
    let give = |client: &mut Client| {
        for id in mode.given {
            let password = password(*id);
            let evidence = if *id <= mode.passwords { &password[..] } else { &SIGNATURE };
            submit(client, *id, evidence);
        }
    };
    give(client);
    let locking = median(30, || lock(client));
    let both = median(30, || {
        lock(client);
        give(client);
    });
    both.saturating_sub(locking)
}

/// `unlock` on an open connection, by the only password, against Argon2id alone; and the first one
/// after a while.
pub fn first(host: &Host, table: &mut Table) {
    let mut client = host.connect(Daemon::Secrets).expect("a connection");
    // The first try after half a minute maps the working memory anew.
    std::thread::sleep(WORKING_MEMORY_IS_RELEASED_AFTER);
    client.call(&SecretsRequest::Lock { profile: None }).expect("a reply");
    let start = Instant::now();
    submit(&mut client, 1, PASSWORD.as_bytes());
    table.figure(
        "unlock, first in 30 s",
        format!("{:.1} ms", start.elapsed().as_secs_f64() * 1e3),
        "maps and touches 19 MiB of secret memory",
    );
}

fn submit(client: &mut Client, factor: u32, evidence: &[u8]) {
    let request = SecretsRequest::FactorSubmit {
        source: Source::Profile(None),
        cause: Cause::Unlock,
        factors: vec![factor],
        evidence,
        passphrase: None,
    };
    let reply = client.call(&request).expect("a reply");
    assert!(matches!(codec::decode(reply.expose()), Ok(SecretsReply::Progress(_))));
}

fn password(id: u32) -> Vec<u8> {
    format!("{PASSWORD} {id}").into_bytes()
}
