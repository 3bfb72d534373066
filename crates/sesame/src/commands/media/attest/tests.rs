use std::path::PathBuf;

use ::media::attest::{Firmware, Medium};
use uuid::Uuid;

use super::*;

/// A booted image, with the longest of what is likely.
fn attestation() -> Attestation {
    let (root, uki, pcr11) = (Digest([0xd5; 32]), Digest([0x5e; 32]), Digest([1; 32]));
    Attestation {
        root_hash: Ok(root),
        device: Ok("dm-0 \"root\", read-only".to_owned()),
        medium: Ok(Medium {
            path: PathBuf::from("/dev/nvme0n1"),
            esp: Uuid::from_u128(1),
            root_hash: Ok(root),
            uki: Ok(uki),
            pcr11: Some(pcr11),
            strangers: Vec::new(),
        }),
        release: Ok("6.12.117+deb13-amd64".to_owned()),
        lockdown: Ok("confidentiality".to_owned()),
        modules_disabled: Ok(false),
        firmware: Ok(Some(Firmware {
            secure_boot: Ok(SecureBoot::Off),
            partition: Ok(Uuid::from_u128(1)),
            file: Ok("\\EFI\\BOOT\\BOOTX64.EFI".to_owned()),
            loader: Ok(None),
            systemd_options: false,
        })),
        twins: Vec::new(),
        tpm: Some(Tpm { pcr11: Ok(pcr11), pcr12: Ok(Digest([0; 32])), pcr4: Ok(Digest([2; 32])) }),
    }
}

/// What the UEFI variables of a machine say, to be changed.
fn firmware(attestation: &mut Attestation) -> &mut Firmware {
    attestation.firmware.as_mut().unwrap().as_mut().unwrap()
}

fn kernel(status: Status) -> Vec<Check> {
    let check = |id: &str, found: &str, floor| Check {
        id: id.to_owned(),
        subject: "kernel".to_owned(),
        status,
        found: found.to_owned(),
        floor,
        controls: Vec::new(),
    };
    vec![
        check("kernel-memfd-secret", "memfd_secret(2) works", true),
        check("kernel-landlock", "ABI 6, and ABI 6 is needed", false),
        check("kernel-config-secretmem", "CONFIG_SECRETMEM=y", false),
        check("kernel-config-seccomp-filter", "CONFIG_SECCOMP_FILTER=y", false),
    ]
}

fn page(attestation: &Attestation) -> String {
    let root = attestation.root_hash.clone().map(Named::root);
    let uki = attestation.medium.clone().and_then(|medium| medium.uki).map(Named::uki);
    let lines = lines(attestation, &kernel(Status::Pass));
    text(&Output::new(false), attestation, &root, &uki, &lines)
}

#[test]
fn an_attestation_fits_the_screen() {
    let page = page(&attestation());
    // A prompt follows.
    assert!(page.lines().count() < 24, "{page}");
    assert!(page.lines().all(|line| line.len() <= 80), "{page}");
    insta::assert_snapshot!(page);
}

#[test]
fn what_fails_is_a_line() {
    let nothing = || Err("not there".to_owned());
    let attestation = Attestation {
        root_hash: Err("not there".to_owned()),
        device: nothing(),
        medium: Err("not there".to_owned()),
        release: nothing(),
        lockdown: nothing(),
        modules_disabled: Err("not there".to_owned()),
        firmware: Err("not there".to_owned()),
        twins: Vec::new(),
        tpm: None,
    };
    insta::assert_snapshot!(page(&attestation));
}

/// The one line that begins with an id.
fn line(attestation: &Attestation, id: &str) -> (Status, String) {
    let found = lines(attestation, &kernel(Status::Pass));
    let line = found.into_iter().find(|line| line.id == id).unwrap();
    (line.status, line.found)
}

