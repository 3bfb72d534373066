//! How the two ends come to one secret, with cicada holding every private key but the one that
//! WireGuard itself needs.

use std::error::Error;
use std::fs;
use std::path::Path;

use cicada_client::{Client, ML_DSA_65_PUBLIC_BYTES};
use data_encoding::BASE64;
use secret_memory::Secret;

use crate::arguments::{Arguments, Role};
use crate::mailbox::Mailbox;
use crate::statement::{self, Offer};

/// What WireGuard needs.
pub struct Keys {
    /// X25519, of this end.
    pub private_key: Secret<32>,
    /// X25519, of the other end.
    pub peer_public_key: [u8; 32],
    /// The ML-KEM-768 shared secret.
    pub preshared_key: Secret<32>,
}

/// Exchanges offers with the peer, and then the ciphertext.
///
/// # Errors
/// What cicada, the mailbox or a signature said; no interface was touched.
pub fn agree(arguments: &Arguments) -> Result<Keys, Box<dyn Error>> {
    let Arguments { identity, role, socket, .. } = arguments;
    let mailbox = Mailbox { directory: &arguments.exchange, patience: arguments.wait };
    let pinned = pinned_key(&arguments.peer_key)?;

    let mut cicada = Client::connect(socket)?;
    let public = cicada.public_key(identity, None)?;
    // The version by name: a rotation in between would give halves that do not belong together.
    let version = Some(public.version);
    let private_key = cicada.get_key(identity, version)?;
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce)?;
    let ours = Offer::new(&public, nonce);
    let signature = cicada.sign(identity, &ours.statement(*role))?;
    drop(cicada);

    mailbox.put(offer_file(*role), &ours.to_file(&signature))?;
    let file = mailbox.wait_for(offer_file(role.peer()))?;
    let theirs = Offer::from_file(&file, role.peer(), &pinned)?;

    let preshared_key = match role {
        Role::Initiator => {
            let mut cicada = Client::connect(socket)?;
            let made = cicada.encapsulate(identity, Some(&theirs.ml_kem_768))?;
            let statement = statement::answer_statement(&ours, &theirs, &made.ciphertext);
            let signature = cicada.sign(identity, &statement)?;
            drop(cicada);
            mailbox.put(ANSWER_FILE, &statement::answer_to_file(&made.ciphertext, &signature))?;
            made.shared_secret
        }
        Role::Responder => {
            let file = mailbox.wait_for(ANSWER_FILE)?;
            let ciphertext = statement::answer_from_file(&file, &theirs, &ours, &pinned)?;
            Client::connect(socket)?.decapsulate(identity, &ciphertext, version)?
        }
    };
    Ok(Keys { private_key, peer_public_key: theirs.x25519, preshared_key })
}

const ANSWER_FILE: &str = "answer";

fn offer_file(role: Role) -> &'static str {
    match role {
        Role::Initiator => "offer-of-initiator",
        Role::Responder => "offer-of-responder",
    }
}

fn pinned_key(path: &Path) -> Result<Box<[u8; ML_DSA_65_PUBLIC_BYTES]>, Box<dyn Error>> {
    let said = |what: String| format!("cannot use {}: {what}", path.display());
    let text = fs::read_to_string(path).map_err(|error| said(error.to_string()))?;
    let key = BASE64.decode(text.trim_end().as_bytes()).ok().and_then(|key| key.try_into().ok());
    Ok(key.ok_or_else(|| said("it is not an ML-DSA-65 public key in base64".to_owned()))?)
}
