//! Who may talk to the daemons, as `sesame peer list` has it.

use serde::Deserialize;

use crate::host::{Ended, Host};
use crate::volume::{CICADA, SESAME_AUDIT, SESAME_SECRETS};
use crate::{CEREMONY_ID, CEREMONY_USER};

/// An entry of peers.toml.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// `operator`, `custodian`, `auditor`, or a daemon's.
    pub role: String,
    /// The user that it runs as.
    pub uid: u32,
    /// Its public key, in hexadecimal.
    pub key: String,
}

impl Peer {
    /// Whether every appliance knows it: its daemons, and the operator at its console.
    fn is_of_the_appliance(&self) -> bool {
        // What a role may do is done by whoever has the number, so that a name alone is nobody's.
        let (name, uid) = match self.role.as_str() {
            "daemon-audit" => ("daemon-audit", SESAME_AUDIT),
            "daemon-secrets" => ("daemon-secrets", SESAME_SECRETS),
            "cicada" => ("cicada", CICADA),
            "operator" => (CEREMONY_USER, CEREMONY_ID),
            _ => return false,
        };
        self.name == name && self.uid == uid
    }
}

#[derive(Deserialize)]
struct List {
    peers: Vec<Peer>,
}

/// The peers can't be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlisted;

/// Reads what `sesame --json peer list` prints.
///
/// # Errors
/// [`Unlisted`] if it isn't that.
pub fn parse(json: &[u8]) -> Result<Vec<Peer>, Unlisted> {
    serde_json::from_slice::<List>(json).map(|list| list.peers).map_err(|_| Unlisted)
}

/// Whoever the daemons know beside themselves and the operator at the console: on a volume, somebody put
/// them there.
///
/// # Errors
/// [`Unlisted`] if `sesame` doesn't say.
pub fn others(host: &mut dyn Host) -> Result<Vec<Peer>, Unlisted> {
    let (Ended::Exit(0), json) =
        host.capture(&["sesame", "--json", "peer", "list"]).map_err(|_| Unlisted)?
    else {
        return Err(Unlisted);
    };
    let mut peers = parse(json.as_bytes())?;
    peers.retain(|peer| !peer.is_of_the_appliance());
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::{Unlisted, others};
    use crate::host::Ended;
    use crate::scripted::Scripted;

    fn names(peers: &str) -> Result<Vec<String>, Unlisted> {
        let json = format!("{{\"peers\":[{peers}]}}");
        let mut host = Scripted::default().with("sesame --json peer", Ended::Exit(0), &json);
        Ok(others(&mut host)?.into_iter().map(|peer| peer.name).collect())
    }

    fn peer(name: &str, role: &str, uid: u32) -> String {
        format!("{{\"name\":\"{name}\",\"role\":\"{role}\",\"uid\":{uid},\"key\":\"00\"}}")
    }

    #[test]
    fn whoever_was_planted_stands_out_from_the_appliances_own() {
        let own = [
            peer("daemon-audit", "daemon-audit", 961),
            peer("daemon-secrets", "daemon-secrets", 962),
            peer("cicada", "cicada", 963),
            peer("ceremony", "operator", 1000),
        ];
        assert_eq!(names(&own.join(",")), Ok(vec![]));
        for planted in [
            peer("mallory", "operator", 1000),
            peer("ceremony", "operator", 0),
            peer("ceremony", "auditor", 1000),
            peer("mallory", "custodian", 1000),
            peer("daemon-audit", "daemon-audit", 1000),
            peer("daemon-secrets", "daemon-secrets", 961),
            peer("cicada", "cicada", 1000),
        ] {
            assert_eq!(names(&[own.join(","), planted].join(",")).unwrap().len(), 1);
        }
    }

    #[test]
    fn no_list_is_not_an_empty_one() {
        assert_eq!(names("1"), Err(Unlisted));
        let mut failing = Scripted::default().with("sesame", Ended::Exit(20), "{\"peers\":[]}");
        assert_eq!(others(&mut failing), Err(Unlisted));
    }
}
