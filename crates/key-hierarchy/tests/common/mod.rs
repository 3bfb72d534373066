//! Profiles to attack: their factors, their files, and what each factor answers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(dead_code, reason = "no test file uses all of it")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use key_hierarchy::factor::FactorSecret;
use key_hierarchy::kdf::{KdfError, KdfParameters, WorkingMemory};
use key_hierarchy::parameters::{
    Check, Fido2Parameters, Parameters, PasswordParameters, ShareParameters, SshAgentParameters,
    TpmParameters, YubikeyParameters,
};
use key_hierarchy::{
    Binding, Derivation, Enrolment, FactorError, MasterKey, Metadata, OpenError, Pieces,
};
use site_config::{AuthMode, FactorKind, FactorKinds, UnlockPolicy};
use uuid::Uuid;

pub const PROFILE: &str = "default";
pub const DERIVATIONS: [Derivation; 2] = [Derivation::Blake3, Derivation::HkdfSha256];

/// Who answers what, by the factors' ids.
pub type Evidence = BTreeMap<u32, Vec<u8>>;

/// Which factors there are, in the order of their ids from 1; `machine` ones bind the profile.
#[derive(Clone, Debug)]
pub struct Plan {
    pub derivation: Derivation,
    pub policy: UnlockPolicy,
    pub factors: Vec<(FactorKind, bool)>,
}

/// A profile on disk, and all that its people know.
pub struct Scene {
    pub plan: Plan,
    pub metadata: Metadata,
    pub master: MasterKey,
    pub evidence: Evidence,
}

/// Why no master key came out.
#[derive(Debug)]
pub enum Refused {
    Factor(FactorError),
    Open(OpenError),
}

pub fn binding() -> Binding {
    Binding { installation: Uuid::from_u128(7), profile: PROFILE.to_owned() }
}

pub fn simple(mode: AuthMode) -> UnlockPolicy {
    UnlockPolicy::new(mode, FactorKinds::EMPTY, 0).unwrap()
}

pub fn policy(required: &[FactorKind], additional_required: u8) -> UnlockPolicy {
    let required = required.iter().copied().collect();
    UnlockPolicy::new(AuthMode::Policy, required, additional_required).unwrap()
}

/// Parameters of a kind, with the smallest costs there are.
pub fn parameters(kind: FactorKind) -> Parameters {
    let salt = [3; 16];
    match kind {
        FactorKind::Password => Parameters::Password(PasswordParameters {
            kdf: KdfParameters::Argon2id { memory_kib: 64, iterations: 1, parallelism: 1, salt },
        }),
        FactorKind::SshAgent => Parameters::SshAgent(SshAgentParameters {
            public_key: "ssh-ed25519 AAAA".to_owned(),
            challenge: [4; 32],
        }),
        FactorKind::Tpm => Parameters::Tpm(TpmParameters {
            primary: vec![5; 34],
            public: vec![6; 8],
            private: vec![7; 8],
            pcrs: vec![0, 7],
            pin: false,
        }),
        FactorKind::Fido2 => {
            Parameters::Fido2(Fido2Parameters { credential: vec![8; 16], salt: [9; 32], pin: true })
        }
        FactorKind::Yubikey => Parameters::Yubikey(YubikeyParameters {
            serial: Some(10),
            slot: 2,
            challenge: [11; 32],
        }),
        FactorKind::Share => Parameters::Share(ShareParameters {
            installation: [0; 4],
            split: [12; 8],
            threshold: 2,
            checks: vec![Check([13; 16]); 3],
        }),
    }
}

/// The secret of a factor that was given these parameters and answered this.
pub fn secret(parameters: &Parameters, derivation: Derivation, evidence: &[u8]) -> FactorSecret {
    try_secret(parameters, derivation, evidence).unwrap()
}

fn try_secret(
    parameters: &Parameters,
    derivation: Derivation,
    evidence: &[u8],
) -> Result<FactorSecret, KdfError> {
    thread_local! {
        static MEMORY: RefCell<WorkingMemory> = RefCell::default();
    }
    MEMORY.with_borrow_mut(|memory| FactorSecret::new(parameters, derivation, evidence, memory))
}

