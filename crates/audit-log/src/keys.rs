//! The public keys of the trail, as the entries have them that bring new ones.

use std::collections::BTreeMap;

use tlog::{KeyFileError, PublicKeys, Role};

/// The keys of the detail, and so the order of the two lines of a key file.
const NAMES: [&str; 2] = ["key_ed25519", "key_ml_dsa_44"];

/// Why the detail of an entry gives no signing key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyDetailError {
    /// One of the two is missing or no verifier key.
    #[error("its signing keys cannot be read: {0}")]
    Unreadable(String),
    /// Named after something else than this trail.
    #[error("its signing keys are those of another trail")]
    OtherTrail,
}

/// What an entry says that brings `keys`: each as a C2SP verifier key.
pub(crate) fn detail(keys: &PublicKeys) -> BTreeMap<String, String> {
    let text = keys.to_string();
    NAMES.map(str::to_owned).into_iter().zip(text.lines().map(str::to_owned)).collect()
}

/// Reads it.
pub(crate) fn from_detail(detail: &BTreeMap<String, String>) -> Result<PublicKeys, KeyDetailError> {
    let [first, second] = NAMES.map(|name| detail.get(name).map_or("", String::as_str));
    let unreadable = |reason: String| KeyDetailError::Unreadable(crate::line::printable(&reason));
    let keys: PublicKeys = format!("{first}\n{second}\n")
        .parse()
        .map_err(|error: KeyFileError| unreadable(error.to_string()))?;
    // One spelling only, as for the entry around it.
    let is_canonical =
        self::detail(&keys).into_iter().all(|(name, key)| detail.get(&name) == Some(&key));
    match keys.role() {
        Role::Log if is_canonical => Ok(keys),
        Role::Log => Err(unreadable("they are not in canonical form".to_owned())),
        Role::Witness => Err(unreadable("they are those of a witness".to_owned())),
    }
}
