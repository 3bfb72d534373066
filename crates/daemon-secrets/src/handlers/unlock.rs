//! One try to unlock a profile: counted, recorded, and slowed down when wrong.

use std::time::Duration;

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::secrets::{ProfileState, SecretsReply};
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::{Metadata, UnlockError};
use site_config::{Installation, ProfileName};

use crate::faults;
use crate::keyring::{Held, vault_keys};
use crate::service::{SecretsService, record_of};
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
    let record = record_of(Operation::Unlock, Outcome::Authorised, peer, Some(&profile));
    trail.record(record.clone())?;
    attempts.begin(&profile, &file).map_err(|error| {
        faults::from_storage("the try could not be counted, so it was not made", &error)
    })?;

    let outcome = attempt(service, &installation, &profile, password);
    // Nobody learns the result before it is in the trail.
    trail.record(result_record(record, failures, &outcome))?;
    let held = match outcome {
        Ok(held) => held,
        Err(Failure { fault, factor_was_right }) => {
            if factor_was_right {
                clear(&mut attempts, &profile, &file);
                return Err(fault);
            }
            let (failures, wait) = attempts.standing(&profile, &file);
            return Err(with_standing(fault, failures, whole_seconds(wait)));
        }
    };
    clear(&mut attempts, &profile, &file);
    service.touch();
    if let Some(held) = held {
        service.keyring_mut().insert(&profile, held);
    }
    Ok(SecretsReply::Done)
}

struct Failure {
    fault: Fault,
    factor_was_right: bool,
}

/// Tries the factor and opens the vault. `None` when the vault is open already: unlocking again
/// proves the factor and changes nothing.
fn attempt(
    service: &SecretsService,
    installation: &Installation,
    profile: &ProfileName,
    password: &[u8],
) -> Result<Option<Held>, Failure> {
    let neutral = |fault| Failure { fault, factor_was_right: false };
    let bytes = service.store.metadata(profile).map_err(|error| {
        neutral(faults::from_storage("the profile's metadata can't be read", &error))
    })?;
    let metadata = Metadata::parse(bytes.expose(), &store::binding(installation, profile))
        .map_err(|error| neutral(faults::from_metadata(&error)))?;
    let unlocked = metadata.unlock_with_password(password, &mut service.working_memory());
    let master = unlocked.map_err(|error| match &error {
        UnlockError::WrongFactor => {
            neutral(Fault::new(FaultKind::WrongFactor, "wrong password; it was recorded"))
        }
        UnlockError::Edited => Failure {
            fault: Fault::new(FaultKind::Tampered, format!("{error}. Nothing was unlocked")),
            factor_was_right: true,
        },
        UnlockError::Kdf(error) => neutral(faults::from_kdf(error)),
    })?;
    let derivation = metadata.derivation();
    if service.keyring().state(profile) == ProfileState::Active {
        return Ok(None);
    }
    let keys = vault_keys(&master, derivation, profile);
    let vault = service.store.open_vault(installation, profile, keys);
    let vault = vault
        .map_err(|error| Failure { fault: faults::from_vault(&error), factor_was_right: true })?;
    Ok(Some(Held::new(master, derivation, vault)))
}

fn result_record(
    mut record: Record,
    failures: u32,
    outcome: &Result<Option<Held>, Failure>,
) -> Record {
    match outcome {
        Ok(_) => record.outcome = Outcome::Done,
        Err(Failure { fault, factor_was_right }) => {
            record.outcome = Outcome::Failed;
            record.detail.insert("reason".to_owned(), format!("{:?}", fault.kind));
            if !factor_was_right {
                record.detail.insert("failures".to_owned(), (failures + 1).to_string());
            }
        }
    }
    record
}

fn clear(attempts: &mut crate::attempts::Attempts, profile: &ProfileName, file: &std::path::Path) {
    if let Err(error) = attempts.succeeded(profile, file) {
        log::warning(format_args!("wrong tries could not be cleared: {error}"));
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
