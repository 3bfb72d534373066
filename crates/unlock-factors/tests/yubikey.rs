//! The factor where no YubiKey is plugged in. With one, there is nothing here to see.
#![cfg(feature = "yubikey")]

use key_hierarchy::parameters::YubikeyParameters;
use unlock_factors::yubikey::{self, Slot, YubikeyError};

#[test]
fn where_no_yubikey_is_plugged_in_that_is_the_error() {
    match yubikey::devices() {
        Ok(devices) if devices.is_empty() => {}
        found => {
            eprintln!("skipped, for it needs a machine with USB and without a YubiKey: {found:?}");
            return;
        }
    }
    let error = yubikey::enroll(None, Slot::Two).unwrap_err();
    assert!(matches!(error, YubikeyError::NoDevice), "{error}");
    let parameters = YubikeyParameters { serial: Some(1), slot: 2, challenge: [7; 32] };
    let error = yubikey::evidence(&parameters).unwrap_err();
    assert!(matches!(error, YubikeyError::NoDevice), "{error}");
    assert!(error.to_string().contains("Plug it in"), "{error}");
}
