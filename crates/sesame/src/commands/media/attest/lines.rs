//! The lines of the attestation that are judged: one for each thing that was looked at.

use ::media::attest::{Attestation, Firmware, SecureBoot};
use ::media::layout::UKI_PATH;
use hardening::posture::{Check, Status};

/// What of the kernel's posture is shown.
const SHOWN: [&str; 3] = ["kernel-memfd-secret", "kernel-landlock", "kernel-config-seccomp-filter"];

/// One thing that was looked at.
pub(super) struct Line {
    pub(super) id: &'static str,
    pub(super) status: Status,
    pub(super) found: String,
}

impl Line {
    /// `None` is a warning: it can't be told.
    fn new(id: &'static str, holds: Option<bool>, found: impl Into<String>) -> Self {
        let status = match holds {
            Some(true) => Status::Pass,
            Some(false) => Status::Fail,
            None => Status::Warn,
        };
        Self { id, status, found: found.into() }
    }
}

pub(super) fn lines(attestation: &Attestation, kernel: &[Check]) -> Vec<Line> {
    let Attestation { device, medium, release, lockdown, modules_disabled, .. } = attestation;
    let mut lines = Vec::new();
    lines.push(match (medium, attestation.root_hashes_agree()) {
        (Ok(medium), Some(true)) => {
            let text =
                format!("same root hash on the command line and on {}", medium.path.display());
            Line::new("root-hash", Some(true), text)
        }
        (Ok(medium), Some(false)) => {
            let text = format!("the hash tree on {} has another root hash", medium.path.display());
            Line::new("root-hash", Some(false), text)
        }
        (Ok(medium), None) => {
            let reason = medium.root_hash.as_ref().err().or(attestation.root_hash.as_ref().err());
            Line::new("root-hash", None, reason.cloned().unwrap_or_default())
        }
        (Err(reason), _) => match &attestation.root_hash {
            Ok(_) => Line::new("root-hash", None, format!("from the command line only: {reason}")),
            Err(reason) => Line::new("root-hash", None, reason.clone()),
        },
    });
    lines.push(match device {
        Ok(device) => Line::new("dm-verity", Some(true), device.clone()),
        Err(reason) => Line::new("dm-verity", Some(false), reason.clone()),
    });
    lines.push(esp(attestation));
    lines.push(told("kernel", release, |release| (Some(true), release.clone())));
    lines.push(told("lockdown", lockdown, |mode| ((mode != "none").then_some(true), mode.clone())));
    lines.push(told("modules", modules_disabled, |disabled| match disabled {
        true => (Some(true), "no more can be loaded".to_owned()),
        false => (None, "more can be loaded until the system is up".to_owned()),
    }));
    lines.push(secure_boot(&attestation.firmware));
    if let Ok(Some(Firmware { systemd_options: true, .. })) = &attestation.firmware {
        let text = "SystemdOptions is set: a second command line";
        lines.push(Line::new("uefi-variables", Some(false), text));
    }
    for check in kernel {
        if let Some(id) = SHOWN.iter().find(|id| **id == check.id) {
            let id = id.trim_start_matches("kernel-").trim_start_matches("config-");
            lines.push(Line { id, status: check.status, found: check.found.clone() });
        }
    }
    lines
}

/// What is on the ESP, and whether it is the one that was booted.
fn esp(attestation: &Attestation) -> Line {
    let line = |holds, found: &str| Line::new("esp", holds, found);
    let medium = match &attestation.medium {
        Ok(medium) => medium,
        Err(reason) => return line(None, reason),
    };
    if !medium.strangers.is_empty() {
        return line(Some(false), &format!("also {}", medium.strangers.join(", ")));
    }
    if let Err(reason) = &medium.uki {
        return line(Some(false), reason);
    }
    let firmware = match &attestation.firmware {
        Ok(Some(firmware)) => firmware,
        Ok(None) => return line(None, "the UKI and nothing else; no UEFI says what was started"),
        Err(_) => return line(None, "the UKI and nothing else; what was started is not known"),
    };
    if !attestation.twins.is_empty() {
        return line(Some(false), &format!("also on {}", attestation.twins.join(", ")));
    }
    if let Ok(Some(_)) = firmware.loader {
        return line(Some(false), "a boot loader started it, and not the firmware");
    }
    match (&firmware.partition, firmware.was_started_from(UKI_PATH)) {
        (Ok(partition), _) if *partition != medium.esp => {
            line(Some(false), "this machine was started from another partition")
        }
        (_, Some(false)) => line(Some(false), "this machine was started from another file"),
        (Ok(_), Some(true)) if firmware.loader.is_ok() => {
            line(Some(true), "the UKI and nothing else, and it was started")
        }
        _ => line(None, "the UKI and nothing else; what was started is not known"),
    }
}

fn secure_boot(firmware: &Result<Option<Firmware>, String>) -> Line {
    let line = |holds, found: &str| Line::new("secure-boot", holds, found);
    match firmware {
        Ok(None) => line(None, "not known: not started by UEFI"),
        Err(_) => line(None, "not known: the UEFI variables can't be read"),
        Ok(Some(firmware)) => match &firmware.secure_boot {
            Ok(SecureBoot::On) => line(Some(true), "on"),
            Ok(SecureBoot::Off) => line(None, "off: the firmware boots what is not signed"),
            Ok(SecureBoot::Unsupported) => line(None, "this firmware has none: it boots anything"),
            Err(reason) => line(None, &format!("not known: {reason}")),
        },
    }
}

fn told<T>(
    id: &'static str,
    value: &Result<T, String>,
    judge: impl FnOnce(&T) -> (Option<bool>, String),
) -> Line {
    match value {
        Ok(value) => {
            let (holds, found) = judge(value);
            Line::new(id, holds, found)
        }
        Err(reason) => Line::new(id, None, reason.clone()),
    }
}
