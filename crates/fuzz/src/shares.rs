//! Recovery shares, as somebody typed or scanned them.

use std::sync::LazyLock;

use key_hierarchy::Derivation;
use key_hierarchy::kdf::WorkingMemory;
use key_hierarchy::share::{LOCKED_BYTES, Lock, PLAIN_BYTES, Share, ShareError, Split};
use uuid::Uuid;

use crate::settings::check_sentence;
use crate::shape::shape;

const DERIVATION: Derivation = Derivation::Blake3;
const SHARES: u8 = 3;

/// Two splits of one installation.
static SPLITS: LazyLock<[Split; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| Split::new(&Uuid::from_u128(7), DERIVATION, 2, SHARES).expect("a split"))
});

/// The shares of both without a passphrase, and then one of each lock.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let numbers = || 1..=SHARES;
    let plain = SPLITS.iter().flat_map(|split| numbers().map(|n| written(split, n, Lock::None)));
    let locks = [Lock::Argon2id, Lock::Pbkdf2Sha256];
    plain.chain(locks.map(|lock| written(&SPLITS[0], 1, lock))).collect()
});

fn written(split: &Split, number: u8, lock: Lock) -> Vec<u8> {
    let header = split.parameters.header(number, lock);
    let part = &split.parts[usize::from(number) - 1];
    let share = part.write(header, b"passphrase", &mut WorkingMemory::new());
    share.expect("room for a KDF").expose().to_vec()
}

/// A share, given for the first of two splits.
///
/// # Panics
/// When any other than one of its own shares is accepted, when one of them is not, or when an error
/// would put control characters on a terminal.
pub fn shares(orders: &[u8]) {
    let bytes = shape(&SAMPLES, orders);
    let is_ours = SAMPLES[..usize::from(SHARES)].contains(&bytes);
    let share = match Share::parse(&bytes) {
        Ok(share) => share,
        Err(error) => {
            assert!(!is_ours, "one of ours cannot be read");
            return check_sentence(&error.to_string());
        }
    };
    assert!([PLAIN_BYTES, LOCKED_BYTES].contains(&bytes.len()));
    let mut memory = WorkingMemory::new();
    // Without a passphrase: trying one is slow by design.
    match SPLITS[0].parameters.accept(DERIVATION, &share, None, &mut memory) {
        Ok(_) => assert!(is_ours, "accepted: {bytes:?}"),
        Err(error) => {
            check_sentence(&error.to_string());
            assert!(!is_ours, "{error}");
            let is_locked = share.header.lock != Lock::None;
            assert!(is_locked || !matches!(error, ShareError::PassphraseNeeded { .. }), "{error}");
        }
    }
}
