//! From an enrolled factor to its evidence: what the device or the person answers.

use ipc::factors::EnrolledFactor;
use key_hierarchy::Parameters;
use key_hierarchy::share::{Lock, Share};
use secret_memory::SecretBytes;

use super::devices;
use crate::cli::Devices;
use crate::exit::{Code, Failure};
use crate::password::Passwords;
use crate::prompt::{note, prompt_hidden};
use crate::render;
use crate::share_text::{Misread, Read, Reader};

/// What a factor answered.
pub struct Evidence {
    pub bytes: SecretBytes,
    /// With a locked share.
    pub passphrase: Option<SecretBytes>,
}

impl From<SecretBytes> for Evidence {
    fn from(bytes: SecretBytes) -> Self {
        Self { bytes, passphrase: None }
    }
}

/// Asks a factor that needs no person: a key that the agent holds, a TPM without a PIN. `None` when it
/// needs one, or the agent doesn't hold the key.
pub fn silent(factor: &EnrolledFactor, devices: &Devices) -> Option<Result<Evidence, Failure>> {
    match parameters(factor) {
        Ok(Parameters::SshAgent(ssh)) => {
            let agent = devices::ssh_agent::agent().ok()?;
            match agent.holds(&ssh) {
                Ok(true) => Some(agent.evidence(&ssh).map(Evidence::from).map_err(Failure::from)),
                Ok(false) | Err(_) => None,
            }
        }
        Ok(Parameters::Tpm(tpm)) if !tpm.pin => {
            Some(devices::tpm::evidence(devices, &tpm, None).map(Evidence::from))
        }
        _ => None,
    }
}

/// Whether it gives nothing while nobody is asked: neither in [`silent`] nor as a password.
pub fn takes_a_person(factor: &EnrolledFactor) -> Result<bool, Failure> {
    Ok(match parameters(factor)? {
        Parameters::Password(_) | Parameters::SshAgent(_) => false,
        Parameters::Tpm(tpm) => tpm.pin,
        Parameters::Fido2(_) | Parameters::Yubikey(_) | Parameters::Share(_) => true,
    })
}

/// Whether something has to be typed for it.
pub fn is_typed(factor: &EnrolledFactor) -> Result<bool, Failure> {
    Ok(match parameters(factor)? {
        Parameters::Password(_) | Parameters::Share(_) => true,
        Parameters::Tpm(tpm) => tpm.pin,
        Parameters::Fido2(fido2) => fido2.pin,
        Parameters::SshAgent(_) | Parameters::Yubikey(_) => false,
    })
}

/// Asks for a factor that is no password, of a person where it takes one. `None` when the person
/// pressed Enter alone.
pub fn ask(
    factor: &EnrolledFactor,
    devices: &Devices,
    shares_given: usize,
) -> Result<Option<Evidence>, Failure> {
    let name = render::factor(factor);
    match parameters(factor)? {
        Parameters::Password(_) => skippable(&format!("Password \"{}\": ", factor.label))
            .map(|entered| entered.map(Evidence::from)),
        Parameters::SshAgent(ssh) => Ok(Some(devices::ssh_agent::agent()?.evidence(&ssh)?.into())),
        Parameters::Tpm(tpm) => {
            let pin = if tpm.pin { skippable(&format!("PIN of {name}: "))? } else { None };
            if tpm.pin && pin.is_none() {
                return Ok(None);
            }
            devices::tpm::evidence(devices, &tpm, pin.as_ref()).map(|bytes| Some(bytes.into()))
        }
        Parameters::Fido2(fido2) => {
            devices::fido2::holder(devices, &fido2)?;
            let pin = if fido2.pin { skippable(&format!("PIN of {name}: "))? } else { None };
            if fido2.pin && pin.is_none() {
                return Ok(None);
            }
            note(&format!("Touch the token of {name} when it blinks…\n"));
            devices::fido2::evidence(devices, &fido2, pin.as_ref()).map(|bytes| Some(bytes.into()))
        }
        Parameters::Yubikey(yubikey) => {
            if devices::yubikey::is_here(&yubikey) {
                note(&format!("Touch the YubiKey of {name} if it blinks…\n"));
            }
            devices::yubikey::evidence(&yubikey).map(|bytes| Some(bytes.into()))
        }
        Parameters::Share(share) => {
            let needed = usize::from(share.threshold).saturating_sub(shares_given);
            ask_share(&format!("Share of \"{}\", {needed} more needed: ", printed(factor)))
        }
    }
}

/// As [`ask`] for any factor, where standard input may hold the password.
pub fn ask_or_read(
    factor: &EnrolledFactor,
    devices: &Devices,
    passwords: &mut Passwords,
) -> Result<Evidence, Failure> {
    if let Parameters::Password(_) = parameters(factor)? {
        let prompt = format!("Password \"{}\": ", printed(factor));
        return passwords.ask(&prompt).map(Evidence::from);
    }
    ask(factor, devices, 0)?
        .ok_or_else(|| Failure::new(Code::CANCELLED, "cancelled; nothing was done"))
}

/// Asks for the words of a share, line by line, and its passphrase when it is locked.
pub fn ask_share(prompt: &str) -> Result<Option<Evidence>, Failure> {
    let mut reader = Reader::default();
    let mut prompt = prompt.to_owned();
    let share = loop {
        let line = prompt_hidden(&prompt)?;
        if line.expose().trim_ascii().is_empty() {
            if !reader.is_empty() {
                note("That was not all of it; it is forgotten.\n");
            }
            return Ok(None);
        }
        match reader.line(line.expose()) {
            Ok(Read::Whole(share)) => break share,
            Ok(Read::More(there, of)) => prompt = format!("{there} of {of} words: "),
            Err(Misread::Memory(error)) => return Err(error.into()),
            Err(misread) => note(&format!("sesame: {misread}\n")),
        }
        if reader.is_empty() {
            prompt = "Share: ".to_owned();
        }
    };
    let passphrase = match is_locked(&share)? {
        None => None,
        Some(number) => Some(prompt_hidden(&format!("Passphrase of share {number}: "))?),
    };
    Ok(Some(Evidence { bytes: share, passphrase }))
}

/// The number of a share that takes a passphrase.
pub fn is_locked(share: &SecretBytes) -> Result<Option<u8>, Failure> {
    let share = Share::parse(share.expose())
        .map_err(|error| Failure::new(Code::INVALID, error.to_string()))?;
    Ok(Some(share.header.number).filter(|_| share.header.lock != Lock::None))
}

/// Enter alone is `None`.
pub fn skippable(prompt: &str) -> Result<Option<SecretBytes>, Failure> {
    prompt_hidden(prompt).map(|entered| Some(entered).filter(|entered| !entered.is_empty()))
}

/// What is stored of a factor.
pub fn parameters(factor: &EnrolledFactor) -> Result<Parameters, Failure> {
    serde_json::from_str(&factor.parameters).map_err(|_| {
        let text = format!(
            "this program can't read the parameters of {}; nothing was done. Use the sesame that \
             belongs to the daemon",
            render::factor(factor)
        );
        Failure::new(Code::TAMPERED, text)
    })
}

fn printed(factor: &EnrolledFactor) -> String {
    audit_log::printable(&factor.label)
}
