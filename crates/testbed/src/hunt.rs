//! Secrets that a test plants, and the search for them in a daemon.

use std::fs::File;
use std::io::Read;

use site_config::Daemon;

use crate::host::Host;
use crate::memory;

/// A piece that is long enough not to occur by chance.
const PIECE: usize = 16;

/// What must not be found: the secrets in pieces, as they are and in hexadecimal.
#[derive(Default)]
pub struct Hunt {
    needles: Vec<Vec<u8>>,
    names: Vec<String>,
}

impl Hunt {
    /// Adds a secret of at least 16 bytes.
    ///
    /// # Panics
    /// When it is shorter.
    #[must_use]
    pub fn with(mut self, name: &str, secret: &[u8]) -> Self {
        assert!(secret.len() >= PIECE, "{name} is too short to be told from chance");
        for (number, piece) in secret.chunks_exact(PIECE).enumerate() {
            self.needles.push(piece.to_vec());
            self.names.push(format!("piece {number} of {name}"));
            let hexadecimal: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            self.needles.push(hexadecimal.into_bytes());
            self.names.push(format!("piece {number} of {name} in hexadecimal"));
        }
        self
    }

    /// Searches both daemons, and says where anything was found. What each surely has in its
    /// memory, the path of its state, is searched for as well: a search that misses it is blind.
    ///
    /// # Panics
    /// When a daemon can't be searched.
    #[must_use]
    pub fn finds(&self, host: &Host) -> Vec<String> {
        [Daemon::Audit, Daemon::Secrets]
            .into_iter()
            .flat_map(|daemon| self.finds_in(host, daemon))
            .collect()
    }

    /// As [`Hunt::finds`], in one daemon.
    ///
    /// # Panics
    /// When it can't be searched.
    #[must_use]
    pub fn finds_in(&self, host: &Host, daemon: Daemon) -> Vec<String> {
        let known = host.layout.state(daemon).as_os_str().as_encoded_bytes().to_vec();
        let mut needles = vec![known];
        needles.extend(self.needles.iter().cloned());
        let (mut hits, seen) =
            memory::search_all(host.pid(daemon), &needles).expect("root reads any memory");
        assert!(seen > 1 << 20, "{seen} bytes of {} were seen", daemon.as_str());
        assert!(!hits.remove(0).is_empty(), "the search in {} is blind", daemon.as_str());
        let found = hits.into_iter().zip(&self.names).filter(|(hits, _)| !hits.is_empty());
        found.map(|(hits, name)| format!("{name} in {}: {hits:x?}", daemon.as_str())).collect()
    }
}

/// Printable text with four random bits in each byte.
///
/// # Panics
/// When the kernel gives no random bytes.
#[must_use]
pub fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes.div_ceil(2)];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).expect("random");
    let mut text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(bytes);
    text
}