#[test]
fn what_was_not_booted_is_said_on_the_line_of_the_esp() {
    type Change = fn(&mut Attestation);
    let changes: [(Change, Status, &str); 10] = [
        (|_| (), Status::Pass, "the UKI and nothing else, and it was started"),
        (
            |a| a.firmware = Ok(None),
            Status::Warn,
            "the UKI and nothing else; no UEFI says what was started",
        ),
        (
            |a| a.firmware = Err("not mounted".to_owned()),
            Status::Warn,
            "the UKI and nothing else; what was started is not known",
        ),
        (
            |a| firmware(a).partition = Ok(Uuid::from_u128(2)),
            Status::Fail,
            "this machine was started from another partition",
        ),
        (
            |a| firmware(a).file = Ok("\\EFI\\other.efi".to_owned()),
            Status::Fail,
            "this machine was started from another file",
        ),
        (
            |a| firmware(a).loader = Ok(Some("\\EFI\\grub.efi".to_owned())),
            Status::Fail,
            "a boot loader started it, and not the firmware",
        ),
        (
            |a| firmware(a).loader = Err("left there".to_owned()),
            Status::Warn,
            "the UKI and nothing else; what was started is not known",
        ),
        (
            |a| firmware(a).file = Err("left there".to_owned()),
            Status::Warn,
            "the UKI and nothing else; what was started is not known",
        ),
        (
            |a| firmware(a).partition = Err("left there".to_owned()),
            Status::Warn,
            "the UKI and nothing else; what was started is not known",
        ),
        (|a| a.twins = vec!["/dev/sdb".to_owned()], Status::Fail, "also on /dev/sdb"),
    ];
    for (change, status, found) in changes {
        let mut attestation = attestation();
        change(&mut attestation);
        assert_eq!(line(&attestation, "esp"), (status, found.to_owned()));
        assert!(page(&attestation).lines().all(|line| line.len() <= 80), "{found}");
    }
}

#[test]
fn a_second_command_line_and_a_register_that_is_not_zero_are_shown() {
    let mut attestation = attestation();
    firmware(&mut attestation).systemd_options = true;
    attestation.tpm.as_mut().unwrap().pcr12 = Ok(Digest([3; 32]));
    let page = page(&attestation);
    assert!(page.contains("\nfail  uefi-variables  SystemdOptions is set"), "{page}");
    assert!(page.contains("\nfail  PCR 12  0303"), "{page}");
    assert!(page.contains("\nPCR 12 is not zero"), "{page}");
}

#[test]
fn firmware_without_secure_boot_is_told_from_firmware_that_is_not_known() {
    let mut attestation = attestation();
    for (state, status, found) in [
        (Ok(SecureBoot::On), Status::Pass, "on"),
        (Ok(SecureBoot::Off), Status::Warn, "off: the firmware boots what is not signed"),
        (Ok(SecureBoot::Unsupported), Status::Warn, "this firmware has none: it boots anything"),
        (Err("odd".to_owned()), Status::Warn, "not known: odd"),
    ] {
        firmware(&mut attestation).secure_boot = state;
        assert_eq!(line(&attestation, "secure-boot"), (status, found.to_owned()));
    }
    attestation.firmware = Ok(None);
    assert_eq!(line(&attestation, "secure-boot").1, "not known: not started by UEFI");
}

#[test]
fn objections_and_the_floor_have_exit_codes() {
    let ended = |attestation: &Attestation, floor| {
        verdict(&attestation.objections(true), floor).map_err(|failure| failure.code)
    };
    let good = attestation();
    assert_eq!(ended(&good, true), Ok(()));
    assert_eq!(ended(&good, false), Err(Code::BELOW_FLOOR));
    let mut other = attestation();
    other.root_hash = Ok(Digest([3; 32]));
    assert_eq!(ended(&other, true), Err(Code::TAMPERED));
    // Whatever the floor is.
    assert_eq!(ended(&other, false), Err(Code::TAMPERED));
    let mut hidden = attestation();
    firmware(&mut hidden).loader = Err("left there".to_owned());
    assert_eq!(ended(&hidden, true), Err(Code::TAMPERED));
    let mut silent = attestation();
    silent.tpm.as_mut().unwrap().pcr12 = Err("no such bank".to_owned());
    assert_eq!(ended(&silent, true), Err(Code::TAMPERED));
    firmware(&mut other).systemd_options = true;
    let failure = verdict(&other.objections(true), true).unwrap_err();
    assert!(failure.message.contains("another root hash"), "{}", failure.message);
    assert!(failure.message.contains("SystemdOptions"), "{}", failure.message);
}