impl Plan {
    /// Every factor enrolled, and nothing sealed yet.
    pub fn enrol(&self) -> (Enrolment, Evidence) {
        let mut enrolment = Enrolment::new(binding(), self.derivation, self.policy);
        let mut evidence = Evidence::new();
        for (kind, machine) in &self.factors {
            let answer = format!("what {kind} number {} answers", evidence.len()).into_bytes();
            let parameters = parameters(*kind);
            let secret = secret(&parameters, self.derivation, &answer);
            let label = format!("{kind} {}", evidence.len());
            let label = label.as_str().try_into().unwrap();
            let id = enrolment.add(label, *machine, parameters, &secret).unwrap();
            evidence.insert(id, answer);
        }
        (enrolment, evidence)
    }

    pub fn set(self) -> Scene {
        let (enrolment, evidence) = self.enrol();
        let master = MasterKey::generate().unwrap();
        let metadata = Metadata::seal(enrolment, &master).unwrap();
        Scene { plan: self, metadata, master, evidence }
    }

    /// What the policy says in words, without the tree: who decides by `given` alone.
    pub fn is_satisfied_by(&self, given: &BTreeSet<u32>) -> bool {
        let factors =
            || (1..).zip(&self.factors).map(|(id, (kind, machine))| (id, *kind, *machine));
        let machines =
            factors().filter(|(_, _, machine)| *machine).all(|(id, ..)| given.contains(&id));
        let voters: Vec<(u32, FactorKind)> =
            factors().filter(|(_, _, machine)| !machine).map(|(id, kind, _)| (id, kind)).collect();
        let votes: Vec<FactorKind> =
            voters.iter().filter(|(id, _)| given.contains(id)).map(|(_, kind)| *kind).collect();
        let required = self.policy.required;
        machines
            && match self.policy.mode {
                AuthMode::Any => !votes.is_empty(),
                AuthMode::All => votes.len() == voters.len(),
                AuthMode::Policy => {
                    let others = votes.iter().filter(|kind| !required.contains(**kind)).count();
                    required.iter().all(|kind| votes.contains(&kind))
                        && others >= usize::from(self.policy.additional_required)
                }
            }
    }
}

impl Scene {
    pub fn file(&self) -> Vec<u8> {
        self.metadata.render()
    }

    pub fn vault_key(&self) -> [u8; 32] {
        vault_key(&self.master, self.plan.derivation)
    }

    /// The evidence of these factors.
    pub fn some(&self, ids: &BTreeSet<u32>) -> Evidence {
        let held = self.evidence.iter().filter(|(id, _)| ids.contains(id));
        held.map(|(id, evidence)| (*id, evidence.clone())).collect()
    }
}

pub fn vault_key(master: &MasterKey, derivation: Derivation) -> [u8; 32] {
    *master.vault_key(derivation, PROFILE).expose()
}

/// The piece of one factor, as it is asked for.
pub fn piece(
    metadata: &Metadata,
    id: u32,
    evidence: &[u8],
) -> Result<Option<[u8; 32]>, FactorError> {
    let enrolment = metadata.enrolment();
    let factor = enrolment.factor(id).ok_or(FactorError::NoFactor(id))?;
    let secret = try_secret(&factor.parameters, enrolment.derivation(), evidence)?;
    Ok(metadata.piece(id, &secret)?.map(|piece| *piece.expose()))
}

/// All pieces that these factors have.
pub fn pieces(metadata: &Metadata, evidence: &Evidence) -> Result<Pieces, FactorError> {
    let mut pieces = Pieces::new();
    for (id, answer) in evidence {
        if let Some(found) = piece(metadata, *id, answer)? {
            pieces.insert(*id, secret_memory::Secret::copy_of(&found));
        }
    }
    Ok(pieces)
}

/// What the daemon does: each factor for itself, then all of them together.
pub fn unlock(metadata: &Metadata, evidence: &Evidence) -> Result<MasterKey, Refused> {
    let pieces = pieces(metadata, evidence).map_err(Refused::Factor)?;
    metadata.open(&pieces).map_err(Refused::Open)
}

/// Every set of these ids, the empty one too.
pub fn subsets(ids: impl IntoIterator<Item = u32>) -> Vec<BTreeSet<u32>> {
    let mut subsets = vec![BTreeSet::new()];
    for id in ids {
        for at in 0..subsets.len() {
            let mut more = subsets[at].clone();
            more.insert(id);
            subsets.push(more);
        }
    }
    subsets
}
