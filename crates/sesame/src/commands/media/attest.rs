//! `sesame media attest`: what the console shows before anybody touches it, on 80 columns and 24 lines.

use std::fmt::Write;

use ::media::Digest;
use ::media::attest::{Attestation, Paths};
use hardening::posture::{self, Check, Status};
use nix::unistd::geteuid;
use serde_json::json;

use super::Named;
use crate::exit::{Code, Failure};
use crate::output::{Colour, Output};

/// What of the kernel's posture is shown.
const SHOWN: [&str; 3] = ["kernel-memfd-secret", "kernel-landlock", "kernel-config-seccomp-filter"];

pub fn run(output: &Output) -> Result<(), Failure> {
    let attestation = Attestation::collect(&Paths::default());
    let kernel = posture::kernel();
    show(output, &attestation, &kernel)
}

fn show(output: &Output, attestation: &Attestation, kernel: &[Check]) -> Result<(), Failure> {
    let root = attestation.root_hash.clone().map(Named::root);
    let uki = attestation.medium.clone().and_then(|medium| medium.uki).map(Named::uki);
    let lines = lines(attestation, kernel);
    let floor = posture::floor_holds(kernel);
    let register = |value: Result<Digest, String>| {
        value.map_or_else(|error| json!({ "error": error }), |value| json!(value))
    };
    let json = json!({
        "root_hash": root.as_ref().ok().map(Named::json),
        "uki": uki.as_ref().ok().map(Named::json),
        "medium": attestation.medium.as_ref().ok().map(|medium| medium.path.display().to_string()),
        "kernel": attestation.release.as_ref().ok(),
        "lockdown": attestation.lockdown.as_ref().ok(),
        "modules_disabled": attestation.modules_disabled.as_ref().ok(),
        "secure_boot": attestation.secure_boot,
        "tpm": attestation.tpm.clone().map(|(pcr11, pcr4)| json!({
            "pcr11": register(pcr11),
            "pcr11_expected_after": attestation.pcr11_phase(),
            "pcr4": register(pcr4),
        })),
        "floor_holds": floor,
        "checks": lines.iter().map(|line| json!({
            "id": line.id,
            "status": line.status.as_str(),
            "found": line.found,
        })).collect::<Vec<_>>(),
    });
    output.result(&text(output, attestation, &root, &uki, &lines), json)?;
    verdict(attestation, floor, geteuid().is_root())
}

/// Root reads the medium; when it can't, on a machine that runs from one, the medium was altered, or is
/// another one. For anybody else what can't be read is on the screen, and ends nothing.
fn verdict(attestation: &Attestation, floor: bool, root: bool) -> Result<(), Failure> {
    let strangers = attestation.medium.as_ref().is_ok_and(|medium| !medium.strangers.is_empty());
    let read = attestation.medium.as_ref().is_ok_and(|medium| medium.uki.is_ok())
        && attestation.root_hashes_agree().is_some();
    let unreadable = root && attestation.device.is_ok() && !read;
    if strangers || unreadable || attestation.root_hashes_agree() == Some(false) {
        let text = "the medium is not the one that this machine should have booted; switch it off";
        return Err(Failure::new(Code::TAMPERED, text));
    }
    if !floor {
        let text = "this machine is below the security floor: no daemon will start on it";
        return Err(Failure::new(Code::BELOW_FLOOR, text));
    }
    Ok(())
}

