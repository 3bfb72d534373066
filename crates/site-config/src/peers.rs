//! `peers.toml`: who may talk to the daemons, by key and uid (README, "Threat model").

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::algorithms::UnknownName;
use crate::file::{self, FileError, Owner};
use crate::hex;
use crate::layout::Daemon;
use crate::names::PeerName;

/// What a peer is, which decides what it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Unlocks, reads and writes.
    Operator,
    /// Gives a factor, and proves that it works.
    Custodian,
    /// Reads the trail.
    Auditor,
    /// The writer of the trail.
    DaemonAudit,
    /// The keeper of vaults and keys.
    DaemonSecrets,
    /// The keeper of post-quantum identities.
    Cicada,
}

impl Role {
    /// Every role's name.
    pub const NAMES: &[&str] =
        &["operator", "custodian", "auditor", "daemon-audit", "daemon-secrets", "cicada"];

    /// The role's name in `peers.toml` and in the trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Custodian => "custodian",
            Self::Auditor => "auditor",
            Self::DaemonAudit => Daemon::Audit.as_str(),
            Self::DaemonSecrets => Daemon::Secrets.as_str(),
            Self::Cicada => Daemon::Cicada.as_str(),
        }
    }
}

impl From<Daemon> for Role {
    fn from(daemon: Daemon) -> Self {
        match daemon {
            Daemon::Audit => Self::DaemonAudit,
            Daemon::Secrets => Self::DaemonSecrets,
            Daemon::Cicada => Self::Cicada,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALL: [Role; 6] = [
            Role::Operator,
            Role::Custodian,
            Role::Auditor,
            Role::DaemonAudit,
            Role::DaemonSecrets,
            Role::Cicada,
        ];
        ALL.into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(UnknownName { what: "role", names: Self::NAMES })
    }
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, for people.
    pub name: PeerName,
    /// What it is.
    pub role: Role,
    /// The user that it runs as.
    pub uid: u32,
    /// Its X25519 public key.
    pub key: [u8; 32],
}

/// All peers: names and keys are unique, there is one daemon-audit and one daemon-secrets, and at
/// most one cicada.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers(Vec<Peer>);

/// Why the peers can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// The file can't be read, parsed or trusted.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no file, and so nobody may talk to anybody.
    #[error("{} does not exist; `sesame up` or your administrator makes it", .path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// Its peers don't go together.
    #[error("{}: {problem}", .path.display())]
    Set {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: PeerSetError,
    },
}

