//! Which keys may come from which uids: peers.toml, as the handshake asks for it.

use ipc::{Credentials, Peer, RefusalReason, Suite};
use site_config::{PeerProfile, Peers};

/// The known peers and the weakest Noise suite that they may speak.
pub struct Directory {
    peers: Peers,
    minimum: PeerProfile,
}

impl Directory {
    /// From peers.toml and `crypto.minimum_peer_profile`.
    #[must_use]
    pub fn new(peers: Peers, minimum: PeerProfile) -> Self {
        Self { peers, minimum }
    }

    /// Whether a client may speak this suite.
    #[must_use]
    pub fn accepts(&self, suite: Suite) -> bool {
        suite.profile() >= self.minimum
    }

    /// Who holds `key`: the key and the uid must belong together.
    ///
    /// # Errors
    /// [`RefusalReason::UnknownKey`] or [`RefusalReason::WrongUid`].
    pub fn peer(&self, key: &[u8; 32], credentials: Credentials) -> Result<Peer, RefusalReason> {
        let entry = self.peers.find_by_key(key).ok_or(RefusalReason::UnknownKey)?;
        if entry.uid != credentials.uid {
            return Err(RefusalReason::WrongUid);
        }
        Ok(Peer { name: entry.name.to_string(), role: entry.role, key: *key, credentials })
    }
}
