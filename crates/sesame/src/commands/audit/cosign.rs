//! `sesame audit cosign`

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use audit_log::{CosignError, Expectation, cosign_bundle, verify_bundle};
use serde_json::json;
use tlog::{KeyName, Role};

use super::witness::{Memory, Witness};
use super::{head, pins};
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::output::Output;

pub fn run(
    dir: Option<PathBuf>,
    output: &Output,
    directory: &Path,
    key: Option<&Path>,
) -> Result<(), Failure> {
    let witness = Witness::open(&Context::load(dir)?)?;
    let given = key.map(|path| pins::public_key(path, Role::Log)).transpose()?;
    let origin = match &given {
        Some(key) => key.name().clone(),
        None => origin_of(directory)?,
    };
    let memory = witness.memory(&origin)?;
    // A name that a stranger chose, on the terminal of somebody who decides whom to trust.
    let shown = audit_log::printable(origin.as_str());
    let key = match (&memory, given) {
        (Some(memory), Some(given)) if memory.key != given => {
            let text = format!(
                "this is not the key that you gave for {shown} the first time; nothing was signed. \
                 Leave --key out: a rotated key is followed from the old one"
            );
            return Err(Failure::new(Code::SIGNATURE, text));
        }
        (Some(memory), _) => memory.key.clone(),
        (None, Some(given)) => given,
        (None, None) => {
            let text = format!(
                "you have not seen the trail {shown} before; give its public key with --key FILE, \
                 from somebody whom you trust"
            );
            return Err(Failure::new(Code::USAGE, text));
        }
    };
    let last = memory.map(|memory| memory.head);
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // What was signed and forgotten could be contradicted: remember first.
    let remember = |head| witness.remember(&Memory { key: key.clone(), head });
    let at = cosign_bundle(directory, &key, last, &witness.keys, now, remember).map_err(failure)?;
    let words = head::words(at)?;
    let name = witness.keys.public().name();
    let text = format!(
        "Cosigned by {name}: {shown} with {} entries.\nIts head is now what you remember:\n{}\n",
        at.size,
        head::wrap(&words)
    );
    let json = json!({
        "witness": name.to_string(),
        "origin": origin.to_string(),
        "size": at.size,
        "root": at.root.to_string(),
        "words": words.join(" "),
        "seen_before": last.map(|head| head.size),
    });
    output.result(&text, json)
}

/// Whose trail it says it is, which the key that we know of that trail has to confirm.
fn origin_of(directory: &Path) -> Result<KeyName, Failure> {
    let report =
        verify_bundle(directory, &Expectation::default()).map_err(|error| failure(error.into()))?;
    match report.genesis {
        Some(genesis) => Ok(genesis.keys.name().clone()),
        None => Err(failure(CosignError::Unsound(report.into()))),
    }
}

fn failure(error: CosignError) -> Failure {
    let code = match &error {
        CosignError::Unsound(report) => report.verdict.into(),
        CosignError::RolledBack { .. } => Code::ROLLED_BACK,
        CosignError::NoCheckpoint => Code::UNSEALED,
        CosignError::Archive(_) => Code::USAGE,
        CosignError::Locked(_) => Code::BUSY,
        CosignError::Sign(_) => Code::FAILED,
        CosignError::Io { .. } | CosignError::NotRemembered(_) => Code::STORAGE,
    };
    Failure::new(code, error.to_string())
}