/// One thing that was looked at.
struct Line {
    id: &'static str,
    status: Status,
    found: String,
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

fn lines(attestation: &Attestation, kernel: &[Check]) -> Vec<Line> {
    let Attestation { device, medium, release, lockdown, modules_disabled, secure_boot, .. } =
        attestation;
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
    lines.push(match medium {
        Ok(medium) if medium.strangers.is_empty() => match &medium.uki {
            Ok(_) => Line::new("esp", Some(true), "the UKI and nothing else"),
            Err(reason) => Line::new("esp", Some(false), reason.clone()),
        },
        Ok(medium) => {
            Line::new("esp", Some(false), format!("also {}", medium.strangers.join(", ")))
        }
        Err(reason) => Line::new("esp", None, reason.clone()),
    });
    lines.push(told("kernel", release, |release| (Some(true), release.clone())));
    lines.push(told("lockdown", lockdown, |mode| ((mode != "none").then_some(true), mode.clone())));
    lines.push(told("modules", modules_disabled, |disabled| match disabled {
        true => (Some(true), "no more can be loaded".to_owned()),
        false => (None, "more can be loaded until the system is up".to_owned()),
    }));
    lines.push(match secure_boot {
        Some(true) => Line::new("secure-boot", Some(true), "on"),
        Some(false) => Line::new("secure-boot", None, "off: the firmware boots what is not signed"),
        None => Line::new("secure-boot", None, "not known: no UEFI variables"),
    });
    for check in kernel {
        if let Some(id) = SHOWN.iter().find(|id| **id == check.id) {
            let id = id.trim_start_matches("kernel-").trim_start_matches("config-");
            lines.push(Line { id, status: check.status, found: check.found.clone() });
        }
    }
    lines
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

fn text(
    output: &Output,
    attestation: &Attestation,
    root: &Result<Named, String>,
    uki: &Result<Named, String>,
    lines: &[Line],
) -> String {
    let mut text = String::new();
    for (title, named) in [("Root hash", root), ("UKI", uki)] {
        match named {
            Ok(named) => text.push_str(&named.to_string()),
            Err(reason) => {
                let _ = writeln!(text, "{title:<9} not known: {reason}");
            }
        }
    }
    for line in lines {
        let colour = match line.status {
            Status::Pass => Colour::Green,
            Status::Warn => Colour::Yellow,
            Status::Fail => Colour::Red,
        };
        let status = output.paint(colour, &format!("{:<4}", line.status.as_str()));
        let _ = writeln!(text, "{status}  {:<15} {}", line.id, line.found);
    }
    match &attestation.tpm {
        None => text.push_str("There is no TPM.\n"),
        Some((pcr11, pcr4)) => {
            for (title, value) in [("PCR 11", pcr11), ("PCR 4", pcr4)] {
                let value = value.as_ref().map_or_else(Clone::clone, Digest::to_string);
                let _ = writeln!(text, "{title:<9} {value}");
            }
            text.push_str(match attestation.pcr11_phase() {
                Some(_) => "PCR 11 is what the UKI on the medium gives.\n",
                None => "PCR 11 is not what the UKI on the medium gives, or that is not known.\n",
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ::media::attest::Medium;

    use super::*;

    /// A booted image, with the longest of what is likely.
    fn attestation() -> Attestation {
        let (root, uki, pcr11) = (Digest([0xd5; 32]), Digest([0x5e; 32]), Digest([1; 32]));
        Attestation {
            root_hash: Ok(root),
            device: Ok("dm-0 \"root\", read-only".to_owned()),
            medium: Ok(Medium {
                path: PathBuf::from("/dev/nvme0n1"),
                root_hash: Ok(root),
                uki: Ok(uki),
                pcr11: Some(pcr11),
                strangers: Vec::new(),
            }),
            release: Ok("6.12.117+deb13-amd64".to_owned()),
            lockdown: Ok("confidentiality".to_owned()),
            modules_disabled: Ok(false),
            secure_boot: Some(false),
            tpm: Some((Ok(pcr11), Ok(Digest([2; 32])))),
        }
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
            secure_boot: None,
            tpm: None,
        };
        insta::assert_snapshot!(page(&attestation));
    }

    #[test]
    fn the_floor_and_the_medium_have_exit_codes() {
        let ended = |attestation: &Attestation, status| {
            let floor = posture::floor_holds(&kernel(status));
            verdict(attestation, floor, true).map_err(|failure| failure.code)
        };
        let good = attestation();
        assert_eq!(ended(&good, Status::Pass), Ok(()));
        assert_eq!(ended(&good, Status::Fail), Err(Code::BELOW_FLOOR));
        let mut stranger = attestation();
        stranger.medium.as_mut().unwrap().strangers.push("loader/x.conf".to_owned());
        assert_eq!(ended(&stranger, Status::Pass), Err(Code::TAMPERED));
        let mut other = attestation();
        other.root_hash = Ok(Digest([3; 32]));
        assert_eq!(ended(&other, Status::Pass), Err(Code::TAMPERED));
        // Whatever the floor is.
        assert_eq!(ended(&other, Status::Fail), Err(Code::TAMPERED));
        let mut unknown = attestation();
        unknown.medium.as_mut().unwrap().uki = Err("a damaged FAT".to_owned());
        assert_eq!(ended(&unknown, Status::Pass), Err(Code::TAMPERED));
        unknown.medium = Err("cannot read /dev/sda".to_owned());
        assert_eq!(ended(&unknown, Status::Pass), Err(Code::TAMPERED));
        assert!(verdict(&unknown, true, false).is_ok(), "not root");
        unknown.device = Err("no dm-verity".to_owned());
        assert_eq!(ended(&unknown, Status::Pass), Ok(()), "not an appliance");
    }
}
