//! Which Noise protocol two peers speak. The first bytes of a connection name it.

use site_config::{NoiseCipher, NoiseHash, PeerProfile};

/// First bytes of every connection: the protocol's name and version.
pub const MAGIC: [u8; 4] = *b"SSM1";
/// Bytes a client sends before its first handshake message: [`MAGIC`] and the suite.
pub const PREAMBLE_BYTES: usize = 5;

/// A Noise cipher and hash; pattern (IK) and curve (25519) are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The AEAD.
    pub cipher: NoiseCipher,
    /// The hash.
    pub hash: NoiseHash,
}

impl Suite {
    /// Every suite; the position in this list is its byte on the wire.
    pub const ALL: [Self; 4] = [
        Self { cipher: NoiseCipher::ChaChaPoly, hash: NoiseHash::Blake2s },
        Self { cipher: NoiseCipher::AesGcm, hash: NoiseHash::Sha256 },
        Self { cipher: NoiseCipher::ChaChaPoly, hash: NoiseHash::Sha256 },
        Self { cipher: NoiseCipher::AesGcm, hash: NoiseHash::Blake2s },
    ];

    /// The protocol's name as the Noise specification (revision 34) spells it.
    #[must_use]
    pub fn noise_name(self) -> &'static str {
        match (self.cipher, self.hash) {
            (NoiseCipher::ChaChaPoly, NoiseHash::Blake2s) => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
            (NoiseCipher::AesGcm, NoiseHash::Sha256) => "Noise_IK_25519_AESGCM_SHA256",
            (NoiseCipher::ChaChaPoly, NoiseHash::Sha256) => "Noise_IK_25519_ChaChaPoly_SHA256",
            (NoiseCipher::AesGcm, NoiseHash::Blake2s) => "Noise_IK_25519_AESGCM_BLAKE2s",
        }
    }

    /// The profile that the pair belongs to, for `crypto.minimum_peer_profile`.
    #[must_use]
    pub fn profile(self) -> PeerProfile {
        PeerProfile::of(self.cipher, self.hash)
    }

    /// The client's first bytes. They go into the handshake's prologue, so nobody can change them.
    #[must_use]
    pub fn preamble(self) -> [u8; PREAMBLE_BYTES] {
        let index = Self::ALL.iter().position(|suite| *suite == self).unwrap_or(0);
        let [a, b, c, d] = MAGIC;
        [a, b, c, d, index as u8]
    }

    /// Reads a preamble; `None` for another protocol, another version or an unknown suite.
    #[must_use]
    pub fn from_preamble(bytes: &[u8; PREAMBLE_BYTES]) -> Option<Self> {
        let (magic, index) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return None;
        }
        Self::ALL.get(usize::from(index[0])).copied()
    }
}
