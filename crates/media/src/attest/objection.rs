//! What speaks against a machine that says it runs an image.

use uuid::Uuid;

use super::{Attestation, Tpm};
use crate::digest::Digest;
use crate::layout::UKI_PATH;

/// A reason not to go on. Each is a sentence without its full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// There is a medium, and it is not one, or its UKI or hash tree can't be read.
    #[error("the medium can't be read as that of an image: {0}")]
    Medium(String),
    /// The medium has another root than the command line.
    #[error("the hash tree on the medium has another root hash than the system that runs")]
    RootHash,
    /// There is more on the ESP than the UKI.
    #[error("the medium has more than the UKI: {0}")]
    Strangers(String),
    /// The variables of a machine with UEFI, or one of those that say what was started from where.
    #[error("what this machine was started from is not known: {0}")]
    Origin(String),
    /// The ESP that was read is not the one that was booted.
    #[error(
        "this machine was started from partition {booted}, and not from {attested} on {device}"
    )]
    OtherPartition {
        /// What the stub says.
        booted: Uuid,
        /// The ESP on the medium of the root.
        attested: Uuid,
        /// The device node of that medium.
        device: String,
    },
    /// Two disks have the partition that was booted.
    #[error(
        "{0} has the partition too that this machine was started from: pull out all disks but one"
    )]
    Twins(String),
    /// Another file than the UKI was started.
    #[error("this machine was started from {0}, and not from the UKI that is attested")]
    OtherFile(String),
    /// The firmware started something else first.
    #[error("a boot loader started the system, and not this machine's firmware: {0}")]
    Loader(String),
    /// systemd has a second command line.
    #[error("the UEFI variable SystemdOptions is set, which is a second command line: delete it")]
    SystemdOptions,
    /// The UKI on the medium gives another PCR 11.
    #[error("PCR 11 is not what the UKI on the medium gives: another one was started")]
    Pcr11,
    /// The stub took something from outside of the UKI.
    #[error(
        "PCR 12 is not zero: a command line, a credential or an addon came from outside of the UKI"
    )]
    Pcr12,
    /// There is a TPM, and its register for what the stub takes can't be read.
    #[error("PCR 12 can't be read, so nobody knows what came from outside of the UKI: {0}")]
    Pcr12Unreadable(String),
}

/// What speaks against a machine on which dm-verity is active; nothing on any other.
pub(super) fn objections(attestation: &Attestation, is_root: bool) -> Vec<Objection> {
    let mut found = Vec::new();
    if attestation.root_hashes_agree() == Some(false) {
        found.push(Objection::RootHash);
    }
    if let Ok(medium) = &attestation.medium
        && !medium.strangers.is_empty()
    {
        found.push(Objection::Strangers(medium.strangers.join(", ")));
    }
    if attestation.device.is_err() {
        return found;
    }
    if let Some(reason) = attestation.unread().filter(|_| is_root) {
        found.push(Objection::Medium(reason));
    }
    found.extend(origin(attestation, is_root));
    if let Some(tpm) = &attestation.tpm {
        found.extend(registers(attestation, tpm, is_root));
    }
    found
}

/// Only root mounts efivarfs: for anybody else what isn't known ends nothing.
fn origin(attestation: &Attestation, is_root: bool) -> Vec<Objection> {
    let firmware = match &attestation.firmware {
        Ok(Some(firmware)) => firmware,
        // A kernel that was started without firmware, by a test: there is no medium that was booted.
        Ok(None) => return Vec::new(),
        Err(reason) if is_root => return vec![Objection::Origin(reason.clone())],
        Err(_) => return Vec::new(),
    };
    let mut found = Vec::new();
    if firmware.systemd_options {
        found.push(Objection::SystemdOptions);
    }
    if is_root {
        let reasons = [
            firmware.partition.as_ref().err(),
            firmware.file.as_ref().err(),
            firmware.loader.as_ref().err(),
        ];
        found.extend(reasons.into_iter().flatten().cloned().map(Objection::Origin));
    }
    if let (Ok(booted), Ok(medium)) = (&firmware.partition, &attestation.medium)
        && *booted != medium.esp
    {
        let device = medium.path.display().to_string();
        let attested = medium.esp;
        found.push(Objection::OtherPartition { booted: *booted, attested, device });
    }
    if !attestation.twins.is_empty() {
        found.push(Objection::Twins(attestation.twins.join(", ")));
    }
    if let (Ok(file), Some(false)) = (&firmware.file, firmware.was_started_from(UKI_PATH)) {
        found.push(Objection::OtherFile(file.clone()));
    }
    found.extend(firmware.loader.clone().ok().flatten().map(Objection::Loader));
    found
}

fn registers(attestation: &Attestation, tpm: &Tpm, is_root: bool) -> Vec<Objection> {
    let mut found = Vec::new();
    let expected = attestation.medium.as_ref().is_ok_and(|medium| medium.pcr11.is_some());
    let by_stub = matches!(attestation.firmware, Ok(Some(_)));
    // Zero: firmware that has no driver for this TPM measures nothing.
    let measured = tpm.pcr11.as_ref().is_ok_and(|value| *value != ZERO);
    if by_stub && expected && measured && attestation.pcr11_phase().is_none() {
        found.push(Objection::Pcr11);
    }
    match &tpm.pcr12 {
        Ok(value) if *value != ZERO => found.push(Objection::Pcr12),
        Err(reason) if is_root => found.push(Objection::Pcr12Unreadable(reason.clone())),
        _ => {}
    }
    found
}

/// A register into which nothing was measured.
const ZERO: Digest = Digest([0; 32]);
