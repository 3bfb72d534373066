//! A profile's `unlock.json`, on a disk that somebody else had, and what clients say of new factors.

use std::cell::RefCell;
use std::sync::LazyLock;

use key_hierarchy::kdf::{KdfParameters, WorkingMemory};
use key_hierarchy::parameters::{
    Check, Fido2Parameters, Parameters, PasswordParameters, ShareParameters, SshAgentParameters,
    TpmParameters, YubikeyParameters,
};
use key_hierarchy::{
    Binding, Derivation, Enrolment, FactorSecret, MasterKey, Metadata, MetadataError, Pieces,
};
use site_config::{AuthMode, FactorKind, FactorKinds, UnlockPolicy};
use uuid::Uuid;

use crate::settings::check_sentence;
use crate::shape::shape;

/// What the factors 1 to 3 answer.
const EVIDENCE: [&[u8]; 3] = [b"correct horse", b"a signature", b"a piece of the machine"];

/// A password of either function, and one of the others or the machine beside it.
static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let required = FactorKinds::from_iter([FactorKind::Password]);
    let policy = UnlockPolicy::new(AuthMode::Policy, required, 1).expect("a policy");
    let all = UnlockPolicy::new(AuthMode::All, FactorKinds::EMPTY, 0).expect("a policy");
    let [argon2, pbkdf2] = kdfs();
    [
        sample(Derivation::Blake3, policy, [password(argon2), ssh_agent(), tpm()]),
        sample(Derivation::HkdfSha256, all, [password(pbkdf2), share(), tpm()]),
    ]
    .into()
});

thread_local! {
    static MEMORY: RefCell<WorkingMemory> = RefCell::default();
}

fn sample(derivation: Derivation, policy: UnlockPolicy, factors: [Parameters; 3]) -> Vec<u8> {
    let mut enrolment = Enrolment::new(binding(), derivation, policy);
    for (parameters, evidence) in factors.into_iter().zip(EVIDENCE) {
        let secret = secret(&parameters, derivation, evidence).expect("small costs");
        let (label, machine) = (parameters.kind().as_str(), parameters.kind() == FactorKind::Tpm);
        let label = label.try_into().expect("a label");
        enrolment.add(label, machine, parameters, &secret).expect("a factor");
    }
    let master = MasterKey::generate().expect("random bytes");
    Metadata::seal(enrolment, &master).expect("a policy that can be satisfied").render()
}

fn binding() -> Binding {
    Binding { installation: Uuid::from_u128(7), profile: "default".to_owned() }
}

/// `unlock.json`, here and in a backup.
///
/// # Panics
/// When metadata is not the same after being written and read again, when all factors together open a
/// file that is not the one they were enrolled in, or when an error would put control characters on a
/// terminal.
pub fn metadata(orders: &[u8]) {
    let bytes = shape(&SAMPLES, orders);
    let metadata = match Metadata::parse_any(&bytes) {
        Ok(metadata) => metadata,
        Err(error) => return check_sentence(&error.to_string()),
    };
    match Metadata::parse(&bytes, &binding()) {
        Ok(same) => assert_eq!(same, metadata),
        Err(error) => {
            check_sentence(&error.to_string());
            assert!(matches!(error, MetadataError::Foreign { .. }), "{error}");
            assert_ne!(metadata.enrolment().binding, binding());
        }
    }
    let rendered = metadata.render();
    let again = Metadata::parse_any(&rendered).expect("we read what we write");
    assert_eq!(again, metadata);
    assert_eq!(opens(&metadata), SAMPLES.contains(&rendered), "{rendered:?}");
}

fn opens(metadata: &Metadata) -> bool {
    let enrolment = metadata.enrolment();
    let mut pieces = Pieces::new();
    for (id, evidence) in (1..).zip(EVIDENCE) {
        let Some(factor) = enrolment.factor(id).filter(|it| !is_slow(&it.parameters)) else {
            continue;
        };
        let secret = secret(&factor.parameters, enrolment.derivation(), evidence);
        if let Some(piece) = secret.and_then(|secret| metadata.piece(id, &secret).ok()?) {
            pieces.insert(id, piece);
        }
    }
    metadata.open(&pieces).is_ok()
}

static PARAMETERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let [argon2, pbkdf2] = kdfs();
    let all = [
        password(argon2),
        password(pbkdf2),
        ssh_agent(),
        tpm(),
        Parameters::Fido2(Fido2Parameters { credential: vec![8; 16], salt: [9; 32], pin: true }),
        Parameters::Yubikey(YubikeyParameters { serial: Some(10), slot: 2, challenge: [11; 32] }),
        share(),
    ];
    all.map(|parameters| serde_json::to_vec(&parameters).expect("plain data")).into()
});

/// What a client says of a new factor.
///
/// # Panics
/// When parameters are not the same after being written and read again, or when an error would put
/// control characters on a terminal.
pub fn parameters(orders: &[u8]) {
    let bytes = shape(&PARAMETERS, orders);
    let parameters: Parameters = match serde_json::from_slice(&bytes) {
        Ok(parameters) => parameters,
        Err(_) => return,
    };
    let written = serde_json::to_vec(&parameters).expect("plain data");
    assert_eq!(serde_json::from_slice::<Parameters>(&written).ok(), Some(parameters.clone()));
    if is_slow(&parameters) {
        return;
    }
    for derivation in [Derivation::Blake3, Derivation::HkdfSha256] {
        let _ = secret(&parameters, derivation, b"anything");
    }
}

fn secret(
    parameters: &Parameters,
    derivation: Derivation,
    evidence: &[u8],
) -> Option<FactorSecret> {
    let new = |memory: &mut _| FactorSecret::new(parameters, derivation, evidence, memory);
    match MEMORY.with_borrow_mut(new) {
        Ok(secret) => Some(secret),
        Err(error) => {
            check_sentence(&error.to_string());
            None
        }
    }
}

/// An edit may ask for much work; the bounds for that have tests of their own.
fn is_slow(parameters: &Parameters) -> bool {
    let Parameters::Password(PasswordParameters { kdf }) = parameters else { return false };
    match kdf {
        KdfParameters::Argon2id { memory_kib, iterations, .. } => {
            *memory_kib > 256 || *iterations > 4
        }
        KdfParameters::Pbkdf2Sha256 { iterations, .. } => *iterations > 1000,
    }
}

fn kdfs() -> [KdfParameters; 2] {
    [
        KdfParameters::Argon2id { memory_kib: 8, iterations: 1, parallelism: 1, salt: [3; 16] },
        KdfParameters::Pbkdf2Sha256 { iterations: 10, salt: [4; 16] },
    ]
}

fn password(kdf: KdfParameters) -> Parameters {
    Parameters::Password(PasswordParameters { kdf })
}

fn ssh_agent() -> Parameters {
    let public_key = "ssh-ed25519 AAAA".to_owned();
    Parameters::SshAgent(SshAgentParameters { public_key, challenge: [4; 32] })
}

fn tpm() -> Parameters {
    Parameters::Tpm(TpmParameters {
        primary: vec![5; 34],
        public: vec![6; 8],
        private: vec![7; 8],
        pcrs: vec![0, 7],
        pin: false,
    })
}

fn share() -> Parameters {
    Parameters::Share(ShareParameters {
        installation: [0; 4],
        split: [12; 8],
        threshold: 2,
        checks: vec![Check([13; 16]); 3],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_open_and_their_parameters_are_of_every_kind() {
        for sample in SAMPLES.iter() {
            assert!(opens(&Metadata::parse(sample, &binding()).expect("our own")));
        }
        let kinds = PARAMETERS.iter().map(|sample| {
            let parameters: Parameters = serde_json::from_slice(sample).expect("our own");
            parameters.kind()
        });
        let kinds: FactorKinds = kinds.collect();
        assert_eq!(kinds.len(), FactorKind::ALL.len());
    }
}
