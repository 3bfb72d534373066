//! In the place of drivers that this build has not.

use site_config::FactorKind;

use crate::exit::{Code, Failure};

fn not_built(kind: FactorKind) -> Failure {
    let text = format!(
        "this build of sesame has no driver for {kind}; nothing was changed. Use one that was built \
         with the feature `{kind}`"
    );
    Failure::new(Code::INVALID, text)
}

#[cfg(not(feature = "tpm"))]
pub mod tpm {
    use super::{FactorKind, Failure, not_built};
    use key_hierarchy::parameters::TpmParameters;

    use super::super::{Devices, Made, SecretBytes};

    pub fn check(_: &Devices) -> Result<(), Failure> {
        Err(not_built(FactorKind::Tpm))
    }

    pub fn enroll(_: &Devices, _: &[u8], _: Option<&SecretBytes>) -> Result<Made, Failure> {
        Err(not_built(FactorKind::Tpm))
    }

    pub fn evidence(
        _: &Devices,
        _: &TpmParameters,
        _: Option<&SecretBytes>,
    ) -> Result<SecretBytes, Failure> {
        Err(not_built(FactorKind::Tpm))
    }
}

#[cfg(not(feature = "fido2"))]
pub mod fido2 {
    use super::{FactorKind, Failure, not_built};
    use std::path::PathBuf;

    use key_hierarchy::parameters::Fido2Parameters;

    use super::super::{Devices, Made, SecretBytes};

    pub fn device(_: &Devices) -> Result<PathBuf, Failure> {
        Err(not_built(FactorKind::Fido2))
    }

    pub fn holder(_: &Devices, _: &Fido2Parameters) -> Result<PathBuf, Failure> {
        Err(not_built(FactorKind::Fido2))
    }

    pub fn enroll(_: &Devices, _: Option<&SecretBytes>) -> Result<Made, Failure> {
        Err(not_built(FactorKind::Fido2))
    }

    pub fn evidence(
        _: &Devices,
        _: &Fido2Parameters,
        _: Option<&SecretBytes>,
    ) -> Result<SecretBytes, Failure> {
        Err(not_built(FactorKind::Fido2))
    }
}

#[cfg(not(feature = "yubikey"))]
pub mod yubikey {
    use super::{FactorKind, Failure, not_built};
    use key_hierarchy::parameters::YubikeyParameters;

    use super::super::{EnrollOptions, Made, SecretBytes};

    pub fn is_here(_: &YubikeyParameters) -> bool {
        false
    }

    pub fn check() -> Result<(), Failure> {
        Err(not_built(FactorKind::Yubikey))
    }

    pub fn enroll(_: &EnrollOptions) -> Result<Made, Failure> {
        Err(not_built(FactorKind::Yubikey))
    }

    pub fn evidence(_: &YubikeyParameters) -> Result<SecretBytes, Failure> {
        Err(not_built(FactorKind::Yubikey))
    }
}
