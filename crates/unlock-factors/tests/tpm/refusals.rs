//! When the TPM keeps the piece, and how it says so.

use std::process::Command;

use tss_esapi::handles::{AuthHandle, PcrHandle};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::Auth;
use unlock_factors::tpm::{TpmError, available, enroll, evidence};

use crate::swtpm::{Swtpm, free_pair, pin, tcti};

#[test]
fn a_machine_that_started_differently_is_refused() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (bound, _) = enroll(&tpm.tcti(), &[7, 11], None).unwrap();
    let (elsewhere, _) = enroll(&tpm.tcti(), &[7], None).unwrap();
    let (unbound, _) = enroll(&tpm.tcti(), &[], None).unwrap();
    tpm.extend(PcrHandle::Pcr11);
    let error = evidence(&tpm.tcti(), &bound, None).unwrap_err();
    assert!(matches!(&error, TpmError::PcrsChanged { pcrs } if *pcrs == [7, 11]), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("7, 11") && text.contains("sesame factor enroll tpm"), "{text}");
    evidence(&tpm.tcti(), &elsewhere, None).expect("PCR 11 is not demanded");
    evidence(&tpm.tcti(), &unbound, None).expect("no PCR is demanded");
}

#[test]
fn a_changed_machine_is_refused_with_the_right_pin_too() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[11], Some(&pin("1234"))).unwrap();
    tpm.extend(PcrHandle::Pcr11);
    for _ in 0..10 {
        let error = evidence(&tpm.tcti(), &parameters, Some(&pin("1234"))).unwrap_err();
        assert!(matches!(error, TpmError::PcrsChanged { .. }), "{error:?}");
    }
}

#[test]
fn parameters_that_demand_less_do_not_help() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[11], Some(&pin("1234"))).unwrap();
    let mut without_pin = parameters.clone();
    without_pin.pin = false;
    evidence(&tpm.tcti(), &without_pin, None).unwrap_err();
    let mut without_pcrs = parameters;
    without_pcrs.pcrs = Vec::new();
    evidence(&tpm.tcti(), &without_pcrs, Some(&pin("1234"))).unwrap_err();
}

#[test]
fn a_wrong_pin_is_refused_and_the_right_one_works_after_it() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, first) = enroll(&tpm.tcti(), &[7], Some(&pin("1234"))).unwrap();
    let error = evidence(&tpm.tcti(), &parameters, Some(&pin("1235"))).unwrap_err();
    assert!(matches!(error, TpmError::WrongPin), "{error:?}");
    let again = evidence(&tpm.tcti(), &parameters, Some(&pin("1234"))).unwrap();
    assert_eq!(again.expose(), first.expose());
}

#[test]
fn many_wrong_pins_lock_out_the_right_one_and_no_other_factor() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[], Some(&pin("1234"))).unwrap();
    let (without_pin, _) = enroll(&tpm.tcti(), &[], None).unwrap();
    let guess = |number: usize| {
        let guess = pin(&format!("guess {number}"));
        evidence(&tpm.tcti(), &parameters, Some(&guess)).unwrap_err()
    };
    let locked = (0..40).map(guess).position(|error| matches!(error, TpmError::Lockout));
    assert!(locked.is_some_and(|wrong| wrong >= 2), "locked after {locked:?} wrong ones");
    let error = evidence(&tpm.tcti(), &parameters, Some(&pin("1234"))).unwrap_err();
    assert!(matches!(error, TpmError::Lockout), "{error:?}");
    assert!(error.to_string().contains("refuses every PIN for a while"), "{error}");
    evidence(&tpm.tcti(), &without_pin, None).expect("nothing to guess, nothing to lock");
}

#[test]
fn another_tpm_is_refused() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let Some(other) = Swtpm::start_or_skip() else { return };
    let (mut parameters, _) = enroll(&tpm.tcti(), &[7], None).unwrap();
    let error = evidence(&other.tcti(), &parameters, None).unwrap_err();
    assert!(matches!(error, TpmError::OtherTpm), "{error:?}");
    // Also when the stored Name is made to fit: the piece is encrypted for the first one.
    parameters.primary = enroll(&other.tcti(), &[], None).unwrap().0.primary;
    let error = evidence(&other.tcti(), &parameters, None).unwrap_err();
    assert!(matches!(error, TpmError::Damaged), "{error:?}");
}

#[test]
fn a_cleared_tpm_is_another_one() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[], None).unwrap();
    tpm.context().execute_with_session(Some(AuthSession::Password), |context| {
        context.clear(AuthHandle::Platform).expect("clears");
    });
    let error = evidence(&tpm.tcti(), &parameters, None).unwrap_err();
    assert!(matches!(error, TpmError::OtherTpm), "{error:?}");
}

