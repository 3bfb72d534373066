//! `sesame audit verify-proof`

use std::fs::File;
use std::io::Read;

use audit_log::verify_proof;
use serde_json::json;
use tlog::{Role, TlogProof};

use super::{pins, tail};
use crate::cli::VerifyProof;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// The longest proof that is read, in bytes.
const MAX_PROOF: u64 = 512 << 10;

pub fn run(output: &Output, arguments: &VerifyProof) -> Result<(), Failure> {
    let key = pins::public_key(&arguments.key, Role::Log)?;
    let (witnesses, required) = pins::witnesses(&arguments.witnesses)?;
    let shown = arguments.proof.display();
    let mut bytes = Vec::new();
    File::open(&arguments.proof)
        .and_then(|file| file.take(MAX_PROOF + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(Code::USAGE, format!("cannot read {shown}: {error}")))?;
    let proof = TlogProof::parse(&bytes)
        .map_err(|error| Failure::new(Code::MALFORMED, format!("{shown} is no proof: {error}")))?;
    let proven = verify_proof(&proof, &key, &witnesses, required).map_err(|fault| {
        Failure::new(fault.verdict().into(), format!("{shown} proves nothing: {fault}"))
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
