//! FIDO2 tokens.

use std::path::PathBuf;

use key_hierarchy::parameters::Fido2Parameters;
use unlock_factors::fido2::{self, Device, Fido2Error};

use super::{Code, Devices, Failure, Made, Parameters, SecretBytes};

/// The token that is meant: the one that was named, or the only one.
pub fn device(devices: &Devices) -> Result<PathBuf, Failure> {
    match &devices.fido2_device {
        Some(path) => Ok(path.clone()),
        None => only(fido2::devices()?),
    }
}

fn only(mut found: Vec<Device>) -> Result<PathBuf, Failure> {
    if found.len() == 1 {
        return Ok(found.remove(0).path);
    }
    if found.is_empty() {
        let text = "no FIDO2 token is plugged in; nothing was changed. Plug it in and try again";
        return Err(Failure::new(Code::NOT_FOUND, text));
    }
    let names = found.iter().map(|device| {
        let name = format!("{} {}", device.manufacturer, device.product);
        format!("{} ({})", device.path.display(), audit_log::printable(name.trim()))
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let text = format!(
        "several FIDO2 tokens are plugged in; nothing was changed. Choose one with \
         --fido2-device: {names}"
    );
    Err(Failure::new(Code::USAGE, text))
}

/// The token that holds the credential.
pub fn holder(devices: &Devices, parameters: &Fido2Parameters) -> Result<PathBuf, Failure> {
    if let Some(path) = &devices.fido2_device {
        return Ok(path.clone());
    }
    let found = fido2::devices()?;
    let holder =
        found.iter().find(|device| fido2::present(&device.path, parameters).unwrap_or(false));
    holder.map(|device| device.path.clone()).ok_or_else(|| {
        let text = "no FIDO2 token that is plugged in holds this factor; nothing was changed. \
                    Plug in the right one and try again";
        Failure::new(Code::NOT_FOUND, text)
    })
}

pub fn enroll(devices: &Devices, pin: Option<&SecretBytes>) -> Result<Made, Failure> {
    let (parameters, evidence) = fido2::enroll(&device(devices)?, pin)?;
    Ok((Parameters::Fido2(parameters), evidence))
}

pub fn evidence(
    devices: &Devices,
    parameters: &Fido2Parameters,
    pin: Option<&SecretBytes>,
) -> Result<SecretBytes, Failure> {
    Ok(fido2::evidence(&holder(devices, parameters)?, parameters, pin)?)
}

impl From<Fido2Error> for Failure {
    fn from(error: Fido2Error) -> Self {
        let code = match &error {
            Fido2Error::NoDevice { .. }
            | Fido2Error::NotFido2 { .. }
            | Fido2Error::NotThisToken
            | Fido2Error::Gone => Code::NOT_FOUND,
            Fido2Error::NoHmacSecret
            | Fido2Error::PinNotSet
            | Fido2Error::PinNeeded
            | Fido2Error::PinUnexpected
            | Fido2Error::PinMalformed => Code::INVALID,
            Fido2Error::WrongPin { .. } => Code::WRONG_FACTOR,
            Fido2Error::PinRefusedUntilReplugged | Fido2Error::PinBlocked => Code::RATE_LIMITED,
            Fido2Error::Memory(_) => Code::BUSY,
            _ => Code::FAILED,
        };
        Self::new(code, error.to_string())
    }
}