#[test]
fn an_owner_password_is_named() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    tpm.context().execute_with_session(Some(AuthSession::Password), |context| {
        let password = Auth::try_from(b"owner".as_slice()).unwrap();
        context.hierarchy_change_auth(AuthHandle::Owner, password).expect("changes");
    });
    let error = enroll(&tpm.tcti(), &[], None).unwrap_err();
    assert!(matches!(error, TpmError::OwnerPassword), "{error:?}");
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[7], None).unwrap();
    let refused =
        |parameters: &_, what: &str, index: usize| match evidence(&tpm.tcti(), parameters, None) {
            Err(TpmError::Damaged) => {}
            other => panic!("{what}, byte {index}: {other:?}"),
        };
    for index in 0..parameters.public.len() {
        let mut changed = parameters.clone();
        changed.public[index] ^= 1 << (index % 8);
        refused(&changed, "public", index);
    }
    for index in 0..parameters.private.len() {
        let mut changed = parameters.clone();
        changed.private[index] ^= 1 << (index % 8);
        refused(&changed, "private", index);
    }
    for length in [0, 1, parameters.public.len() - 1] {
        let mut cut = parameters.clone();
        cut.public.truncate(length);
        refused(&cut, "public cut", length);
    }
    let mut long = parameters.clone();
    long.private = vec![0; 100_000];
    refused(&long, "private long", 0);
}

#[test]
fn a_pin_is_asked_for_before_the_tpm_is() {
    // No TPM is there: whoever asked it would get another error.
    let nobody = tcti(free_pair());
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (with_pin, _) = enroll(&tpm.tcti(), &[], Some(&pin("1234"))).unwrap();
    let (without, _) = enroll(&tpm.tcti(), &[], None).unwrap();
    let error = evidence(&nobody, &with_pin, None).unwrap_err();
    assert!(matches!(error, TpmError::PinNeeded), "{error:?}");
    let error = evidence(&nobody, &without, Some(&pin("1234"))).unwrap_err();
    assert!(matches!(error, TpmError::PinUnexpected), "{error:?}");
    let error = evidence(&nobody, &with_pin, Some(&pin(""))).unwrap_err();
    assert!(matches!(error, TpmError::PinEmpty), "{error:?}");
    let error = enroll(&nobody, &[], Some(&pin(""))).unwrap_err();
    assert!(matches!(error, TpmError::PinEmpty), "{error:?}");
}

#[test]
fn a_pcr_that_no_tpm_has_is_refused() {
    let nobody = tcti(free_pair());
    let error = enroll(&nobody, &[7, 24], None).unwrap_err();
    assert!(matches!(error, TpmError::NoSuchPcr { pcr: 24 }), "{error:?}");
}

/// A TPM takes PCRs that it doesn't have for no PCRs, and would then demand nothing.
#[test]
fn pcrs_that_the_tpm_does_not_keep_are_refused() {
    let Some(mut tpm) = Swtpm::start_or_skip() else { return };
    // TPM2_PCR_Allocate, authorized by the platform hierarchy's empty password: SHA-256 with no PCR.
    tpm.command(
        b"\x80\x02\0\0\0\x25\0\0\x01\x2b\x40\0\0\x0c\0\0\0\x09\x40\0\0\x09\0\0\0\0\0\
        \0\0\0\x01\0\x0b\x03\0\0\0",
    );
    tpm.restart();
    let error = enroll(&tpm.tcti(), &[7], None).unwrap_err();
    assert!(matches!(error, TpmError::NoPcrBank), "{error:?}");
    enroll(&tpm.tcti(), &[], None).expect("without PCRs it can");
}

#[test]
fn a_log_that_shows_keys_is_refused() {
    let asked = |level: Option<&str>| {
        let mut asked = Command::new(std::env::current_exe().unwrap());
        asked.args([
            "--exact",
            "refusals::asked_in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ]);
        match level {
            Some(level) => asked.env("TSS2_LOG", level),
            None => asked.env_remove("TSS2_LOG"),
        };
        String::from_utf8(asked.output().unwrap().stdout).unwrap()
    };
    for level in ["all+debug", "esys+TRACE", "all+none,esys+debug", ""] {
        let said = asked(Some(level));
        assert!(said.contains("LogIsOn"), "{level}: {said}");
    }
    for level in [None, Some("all+NONE")] {
        let said = asked(level);
        assert!(said.contains("Unreachable"), "{level:?}: {said}");
    }
}

#[test]
#[ignore = "started by the test above"]
fn asked_in_a_process_of_its_own() {
    println!("{:?}", available(&tcti(free_pair())));
}
