//! One try to unlock a profile: counted, recorded, and slowed down when wrong.

use std::time::Duration;

use std::path::Path;

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::secrets::{ProfileState, SecretsReply};
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::{Metadata, UnlockError};
use site_config::{Installation, ProfileName};

use crate::attempts::Attempts;
use crate::faults;
use crate::keyring::{Held, vault_keys};
use crate::record::{record_of, recording_failure};
use crate::service::SecretsService;
use crate::store;
use crate::trail::Trail;

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    password: &[u8],
) -> Result<SecretsReply<'a>, Fault> {
    let installation = service.initialised()?;
    let profile = service.profile(profile)?;
    let file = service.store.attempts(&profile);
    let mut attempts = service.attempts();
    let (failures, wait) = attempts.standing(&profile, &file);
    if !wait.is_zero() {
        let mut record = record_of(Operation::Unlock, Outcome::Refused, peer, Some(&profile));
        record.detail.insert("reason".to_owned(), "too soon after wrong tries".to_owned());
        record.detail.insert("failures".to_owned(), failures.to_string());
        trail.record(record)?;
        let seconds = whole_seconds(wait);
        let text = format!(
            "{failures} wrong tries: the next one counts in {seconds} s; this one was not made"
        );
        let mut fault = Fault::new(FaultKind::RateLimited, text);
        fault.retry_after_seconds = Some(seconds);
        return Err(fault);
    }
    let locks = service.locks();
    let record = record_of(Operation::Unlock, Outcome::Authorised, peer, Some(&profile));
    trail.record(record.clone())?;
    attempts.begin(&profile, &file).map_err(|error| {
        faults::from_storage("the try could not be counted, so it was not made", &error)
    })?;

    let outcome = attempt(service, &installation, &profile, password);
    // Nobody learns the result before it is in the trail.
    trail.record(result_record(record.clone(), failures, &outcome))?;
    let held = match outcome {
        Ok(held) => held,
        Err(Failure { fault, factor: Factor::Right }) => {
            settle(&mut attempts, &profile, &file, 0);
            return Err(fault);
        }
        Err(Failure { fault, factor: Factor::NotTried }) => {
            settle(&mut attempts, &profile, &file, failures);
            return Err(fault);
        }
        Err(Failure { fault, factor: Factor::Wrong }) => {
            let (failures, wait) = attempts.standing(&profile, &file);
            return Err(with_standing(fault, failures, whole_seconds(wait)));
        }
    };
    settle(&mut attempts, &profile, &file, 0);
    service.touch();
    if let Some(held) = held {
        let kept = service.keep_keys(&profile, held, locks);
        recording_failure(trail, &record, kept)?;
    }
    Ok(SecretsReply::Done)
}

/// What a failure says of the factor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Factor {
    /// It is right; something else is wrong.
    Right,
    /// It is wrong, and that counts.
    Wrong,
    /// It was never tried, and nothing counts.
    NotTried,
}

struct Failure {
    fault: Fault,
    factor: Factor,
}

/// Tries the factor and opens the vault. `None` when the vault is open already: unlocking again
/// proves the factor and changes nothing.
fn attempt(
    service: &SecretsService,
    installation: &Installation,
    profile: &ProfileName,
    password: &[u8],
) -> Result<Option<Held>, Failure> {
    let not_tried = |fault| Failure { fault, factor: Factor::NotTried };
    let bytes = service.store.metadata(profile).map_err(|error| {
        not_tried(faults::from_storage("the profile's metadata can't be read", &error))
    })?;
    let metadata = Metadata::parse(bytes.expose(), &store::binding(installation, profile))
        .map_err(|error| not_tried(faults::from_metadata(&error)))?;
    let unlocked = metadata.unlock_with_password(password, &mut service.working_memory());
    let master = unlocked.map_err(|error| match &error {
        UnlockError::WrongFactor => Failure {
            fault: Fault::new(FaultKind::WrongFactor, "wrong password; it was recorded"),
            factor: Factor::Wrong,
        },
        UnlockError::Edited => Failure {
            fault: Fault::new(FaultKind::Tampered, format!("{error}. Nothing was unlocked")),
            factor: Factor::Right,
        },
        UnlockError::Kdf(error) => not_tried(faults::from_kdf(error)),
    })?;
    let derivation = metadata.derivation();
    if service.keyring().state(profile) == ProfileState::Active {
        return Ok(None);
    }
    let keys = vault_keys(&master, derivation, profile);
    let vault = service.store.open_vault(installation, profile, keys);
    let vault = vault
        .map_err(|error| Failure { fault: faults::from_vault(&error), factor: Factor::Right })?;
    Ok(Some(Held::new(master, derivation, vault)))
}

fn result_record(
    mut record: Record,
    failures: u32,
    outcome: &Result<Option<Held>, Failure>,
) -> Record {
    match outcome {
        Ok(_) => record.outcome = Outcome::Done,
        Err(Failure { fault, factor }) => {
            record.outcome = Outcome::Failed;
            record.detail.insert("reason".to_owned(), format!("{:?}", fault.kind));
            if *factor == Factor::Wrong {
                let failures = failures.saturating_add(1);
                record.detail.insert("failures".to_owned(), failures.to_string());
            }
        }
    }
    record
}

/// So many wrong tries stand after this one; the try itself was counted before it was made.
fn settle(attempts: &mut Attempts, profile: &ProfileName, file: &Path, failures: u32) {
    if let Err(error) = attempts.settle(profile, file, failures) {
        log::warning(format_args!("the wrong tries could not be noted: {error}"));
    }
}

fn with_standing(mut fault: Fault, failures: u32, seconds: u64) -> Fault {
    if fault.kind == FaultKind::WrongFactor && seconds > 0 {
        fault.message = format!(
            "{}; after {failures} wrong tries the next one counts in {seconds} s",
            fault.message
        );
        fault.retry_after_seconds = Some(seconds);
    }
    fault
}

/// Rounded up: who waits that long is not too soon.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
