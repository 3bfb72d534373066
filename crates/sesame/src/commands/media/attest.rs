//! `sesame media attest`: what the console shows before anybody touches it, on 80 columns and 24 lines.

mod lines;

use std::fmt::Write;

use ::media::Digest;
use ::media::attest::{Attestation, Objection, Paths, SecureBoot, Tpm};
use hardening::posture::{self, Check, Status};
use nix::unistd::geteuid;
use serde_json::{Value, json};

use self::lines::{Line, lines};
use super::Named;
use crate::exit::{Code, Failure};
use crate::output::{Colour, Output};

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
    let firmware = attestation.firmware.as_ref().ok().and_then(Option::as_ref);
    let objections = attestation.objections(geteuid().is_root());
    let json = json!({
        "root_hash": root.as_ref().ok().map(Named::json),
        "uki": uki.as_ref().ok().map(Named::json),
        "medium": attestation.medium.as_ref().ok().map(|medium| medium.path.display().to_string()),
        "kernel": attestation.release.as_ref().ok(),
        "lockdown": attestation.lockdown.as_ref().ok(),
        "modules_disabled": attestation.modules_disabled.as_ref().ok(),
        "secure_boot": firmware.and_then(|firmware| match firmware.secure_boot {
            Ok(state) => Some(state == SecureBoot::On),
            Err(_) => None,
        }),
        "started_from": firmware.map(|firmware| json!({
            "partition": firmware.partition.as_ref().ok().map(ToString::to_string),
            "file": firmware.file.as_ref().ok(),
            "boot_loader": match &firmware.loader {
                Ok(loader) => json!(loader),
                Err(reason) => json!({ "error": reason }),
            },
        })),
        "systemd_options": firmware.map(|firmware| firmware.systemd_options),
        "tpm": attestation.tpm.as_ref().map(|tpm| json!({
            "pcr11": register(&tpm.pcr11),
            "pcr11_expected_after": attestation.pcr11_phase(),
            "pcr12": register(&tpm.pcr12),
            "pcr4": register(&tpm.pcr4),
        })),
        "floor_holds": floor,
        "checks": lines.iter().map(|line| json!({
            "id": line.id,
            "status": line.status.as_str(),
            "found": line.found,
        })).collect::<Vec<_>>(),
        "objections": objections.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    output.result(&text(output, attestation, &root, &uki, &lines), json)?;
    verdict(&objections, floor)
}

fn register(value: &Result<Digest, String>) -> Value {
    match value {
        Ok(value) => json!(value),
        Err(error) => json!({ "error": error }),
    }
}

fn verdict(objections: &[Objection], floor: bool) -> Result<(), Failure> {
    if !objections.is_empty() {
        let texts: Vec<_> = objections.iter().map(ToString::to_string).collect();
        let text = format!("{}; nothing is to be trusted here, switch it off", texts.join("; "));
        return Err(Failure::new(Code::TAMPERED, text));
    }
    if !floor {
        let text = "this machine is below the security floor: no daemon will start on it";
        return Err(Failure::new(Code::BELOW_FLOOR, text));
    }
    Ok(())
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
        let status = painted(output, line.status);
        let _ = writeln!(text, "{status}  {:<15} {}", line.id, line.found);
    }
    match &attestation.tpm {
        None => text.push_str("There is no TPM with SHA-256.\n"),
        Some(tpm) => text.push_str(&registers(output, attestation, tpm)),
    }
    text
}

fn painted(output: &Output, status: Status) -> String {
    let colour = match status {
        Status::Pass => Colour::Green,
        Status::Warn => Colour::Yellow,
        Status::Fail => Colour::Red,
    };
    output.paint(colour, &format!("{:<4}", status.as_str()))
}

fn registers(output: &Output, attestation: &Attestation, tpm: &Tpm) -> String {
    let is_expected = attestation.pcr11_phase().is_some();
    let pcr11 = if is_expected { Status::Pass } else { Status::Warn };
    let pcr12 = match &tpm.pcr12 {
        Ok(value) if value.0 == [0; 32] => Status::Pass,
        Ok(_) => Status::Fail,
        Err(_) => Status::Warn,
    };
    let mut text = String::new();
    for (status, title, value) in [
        (painted(output, pcr11), "PCR 11", &tpm.pcr11),
        (painted(output, pcr12), "PCR 12", &tpm.pcr12),
        // Of the firmware and not of the UKI: what it should be is on nobody's sheet.
        ("    ".to_owned(), "PCR 4", &tpm.pcr4),
    ] {
        let value = value.as_ref().map_or_else(Clone::clone, Digest::to_string);
        let _ = writeln!(text, "{status}  {title:<6}  {value}");
    }
    if !is_expected {
        text.push_str("PCR 11 is not what the UKI on the medium gives, or that is not known.\n");
    }
    if pcr12 == Status::Fail {
        text.push_str("PCR 12 is not zero: something from outside of the UKI was taken.\n");
    }
    text
}

#[cfg(test)]
mod tests;
