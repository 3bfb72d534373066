//! What the two ends tell each other: bytes of fixed sizes, and an ML-DSA-65 signature over them.

use cicada_client::{
    ML_DSA_65_PUBLIC_BYTES, ML_DSA_65_SIGNATURE_BYTES, ML_KEM_768_CIPHERTEXT_BYTES,
    ML_KEM_768_PUBLIC_BYTES, PublicKey,
};

use crate::arguments::Role;

/// The peer's file is not what it should be. Nothing was made of it.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// It has the wrong size.
    #[error("what the peer wrote is no {0}; is it the same version of this program?")]
    Malformed(&'static str),
    /// The pinned key did not sign it, or signed it for another exchange.
    #[error("the {0} was not signed for this exchange by the key in --peer-key")]
    Forged(&'static str),
}

/// The public keys of one end, and a number used once, so that an answer to an offer is an answer to
/// no other.
pub struct Offer {
    pub x25519: [u8; 32],
    pub ml_kem_768: Box<[u8; ML_KEM_768_PUBLIC_BYTES]>,
    pub nonce: [u8; 32],
}

/// The shared secret, for the responder's ML-KEM key.
pub type Ciphertext = [u8; ML_KEM_768_CIPHERTEXT_BYTES];

impl Offer {
    pub fn new(keys: &PublicKey, nonce: [u8; 32]) -> Self {
        Self { x25519: keys.x25519, ml_kem_768: keys.ml_kem_768.clone(), nonce }
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.x25519[..], &self.ml_kem_768[..], &self.nonce].concat()
    }

    /// What is signed. It names the role: nobody is answered with an offer of their own.
    pub fn statement(&self, role: Role) -> Vec<u8> {
        let label = match role {
            Role::Initiator => {
                &b"sesame cloud-sync example, version 1: offer of the initiator\0"[..]
            }
            Role::Responder => b"sesame cloud-sync example, version 1: offer of the responder\0",
        };
        [label, &self.bytes()].concat()
    }

    pub fn to_file(&self, signature: &[u8]) -> Vec<u8> {
        [&self.bytes(), signature].concat()
    }

    /// The peer's offer, once its signature is right.
    pub fn from_file(
        file: &[u8],
        role: Role,
        key: &[u8; ML_DSA_65_PUBLIC_BYTES],
    ) -> Result<Self, StatementError> {
        let malformed = || StatementError::Malformed("offer");
        let (x25519, rest) = file.split_first_chunk().ok_or_else(malformed)?;
        let (ml_kem_768, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (nonce, signature) = rest.split_first_chunk().ok_or_else(malformed)?;
        let offer = Self { x25519: *x25519, ml_kem_768: Box::new(*ml_kem_768), nonce: *nonce };
        verify(key, &offer.statement(role), signature, "offer")?;
        Ok(offer)
    }
}

/// What the initiator signs: the ciphertext, and both offers that it belongs to.
pub fn answer_statement(initiator: &Offer, responder: &Offer, ciphertext: &Ciphertext) -> Vec<u8> {
    let label = &b"sesame cloud-sync example, version 1: answer\0"[..];
    [label, &initiator.bytes(), &responder.bytes(), ciphertext].concat()
}

pub fn answer_to_file(ciphertext: &Ciphertext, signature: &[u8]) -> Vec<u8> {
    [&ciphertext[..], signature].concat()
}

/// The initiator's ciphertext, once its signature is right for these two offers.
pub fn answer_from_file(
    file: &[u8],
    initiator: &Offer,
    responder: &Offer,
    key: &[u8; ML_DSA_65_PUBLIC_BYTES],
) -> Result<Box<Ciphertext>, StatementError> {
    let malformed = StatementError::Malformed("answer");
    let (ciphertext, signature) = file.split_first_chunk().ok_or(malformed)?;
    verify(key, &answer_statement(initiator, responder, ciphertext), signature, "answer")?;
    Ok(Box::new(*ciphertext))
}

fn verify(
    key: &[u8; ML_DSA_65_PUBLIC_BYTES],
    statement: &[u8],
    signature: &[u8],
    what: &'static str,
) -> Result<(), StatementError> {
    let signature: &[u8; ML_DSA_65_SIGNATURE_BYTES] =
        signature.try_into().map_err(|_| StatementError::Malformed(what))?;
    if identity_keys::verify(key, statement, signature) {
        return Ok(());
    }
    Err(StatementError::Forged(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity_keys::{IdentityKeys, Seeds};

    struct End {
        keys: IdentityKeys,
        offer: Offer,
    }

    impl End {
        fn new(nonce: u8) -> Self {
            let keys = IdentityKeys::expand(&Seeds::generate().unwrap()).unwrap();
            let public = keys.public();
            let offer = Offer {
                x25519: public.x25519,
                ml_kem_768: Box::new(*public.ml_kem_768),
                nonce: [nonce; 32],
            };
            Self { keys, offer }
        }

        fn offer_file(&self, role: Role) -> Vec<u8> {
            let signature = self.keys.sign(&self.offer.statement(role)).unwrap();
            self.offer.to_file(&signature[..])
        }

        fn pinned(&self) -> &[u8; ML_DSA_65_PUBLIC_BYTES] {
            &self.keys.public().ml_dsa_65
        }
    }

    #[test]
    fn an_offer_of_the_pinned_peer_is_taken() {
        let peer = End::new(1);
        let offer =
            Offer::from_file(&peer.offer_file(Role::Responder), Role::Responder, peer.pinned());
        assert_eq!(offer.unwrap().bytes(), peer.offer.bytes());
    }

    #[test]
    fn an_offer_that_is_changed_in_any_part_is_refused() {
        let peer = End::new(1);
        let file = peer.offer_file(Role::Responder);
        for place in [0, 32, 32 + 1184, 32 + 1184 + 32, file.len() - 1] {
            let mut changed = file.clone();
            changed[place] ^= 1;
            let offer = Offer::from_file(&changed, Role::Responder, peer.pinned());
            assert!(matches!(offer, Err(StatementError::Forged("offer"))), "byte {place}");
        }
        for wrong in [&file[1..], &file[..file.len() - 1], &[], &[&file[..], &[0]].concat()] {
            let offer = Offer::from_file(wrong, Role::Responder, peer.pinned());
            assert!(
                matches!(offer, Err(StatementError::Malformed("offer"))),
                "{} bytes",
                wrong.len()
            );
        }
    }

    #[test]
    fn an_offer_of_another_key_or_role_is_refused() {
        let (peer, stranger) = (End::new(1), End::new(2));
        let file = peer.offer_file(Role::Responder);
        assert!(Offer::from_file(&file, Role::Responder, stranger.pinned()).is_err());
        assert!(Offer::from_file(&file, Role::Initiator, peer.pinned()).is_err(), "reflected");
    }

    #[test]
    fn an_answer_belongs_to_one_pair_of_offers() {
        let (initiator, responder, later) = (End::new(1), End::new(2), End::new(3));
        let ciphertext = [7; ML_KEM_768_CIPHERTEXT_BYTES];
        let statement = answer_statement(&initiator.offer, &responder.offer, &ciphertext);
        let signature = initiator.keys.sign(&statement).unwrap();
        let mut file = answer_to_file(&ciphertext, &signature[..]);
        let open = |file: &[u8], responder: &End| {
            answer_from_file(file, &initiator.offer, &responder.offer, initiator.pinned())
        };
        assert_eq!(*open(&file, &responder).unwrap(), ciphertext);
        assert!(matches!(open(&file, &later), Err(StatementError::Forged("answer"))), "replayed");
        file[0] ^= 1;
        assert!(matches!(open(&file, &responder), Err(StatementError::Forged("answer"))));
    }
}
