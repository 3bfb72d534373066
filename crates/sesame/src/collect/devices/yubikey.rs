//! YubiKeys.

use key_hierarchy::parameters::YubikeyParameters;
use unlock_factors::yubikey::{self, Slot, YubikeyError};

use super::{Code, EnrollOptions, Failure, Made, Parameters, SecretBytes};

/// Whether one that may have made this factor is plugged in.
pub fn is_here(parameters: &YubikeyParameters) -> bool {
    let fits = |serial| parameters.serial.is_none() || parameters.serial == serial;
    yubikey::devices().is_ok_and(|found| found.iter().any(|device| fits(device.serial)))
}

pub fn check() -> Result<(), Failure> {
    match yubikey::devices()?.as_slice() {
        [] => Err(YubikeyError::NoDevice.into()),
        _ => Ok(()),
    }
}

pub fn enroll(options: &EnrollOptions) -> Result<Made, Failure> {
    let slot = if options.yubikey_slot == Some(1) { Slot::One } else { Slot::Two };
    let (parameters, evidence) = yubikey::enroll(options.yubikey_serial, slot)?;
    Ok((Parameters::Yubikey(parameters), evidence))
}

pub fn evidence(parameters: &YubikeyParameters) -> Result<SecretBytes, Failure> {
    Ok(yubikey::evidence(parameters)?)
}

impl From<YubikeyError> for Failure {
    fn from(error: YubikeyError) -> Self {
        let code = match &error {
            YubikeyError::NoDevice | YubikeyError::OtherDevice { .. } => Code::NOT_FOUND,
            YubikeyError::SeveralDevices { .. }
            | YubikeyError::NoSuchSlot { .. }
            | YubikeyError::TooOld { .. }
            | YubikeyError::EmptySlot { .. }
            | YubikeyError::NotChallengeResponse { .. }
            | YubikeyError::NotDeterministic { .. } => Code::INVALID,
            YubikeyError::Memory(_) => Code::BUSY,
            _ => Code::FAILED,
        };
        Self::new(code, error.to_string())
    }
}
