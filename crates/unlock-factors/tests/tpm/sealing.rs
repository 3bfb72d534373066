//! What comes back, and what the TPM keeps of it.

use tss_esapi::structures::{Public, PublicBuffer};
use tss_esapi::traits::UnMarshall;
use unlock_factors::tpm::{Tcti, TpmError, available, enroll, evidence};

use crate::swtpm::{Swtpm, free_pair, pin, tcti};

#[test]
fn a_piece_comes_back_each_time() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, first) = enroll(&tpm.tcti(), &[7, 0, 7], None).unwrap();
    assert_eq!(first.len(), 32);
    assert_eq!(parameters.pcrs, [0, 7], "each once, in order");
    for _ in 0..3 {
        let again = evidence(&tpm.tcti(), &parameters, None).unwrap();
        assert_eq!(again.expose(), first.expose());
    }
}

#[test]
fn two_enrolments_have_two_pieces() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (_, one) = enroll(&tpm.tcti(), &[], None).unwrap();
    let (_, other) = enroll(&tpm.tcti(), &[], None).unwrap();
    assert_ne!(one.expose(), other.expose());
}

#[test]
fn every_combination_of_pcrs_and_pin_works() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    // One that is longer than the TPM's largest authorization value, and one whose SHA-256 ends in a
    // zero, which the TPM cuts off and the library has to cut off too.
    let pins = [None, Some(pin("1234")), Some(pin(&"long ".repeat(40))), Some(pin("pin 21"))];
    for pcrs in [&[][..], &[0, 2, 4, 7, 23]] {
        for pin in &pins {
            let (parameters, first) = enroll(&tpm.tcti(), pcrs, pin.as_ref()).unwrap();
            let again = evidence(&tpm.tcti(), &parameters, pin.as_ref()).unwrap();
            assert_eq!(again.expose(), first.expose(), "{pcrs:?} {pin:?}");
        }
    }
}

/// With `userWithAuth`, an empty password would open what has no PIN, whatever the PCRs are.
#[test]
fn only_the_policy_opens_it() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    for pin in [None, Some(pin("1234"))] {
        let (parameters, _) = enroll(&tpm.tcti(), &[7], pin.as_ref()).unwrap();
        let public = PublicBuffer::unmarshall(&parameters.public).unwrap();
        let sealed = Public::try_from(public).unwrap().object_attributes();
        assert!(!sealed.user_with_auth() && sealed.admin_with_policy(), "{sealed:?}");
        assert!(sealed.fixed_tpm() && sealed.fixed_parent(), "{sealed:?}");
        assert_eq!(sealed.no_da(), pin.is_none(), "wrong PINs are counted: {sealed:?}");
    }
}

#[test]
fn nothing_stays_in_the_tpm() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (mut parameters, _) = enroll(&tpm.tcti(), &[7], Some(&pin("1234"))).unwrap();
    evidence(&tpm.tcti(), &parameters, Some(&pin("1234"))).unwrap();
    evidence(&tpm.tcti(), &parameters, Some(&pin("4321"))).unwrap_err();
    let last = parameters.private.len() - 1;
    parameters.private[last] ^= 1;
    evidence(&tpm.tcti(), &parameters, Some(&pin("1234"))).unwrap_err();
    parameters.primary[10] ^= 1;
    evidence(&tpm.tcti(), &parameters, Some(&pin("1234"))).unwrap_err();
    assert_eq!(tpm.left_behind(), 0, "objects and sessions");
}

#[test]
fn a_tpm_says_who_made_it() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let text = available(&tpm.tcti()).unwrap();
    assert!(text.starts_with("IBM"), "{text}");
    assert!(text.contains("SW   TPM, firmware "), "{text}");
}

#[test]
fn no_tpm_is_said_to_be_none() {
    let nobody = tcti(free_pair());
    let missing: Tcti = "device:/dev/null/tpm".parse().unwrap();
    let no_tpm: Tcti = "device:/dev/zero".parse().unwrap();
    for tcti in [nobody, missing, no_tpm] {
        let errors = [available(&tcti).unwrap_err(), enroll(&tcti, &[7], None).unwrap_err()];
        for error in errors {
            let TpmError::Unreachable { tcti: named } = &error else { panic!("{error:?}") };
            assert_eq!(*named, tcti.to_string());
        }
    }
}
