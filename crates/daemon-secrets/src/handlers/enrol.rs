//! Factors from a request: what `init`, `profile create` and `factor enroll` share, and what must hold
//! before any of them.

use audit_log::{Operation, Outcome};
use ipc::factors::NewFactor;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::parameters::PasswordParameters;
use key_hierarchy::{
    Derivation, Enrolment, FactorSecret, KdfParameters, Label, MasterKey, Metadata, Parameters,
};
use site_config::{FactorKind, Hkdf, Installation, Kdf, MachineBinding, ProfileName, UnlockPolicy};
use vault::Keys;

use crate::faults;
use crate::keyring::vault_keys;
use crate::record::record_of;
use crate::service::SecretsService;
use crate::store::{self, StoreError};
use ipc::trail::Trail;

/// The least that a device may answer, in bytes: a YubiKey's 20 are the shortest.
const MINIMUM_EVIDENCE_BYTES: usize = 20;

/// The most that a device's parameters take as JSON: a key of RSA-16384, a credential of 1023 bytes.
const MAX_PARAMETERS_BYTES: usize = 4096;

/// A fresh master key under these factors and the site's policy, and the keys of the profile's vault.
pub fn new_profile(
    service: &SecretsService,
    installation: &Installation,
    profile: &ProfileName,
    factors: &[NewFactor<'_>],
) -> Result<(Metadata, Keys), Fault> {
    let derivation = match service.settings.crypto.hkdf {
        Hkdf::Blake3 => Derivation::Blake3,
        Hkdf::HkdfSha256 => Derivation::HkdfSha256,
    };
    let binding = store::binding(installation, profile);
    let mut enrolment = Enrolment::new(binding, derivation, service.settings.auth.policy);
    for factor in factors {
        add(service, &mut enrolment, factor)?;
    }
    let master = MasterKey::generate().map_err(|error| faults::from_kdf(&error))?;
    let metadata =
        Metadata::seal(enrolment, &master).map_err(|error| faults::from_enrolment(&error))?;
    Ok((metadata, vault_keys(&master, derivation, profile)))
}

/// Adds a factor of a request to an enrolment; its id.
pub fn add(
    service: &SecretsService,
    enrolment: &mut Enrolment,
    factor: &NewFactor<'_>,
) -> Result<u32, Fault> {
    let label = label(factor.label)?;
    let parameters = parameters(service, factor)?;
    let derivation = enrolment.derivation();
    let mut memory = service.working_memory();
    let kdf = |error| faults::from_kdf(&error);
    // Who stole one factor must not have two of them.
    for other in enrolment.factors().iter().filter(|other| other.parameters.kind() == factor.kind) {
        let secret = FactorSecret::new(&other.parameters, derivation, factor.evidence, &mut memory);
        // What binds to the machine has no vote, and may be of the TPM that has one.
        let same_key =
            other.machine == factor.machine && same_device(&other.parameters, &parameters);
        if same_key || other.accepts(derivation, &secret.map_err(kdf)?).map_err(kdf)? {
            let text = format!(
                "this {} is enrolled already, as factor {} {:?}; nothing was changed",
                factor.kind,
                other.id,
                other.label.as_str()
            );
            return Err(Fault::new(FaultKind::Exists, text));
        }
    }
    let secret = FactorSecret::new(&parameters, derivation, factor.evidence, &mut memory);
    enrolment
        .add(label, factor.machine, parameters, &secret.map_err(kdf)?)
        .map_err(|error| faults::from_enrolment(&error))
}

/// Whether both are answered by the same key of the same device.
fn same_device(one: &Parameters, other: &Parameters) -> bool {
    match (one, other) {
        (Parameters::SshAgent(one), Parameters::SshAgent(other)) => {
            one.public_key == other.public_key
        }
        (Parameters::Yubikey(one), Parameters::Yubikey(other)) => {
            // One that does not tell its number could be any.
            one.serial == other.serial || one.serial.is_none() || other.serial.is_none()
        }
        (Parameters::Tpm(one), Parameters::Tpm(other)) => one.primary == other.primary,
        _ => false,
    }
}

pub fn label(text: &str) -> Result<Label, Fault> {
    Label::try_from(text).map_err(|error| {
        Fault::new(FaultKind::InvalidInput, format!("{error}; nothing was changed"))
    })
}

fn parameters(service: &SecretsService, factor: &NewFactor<'_>) -> Result<Parameters, Fault> {
    match factor.kind {
        FactorKind::Password => {
            let kdf = match service.settings.crypto.kdf {
                Kdf::Argon2id => KdfParameters::argon2id(),
                Kdf::Pbkdf2Sha256 => KdfParameters::pbkdf2_sha256(),
            };
            let kdf = kdf.map_err(|error| faults::from_kdf(&error))?;
            Ok(Parameters::Password(PasswordParameters { kdf }))
        }
        kind => match serde_json::from_str::<Parameters>(factor.parameters) {
            Ok(parameters)
                if parameters.kind() == kind && factor.parameters.len() <= MAX_PARAMETERS_BYTES =>
            {
                Ok(parameters)
            }
            _ => {
                let text =
                    format!("the parameters are not those of a {kind}; nothing was enrolled");
                Err(Fault::new(FaultKind::InvalidInput, text))
            }
        },
    }
}

/// Refuses factors that can't be, before anything is recorded or stretched.
pub fn check_factors(service: &SecretsService, factors: &[NewFactor<'_>]) -> Result<(), Fault> {
    let invalid = |text: String| Err(Fault::new(FaultKind::InvalidInput, text));
    let minimum = service.settings.unlock.minimum_password_length;
    for factor in factors {
        label(factor.label)?;
        let length = factor.evidence.len();
        match factor.kind {
            FactorKind::Password if length < minimum => {
                return invalid(format!(
                    "a password has at least {minimum} bytes; nothing was enrolled"
                ));
            }
            FactorKind::Share => {
                let text = "recovery shares are made by `sesame share split`; nothing was enrolled";
                return invalid(text.to_owned());
            }
            FactorKind::Password => {}
            kind if length < MINIMUM_EVIDENCE_BYTES => {
                return invalid(format!(
                    "a {kind} answers with at least {MINIMUM_EVIDENCE_BYTES} bytes; nothing was \
                     enrolled"
                ));
            }
            _ => {}
        }
        if factor.machine && factor.kind != FactorKind::Tpm {
            return invalid("only a TPM binds to a machine; nothing was enrolled".to_owned());
        }
    }
    Ok(())
}

/// Refuses a policy other than the one that the site's policy.toml demands of every profile.
pub fn check_policy(service: &SecretsService, policy: UnlockPolicy) -> Result<(), Fault> {
    let demanded = service.settings.auth.policy;
    let Some(source) = service.policy_lock.as_ref().filter(|_| policy != demanded) else {
        return Ok(());
    };
    let text = format!(
        "the site's policy demands {demanded} ({source}), so it can't be {policy}; nothing was \
         changed"
    );
    Err(Fault::new(FaultKind::InvalidInput, text))
}

/// A profile of an installation that is bound to a TPM has one factor of it, whatever the policy.
pub fn check_machine(binding: MachineBinding, factors: &[NewFactor<'_>]) -> Result<(), Fault> {
    let machines = factors.iter().filter(|factor| factor.machine).count();
    let expected = usize::from(binding == MachineBinding::Tpm);
    if machines == expected {
        return Ok(());
    }
    let text = if expected == 1 {
        "the installation is bound to this machine's TPM, so each profile needs a factor of it; \
         nothing was enrolled"
    } else {
        "the installation is not bound to a TPM, so no factor can bind to the machine; nothing was \
         enrolled"
    };
    Err(Fault::new(FaultKind::InvalidInput, text))
}

/// What an enrolment that may go on stands on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// The floor holds.
    Holds,
    /// It does not, and the site allows that by name.
    AllowedBelow,
}

impl Floor {
    /// Records that an enrolment goes on below the floor, if it does.
    pub fn note(self, trail: &mut Trail, peer: &Peer, profile: &ProfileName) -> Result<(), Fault> {
        match self {
            Self::Holds => Ok(()),
            Self::AllowedBelow => {
                let operation = Operation::EnrolmentBelowFloor;
                trail.record(record_of(operation, Outcome::Authorised, peer, Some(profile)))
            }
        }
    }
}

/// Refuses enrolment when either daemon is below the floor, unless the site allows it by name;
/// both are recorded, where there is a trail.
pub fn check_floor(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
) -> Result<Floor, Fault> {
    if service.posture.floor_holds() && trail.floor_holds()? {
        return Ok(Floor::Holds);
    }
    if service.settings.enrolment.allow_below_floor {
        return Ok(Floor::AllowedBelow);
    }
    if service.installation().is_some() {
        let operation = Operation::EnrolmentBelowFloor;
        trail.record(record_of(operation, Outcome::Refused, peer, None))?;
    }
    Err(Fault::new(
        FaultKind::BelowFloor,
        "this machine is below the security floor, so nothing was enrolled; see `sesame status \
         --security-posture`. Only enrolment.allow_below_floor = true, in the configuration, \
         allows it; that choice would be recorded",
    ))
}

pub fn not_stored(error: &StoreError) -> Fault {
    match error {
        StoreError::Io(error) => faults::from_storage("nothing was stored", error),
        StoreError::Vault(error) => faults::from_vault(error),
    }
}
