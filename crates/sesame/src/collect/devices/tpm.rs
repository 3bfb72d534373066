//! TPM 2.0.

use key_hierarchy::parameters::TpmParameters;
use unlock_factors::tpm::{self, Tcti, TpmError};

use super::{Code, Devices, Failure, Made, Parameters, SecretBytes};

fn tcti(devices: &Devices) -> Result<Tcti, Failure> {
    Ok(devices.tcti.as_deref().map(str::parse).transpose()?.unwrap_or_default())
}

pub fn check(devices: &Devices) -> Result<(), Failure> {
    tpm::available(&tcti(devices)?)?;
    Ok(())
}

pub fn enroll(devices: &Devices, pcrs: &[u8], pin: Option<&SecretBytes>) -> Result<Made, Failure> {
    let (parameters, evidence) = tpm::enroll(&tcti(devices)?, pcrs, pin)?;
    Ok((Parameters::Tpm(parameters), evidence))
}

pub fn evidence(
    devices: &Devices,
    parameters: &TpmParameters,
    pin: Option<&SecretBytes>,
) -> Result<SecretBytes, Failure> {
    Ok(tpm::evidence(&tcti(devices)?, parameters, pin)?)
}

impl From<TpmError> for Failure {
    fn from(error: TpmError) -> Self {
        let code = match &error {
            TpmError::Unreachable { .. } | TpmError::OtherTpm => Code::NOT_FOUND,
            TpmError::WrongPin => Code::WRONG_FACTOR,
            TpmError::Lockout => Code::RATE_LIMITED,
            TpmError::Damaged | TpmError::Tampered => Code::TAMPERED,
            TpmError::Memory(_) => Code::BUSY,
            TpmError::NotATcti { .. }
            | TpmError::NoSuchPcr { .. }
            | TpmError::NoPcrBank
            | TpmError::PcrsChanged { .. }
            | TpmError::PinNeeded
            | TpmError::PinUnexpected
            | TpmError::PinEmpty
            | TpmError::OwnerPassword => Code::INVALID,
            _ => Code::FAILED,
        };
        Self::new(code, error.to_string())
    }
}
