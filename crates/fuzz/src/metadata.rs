//! A profile's `unlock.json`, on a disk that somebody else had.

use std::cell::RefCell;
use std::sync::LazyLock;

use key_hierarchy::kdf::WorkingMemory;
use key_hierarchy::metadata::FactorKind;
use key_hierarchy::{Binding, Derivation, KdfParameters, MasterKey, Metadata};
use uuid::Uuid;

use crate::shape::shape;

const PASSWORD: &[u8] = b"correct horse";

static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let argon2 =
        KdfParameters::Argon2id { memory_kib: 8, iterations: 1, parallelism: 1, salt: [3; 16] };
    let pbkdf2 = KdfParameters::Pbkdf2Sha256 { iterations: 10, salt: [4; 16] };
    let profiles = [(argon2, Derivation::Blake3), (pbkdf2, Derivation::HkdfSha256)];
    let samples = profiles.map(|(kdf, derivation)| {
        let master = MasterKey::generate().expect("random bytes");
        let mut memory = WorkingMemory::default();
        Metadata::with_password(binding(), derivation, &master, kdf, PASSWORD, &mut memory)
            .expect("room for a small KDF")
            .render()
    });
    samples.into()
});

thread_local! {
    static MEMORY: RefCell<WorkingMemory> = RefCell::default();
}

fn binding() -> Binding {
    Binding { installation: Uuid::from_u128(7), profile: "default".to_owned() }
}

/// `unlock.json`.
///
/// # Panics
/// When metadata is not the same after being written and read again, or when the right password
/// opens a file that is not the one it was enrolled with.
pub fn metadata(orders: &[u8]) {
    let bytes = shape(&SAMPLES, orders);
    let metadata = match Metadata::parse(&bytes, &binding()) {
        Ok(metadata) => metadata,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let rendered = metadata.render();
    let again = Metadata::parse(&rendered, &binding()).expect("we read what we write");
    assert_eq!(again, metadata);
    if metadata.factors().iter().any(|factor| is_slow(&factor.kind)) {
        return;
    }
    let opened = MEMORY.with_borrow_mut(|memory| metadata.unlock_with_password(PASSWORD, memory));
    assert_eq!(opened.is_ok(), SAMPLES.contains(&rendered), "{rendered:?}");
}

/// An edit may ask for much work; the bounds for that have tests of their own.
fn is_slow(kind: &FactorKind) -> bool {
    let FactorKind::Password { kdf } = kind;
    match kdf {
        KdfParameters::Argon2id { memory_kib, iterations, .. } => {
            *memory_kib > 256 || *iterations > 4
        }
        KdfParameters::Pbkdf2Sha256 { iterations, .. } => *iterations > 1000,
    }
}
