//! `sesame peer …`: who may talk to the daemons.

use serde_json::{Value, json};
use site_config::durable::write_atomically;
use site_config::{PeerName, Peers, Role};

use crate::cli::{Peer, PersonRole};
use crate::commands::provision::{hex, unhex};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(context: &Context, output: &Output, command: Peer) -> Result<(), Failure> {
    let path = context.site.layout.peers_file();
    let mut peers = Peers::load(path)?;
    match command {
        Peer::List => list(&peers, output),
        Peer::Add { name, uid, key, role } => {
            let invalid = |text: String| Failure::new(Code::INVALID, text);
            let key = unhex(&key)
                .ok_or_else(|| invalid("a key is 64 lower-case hex digits".to_owned()))?;
            let name = PeerName::try_from(name.as_str());
            let name = name.map_err(|error| invalid(error.to_string()))?;
            let role = match role {
                PersonRole::Operator => Role::Operator,
                PersonRole::Custodian => Role::Custodian,
                PersonRole::Auditor => Role::Auditor,
            };
            let peer = site_config::Peer { name: name.clone(), role, uid, key };
            peers.add(peer).map_err(|error| Failure::new(Code::EXISTS, error.to_string()))?;
            write_atomically(path, peers.render().as_bytes(), 0o644).map_err(|error| {
                Failure::new(Code::STORAGE, format!("cannot write {}: {error}", path.display()))
            })?;
            let text = format!("{name} is added; the daemons take notice at their next start.\n");
            output.result(&text, json!({ "added": name.as_str() }))
        }
    }
}

fn list(peers: &Peers, output: &Output) -> Result<(), Failure> {
    let mut text = String::new();
    let mut list: Vec<Value> = Vec::new();
    for peer in peers.iter() {
        let key = hex(&peer.key);
        text.push_str(&format!("{:<16} {:<15} uid {:<6} {key}\n", peer.name, peer.role, peer.uid));
        list.push(json!({
            "name": peer.name.as_str(),
            "role": peer.role.as_str(),
            "uid": peer.uid,
            "key": key,
        }));
    }
    output.result(&text, json!({ "peers": list }))
}
