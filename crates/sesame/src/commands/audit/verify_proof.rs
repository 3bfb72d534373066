//! `sesame audit verify-proof`

use std::fs::File;
use std::io::Read;

use audit_log::{ProofFault, verify_proof};
use serde_json::json;
use tlog::proof::MAX_PROOF;
use tlog::{Role, TlogProof};

use super::{pins, tail};
use crate::cli::VerifyProof;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(output: &Output, arguments: &VerifyProof) -> Result<(), Failure> {
    let key = pins::public_key(&arguments.key, Role::Log)?;
    let (witnesses, required) = pins::witnesses(&arguments.witnesses)?;
    let shown = arguments.proof.display();
    let mut bytes = Vec::new();
    File::open(&arguments.proof)
        .and_then(|file| file.take(MAX_PROOF as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(Code::USAGE, format!("cannot read {shown}: {error}")))?;
    let proof = TlogProof::parse(&bytes)
        .map_err(|error| Failure::new(Code::MALFORMED, format!("{shown} is no proof: {error}")))?;
    let proven = verify_proof(&proof, &key, &witnesses, required).map_err(|fault| {
        let next = match &fault {
            ProofFault::Signature(_) => {
                "; a trail's key may have been rotated: it takes the one that signed at the time"
            }
            _ => "",
        };
        Failure::new(fault.verdict().into(), format!("{shown} proves nothing: {fault}{next}"))
    })?;
    let mut text = format!(
        "The proof is sound: this entry is in the trail of {}, which had {} entries then.\n{}",
        key.name(),
        proven.size,
        tail::line(&proven.entry),
    );
    if !proven.cosigners.is_empty() {
        text.push_str(&format!("Cosigned by {}.\n", proven.cosigners.join(", ")));
    }
    let json = json!({
        "verdict": "sound",
        "origin": key.name().to_string(),
        "size": proven.size,
        "cosigners": proven.cosigners,
        "entry": proven.entry,
    });
    output.result(&text, json)
}
