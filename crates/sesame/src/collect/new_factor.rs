//! Factors that are to be enrolled: checked first, made once nothing stands in the way.

use ipc::factors::NewFactor;
use key_hierarchy::Parameters;
use secret_memory::SecretBytes;
use site_config::FactorKind;

use super::devices::{self, Made};
use crate::cli::{Devices, EnrollOptions, NewFactorSpec};
use crate::exit::{Code, Failure};
use crate::password::Passwords;
use crate::prompt::{note, prompt_hidden};

/// What the TPM's factor is called that binds a profile to a machine.
pub const MACHINE_LABEL: &str = "this machine";

/// A factor with its first evidence.
pub struct Fresh {
    label: String,
    kind: FactorKind,
    machine: bool,
    parameters: String,
    evidence: SecretBytes,
}

impl Fresh {
    /// As requests carry it.
    pub fn as_request(&self) -> NewFactor<'_> {
        NewFactor {
            label: &self.label,
            kind: self.kind,
            parameters: &self.parameters,
            machine: self.machine,
            evidence: self.evidence.expose(),
        }
    }

    fn of_device(spec: &NewFactorSpec, machine: bool, made: Made) -> Result<Self, Failure> {
        let (parameters, evidence) = made;
        let parameters = text(&parameters)?;
        Ok(Self { label: spec.label.clone(), kind: spec.kind, machine, parameters, evidence })
    }
}

/// Finds out whether a factor can be made here, before anybody does anything for it.
pub fn check(
    spec: &NewFactorSpec,
    options: &EnrollOptions,
    devices: &Devices,
) -> Result<(), Failure> {
    match spec.kind {
        FactorKind::Password => Ok(()),
        FactorKind::SshAgent => {
            let agent = devices::ssh_agent::agent()?;
            devices::ssh_agent::key(&agent, options.ssh_key.as_deref()).map(|_| ())
        }
        FactorKind::Tpm => devices::tpm::check(devices),
        FactorKind::Fido2 => devices::fido2::device(devices).map(|_| ()),
        FactorKind::Yubikey => devices::yubikey::check(),
        FactorKind::Share => Err(not_a_share()),
    }
}

/// Makes a factor. `prompt` is what a new password is asked with.
pub fn make(
    spec: &NewFactorSpec,
    options: &EnrollOptions,
    devices: &Devices,
    passwords: &mut Passwords,
    prompt: &str,
) -> Result<Fresh, Failure> {
    let made = match spec.kind {
        FactorKind::Password => {
            // The daemon chooses how it is stretched.
            return Ok(Fresh {
                label: spec.label.clone(),
                kind: spec.kind,
                machine: false,
                parameters: String::new(),
                evidence: passwords.ask_new(prompt)?,
            });
        }
        FactorKind::SshAgent => devices::ssh_agent::enroll(options)?,
        FactorKind::Tpm => {
            let pin = options.tpm_pin.then(|| new_pin(&spec.label)).transpose()?;
            devices::tpm::enroll(devices, &pcrs(options), pin.as_ref())?
        }
        FactorKind::Fido2 => {
            let prompt = format!("PIN of the token for \"{}\": ", spec.label);
            let pin = options.fido2_pin.then(|| prompt_hidden(&prompt)).transpose()?;
            note("Touch the token when it blinks, twice…\n");
            devices::fido2::enroll(devices, pin.as_ref())?
        }
        FactorKind::Yubikey => {
            note("Touch the YubiKey if it blinks…\n");
            devices::yubikey::enroll(options)?
        }
        FactorKind::Share => return Err(not_a_share()),
    };
    Fresh::of_device(spec, false, made)
}

/// The factor that binds a profile to this machine. It has no PIN: it stands for the machine, not for
/// a person. And no PCRs: what is demanded for ever must outlive an update of the firmware.
pub fn machine(devices: &Devices) -> Result<Fresh, Failure> {
    let spec = NewFactorSpec { kind: FactorKind::Tpm, label: MACHINE_LABEL.to_owned() };
    Fresh::of_device(&spec, true, devices::tpm::enroll(devices, &[], None)?)
}

fn not_a_share() -> Failure {
    let text = "recovery shares are made with `sesame share split`; nothing was changed";
    Failure::new(Code::USAGE, text)
}

fn pcrs(options: &EnrollOptions) -> Vec<u8> {
    let mut pcrs = options.pcrs.clone();
    pcrs.sort_unstable();
    pcrs.dedup();
    pcrs
}

fn new_pin(label: &str) -> Result<SecretBytes, Failure> {
    let first = prompt_hidden(&format!("New PIN for tpm \"{label}\": "))?;
    if first.expose() == prompt_hidden("The same again: ")?.expose() {
        return Ok(first);
    }
    Err(Failure::new(Code::INVALID, "the two PINs differ; nothing was done"))
}

fn text(parameters: &Parameters) -> Result<String, Failure> {
    serde_json::to_string(parameters).map_err(|error| Failure::new(Code::FAILED, error.to_string()))
}