/// Why some peers don't go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerSetError {
    /// Two peers of one name.
    #[error("two peers are named \"{0}\"")]
    DuplicateName(PeerName),
    /// Two peers of one key: which of them spoke could not be told.
    #[error("the peers \"{0}\" and \"{1}\" have the same key")]
    DuplicateKey(PeerName, PeerName),
    /// A key of zeros, which every handshake would agree with.
    #[error("the key of the peer \"{0}\" is all zeros, which is no key")]
    ZeroKey(PeerName),
    /// Not exactly one of a daemon; at most one of cicada.
    #[error("there must be one peer of the role {role}, and there are {count}")]
    DaemonCount {
        /// The role.
        role: Role,
        /// How many there are.
        count: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeers<T> {
    #[serde(default = "Vec::new")]
    peer: Vec<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeer {
    name: PeerName,
    role: Spanned<String>,
    uid: u32,
    key: Spanned<String>,
}

#[derive(Serialize)]
struct Rendered<'p> {
    name: &'p PeerName,
    role: &'static str,
    uid: u32,
    key: String,
}

impl Peers {
    /// Checks a set of peers.
    ///
    /// # Errors
    /// [`PeerSetError`].
    pub fn new(peers: Vec<Peer>) -> Result<Self, PeerSetError> {
        let mut checked = Self(Vec::with_capacity(peers.len()));
        for peer in peers {
            checked.push(peer)?;
        }
        for role in [Role::DaemonAudit, Role::DaemonSecrets, Role::Cicada] {
            let count = checked.count(role);
            if count != 1 && (role, count) != (Role::Cicada, 0) {
                return Err(PeerSetError::DaemonCount { role, count });
            }
        }
        Ok(checked)
    }

    /// Reads a file, which must be root's or its directory's owner's and writable by nobody else.
    ///
    /// # Errors
    /// [`PeersError`].
    pub fn load(path: &Path) -> Result<Self, PeersError> {
        match file::read(path, Some(Owner::OfDirectory))? {
            Some(text) => Self::parse(&text.text, path),
            None => Err(PeersError::Absent { path: path.to_owned() }),
        }
    }

    /// Parses text that is said to come from `path`.
    ///
    /// # Errors
    /// [`PeersError`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, PeersError> {
        let raw: RawPeers<RawPeer> =
            toml::from_str(text).map_err(|error| file::syntax(&error, text, path))?;
        let syntax = |position, message| {
            let line = file::line_at(text.as_bytes(), position);
            FileError::Syntax { path: path.to_owned(), line, message }
        };
        let mut peers = Vec::with_capacity(raw.peer.len());
        for RawPeer { name, role, uid, key } in raw.peer {
            let at = role.span().start;
            let role =
                role.get_ref().parse().map_err(|e: UnknownName| syntax(at, e.to_string()))?;
            let key = hex::decode(key.get_ref()).ok_or_else(|| {
                let rule = "a peer's key is 64 lower-case hexadecimal digits";
                syntax(key.span().start, rule.to_owned())
            })?;
            peers.push(Peer { name, role, uid, key });
        }
        Self::new(peers).map_err(|problem| PeersError::Set { path: path.to_owned(), problem })
    }

    /// Adds one peer.
    ///
    /// # Errors
    /// [`PeerSetError`]; a second daemon of a role is refused. The set is unchanged then.
    pub fn add(&mut self, peer: Peer) -> Result<(), PeerSetError> {
        let role = peer.role;
        let is_daemon = matches!(role, Role::DaemonAudit | Role::DaemonSecrets | Role::Cicada);
        if is_daemon && self.count(role) > 0 {
            return Err(PeerSetError::DaemonCount { role, count: self.count(role) + 1 });
        }
        self.push(peer)
    }

    fn push(&mut self, peer: Peer) -> Result<(), PeerSetError> {
        if peer.key == [0; 32] {
            return Err(PeerSetError::ZeroKey(peer.name));
        }
        if self.0.iter().any(|other| other.name == peer.name) {
            return Err(PeerSetError::DuplicateName(peer.name));
        }
        if let Some(other) = self.find_by_key(&peer.key) {
            return Err(PeerSetError::DuplicateKey(other.name.clone(), peer.name));
        }
        self.0.push(peer);
        Ok(())
    }

    fn count(&self, role: Role) -> usize {
        self.0.iter().filter(|peer| peer.role == role).count()
    }

    /// The peer with this public key.
    #[must_use]
    pub fn find_by_key(&self, key: &[u8; 32]) -> Option<&Peer> {
        self.0.iter().find(|peer| peer.key == *key)
    }

    /// The peer of this name.
    #[must_use]
    pub fn find_by_name(&self, name: &str) -> Option<&Peer> {
        self.0.iter().find(|peer| peer.name.as_str() == name)
    }

    /// The one peer that is this daemon, which must not be cicada.
    ///
    /// # Panics
    /// When it is, and the host has none.
    #[must_use]
    pub fn daemon(&self, daemon: Daemon) -> &Peer {
        self.find_daemon(daemon).expect("a checked set has daemon-audit and daemon-secrets")
    }

    /// The peer that is this daemon.
    #[must_use]
    pub fn find_daemon(&self, daemon: Daemon) -> Option<&Peer> {
        let role = Role::from(daemon);
        self.0.iter().find(|peer| peer.role == role)
    }

    /// Every peer, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter()
    }

    /// BLAKE3 of who is in it: tells one set of peers from another in the trail.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(self.render().as_bytes()).as_bytes()
    }

    /// The set as `peers.toml`.
    #[must_use]
    pub fn render(&self) -> String {
        let peer = self.0.iter().map(|Peer { name, role, uid, key }| Rendered {
            name,
            role: role.as_str(),
            uid: *uid,
            key: hex::encode(key),
        });
        toml::to_string(&RawPeers { peer: peer.collect() }).expect("strings and numbers are TOML")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, role: Role, byte: u8) -> Peer {
        Peer { name: name.parse().unwrap(), role, uid: 1000, key: [byte; 32] }
    }

    fn daemons() -> Vec<Peer> {
        vec![peer("trail", Role::DaemonAudit, 1), peer("vault", Role::DaemonSecrets, 2)]
    }

    #[test]
    fn a_rendered_set_reads_back() {
        let mut peers = Peers::new(daemons()).unwrap();
        peers.add(peer("alice", Role::Operator, 3)).unwrap();
        peers.add(peer("bob", Role::Auditor, 0xfa)).unwrap();
        let text = peers.render();
        assert_eq!(Peers::parse(&text, Path::new("peers.toml")).unwrap(), peers, "{text}");
    }

    #[test]
    fn peers_are_found_by_what_they_are() {
        let peers = Peers::new(daemons()).unwrap();
        assert_eq!(peers.daemon(Daemon::Audit).name.as_str(), "trail");
        assert_eq!(peers.daemon(Daemon::Secrets).name.as_str(), "vault");
        assert_eq!(peers.find_by_key(&[2; 32]).unwrap().role, Role::DaemonSecrets);
        assert_eq!(peers.find_by_key(&[9; 32]), None);
        assert_eq!(peers.find_by_name("trail").unwrap().key, [1; 32]);
    }

    #[test]
    fn what_is_added_must_fit() {
        let mut peers = Peers::new(daemons()).unwrap();
        let before = peers.clone();
        for (bad, error) in [
            (peer("x", Role::Operator, 0), "all zeros"),
            (peer("x", Role::Operator, 1), "same key"),
            (peer("trail", Role::Operator, 9), "two peers are named"),
            (peer("x", Role::DaemonAudit, 9), "there are 2"),
        ] {
            let found = peers.add(bad).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
        assert_eq!(peers, before);
    }

    #[test]
    fn there_is_one_of_each_daemon() {
        for missing in 0..2 {
            let mut peers = daemons();
            peers.remove(missing);
            let error = Peers::new(peers).unwrap_err();
            assert!(matches!(error, PeerSetError::DaemonCount { count: 0, .. }), "{error}");
        }
        let mut peers = Peers::new(daemons()).unwrap();
        assert_eq!(peers.find_daemon(Daemon::Cicada), None);
        peers.add(peer("cicada", Role::Cicada, 3)).unwrap();
        assert_eq!(peers.find_daemon(Daemon::Cicada).unwrap().key, [3; 32]);
        let error = peers.add(peer("second", Role::Cicada, 4)).unwrap_err();
        assert!(matches!(error, PeerSetError::DaemonCount { count: 2, .. }), "{error}");
    }
}
