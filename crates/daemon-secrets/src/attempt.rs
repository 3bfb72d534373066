//! One try of a factor: counted and recorded before it is made, recorded again before anybody learns
//! its result, and slowed down when wrong.

use std::path::PathBuf;
use std::time::Duration;

use audit_log::{Operation, Outcome};
use daemon_runtime::log;
use ipc::audit::Record;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::{FactorError, FactorSecret, Metadata};
use secret_memory::Secret;
use site_config::ProfileName;

use crate::faults;
use crate::record::record_of;
use crate::service::SecretsService;
use ipc::trail::Trail;

/// Which factors are tried, and for what.
pub struct Attempt<'a> {
    pub operation: Operation,
    pub profile: &'a ProfileName,
    /// The text of the change that it is for, or `unlock`.
    pub cause: Option<&'a str>,
    /// Several when it is not known which of them it is.
    pub factors: &'a [u32],
    /// Where wrong tries are counted.
    pub file: PathBuf,
}

/// Why a try gave nothing.
pub struct Failure {
    pub fault: Fault,
    pub verdict: Verdict,
}

/// What a failure says of the factor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This one is right; something else is wrong.
    Right(u32),
    /// It is wrong, and that counts.
    Wrong,
    /// It was never tried, and nothing counts.
    NotTried,
}

impl Failure {
    pub fn not_tried(fault: Fault) -> Self {
        Self { fault, verdict: Verdict::NotTried }
    }
}

impl Attempt<'_> {
    /// Makes the try. What it gives comes with the id of the factor that it was.
    pub fn run<T>(
        &self,
        service: &SecretsService,
        trail: &mut Trail,
        peer: &Peer,
        work: impl FnOnce() -> Result<(u32, T), Failure>,
    ) -> Result<(u32, T), Fault> {
        let mut attempts = service.attempts();
        let standings = self.factors.iter().map(|id| attempts.standing(&self.file, *id));
        let (failures, wait) = standings.max_by_key(|(_, wait)| *wait).unwrap_or_default();
        if !wait.is_zero() {
            let mut record = self.record(peer, Outcome::Refused);
            record.detail.insert("reason".to_owned(), "too soon after wrong tries".to_owned());
            record.detail.insert("failures".to_owned(), failures.to_string());
            trail.record(record)?;
            return Err(too_soon(failures, wait));
        }
        trail.record(self.record(peer, Outcome::Authorised))?;
        let before = attempts.begin(&self.file, self.factors).map_err(|error| {
            faults::from_storage("the try could not be counted, so it was not made", &error)
        })?;

        let outcome = work();
        // Nobody learns the result before it is in the trail.
        trail.record(self.result(peer, failures, &outcome))?;
        let right = match &outcome {
            Ok((right, _)) | Err(Failure { verdict: Verdict::Right(right), .. }) => Some(*right),
            Err(Failure { verdict: Verdict::NotTried, .. }) => None,
            Err(Failure { verdict: Verdict::Wrong, fault }) => {
                let standings = self.factors.iter().map(|id| attempts.standing(&self.file, *id));
                let (failures, wait) = standings.max_by_key(|(_, wait)| *wait).unwrap_or_default();
                return Err(with_standing(fault.clone(), failures, wait));
            }
        };
        if let Err(error) = attempts.settle(&self.file, &before, right) {
            log::warning(format_args!("the wrong tries could not be noted: {error}"));
        }
        outcome.map_err(|failure| failure.fault)
    }

    fn record(&self, peer: &Peer, outcome: Outcome) -> Record {
        let mut record = record_of(self.operation, outcome, peer, Some(self.profile));
        let ids: Vec<String> = self.factors.iter().map(u32::to_string).collect();
        record.detail.insert("factor".to_owned(), ids.join(" "));
        if let Some(cause) = self.cause {
            record.detail.insert("for".to_owned(), cause.to_owned());
        }
        record
    }

    fn result<T>(&self, peer: &Peer, failures: u32, outcome: &Result<(u32, T), Failure>) -> Record {
        let (outcome, right) = match outcome {
            Ok((right, _)) => (None, Some(*right)),
            Err(Failure { fault, verdict: Verdict::Right(right) }) => (Some(fault), Some(*right)),
            Err(Failure { fault, .. }) => (Some(fault), None),
        };
        let mut record = match outcome {
            None => self.record(peer, Outcome::Done),
            Some(fault) => {
                let mut record = self.record(peer, Outcome::Failed);
                record.detail.insert("reason".to_owned(), format!("{:?}", fault.kind));
                if fault.kind == FaultKind::WrongFactor {
                    let failures = failures.saturating_add(1).to_string();
                    record.detail.insert("failures".to_owned(), failures);
                }
                record
            }
        };
        if let Some(right) = right {
            record.detail.insert("factor".to_owned(), right.to_string());
        }
        record
    }
}

/// Tries these factors with one answer; the piece of the first that accepts it.
pub fn try_factors(
    service: &SecretsService,
    metadata: &Metadata,
    factors: &[u32],
    evidence: &[u8],
) -> Result<(u32, Option<Secret<32>>), Failure> {
    let mut kind = "factor";
    for id in factors {
        let Some(factor) = metadata.enrolment().factor(*id) else {
            return Err(Failure::not_tried(no_factor(*id)));
        };
        kind = factor.parameters.kind().as_str();
        let derivation = metadata.enrolment().derivation();
        let mut memory = service.working_memory();
        let secret = FactorSecret::new(&factor.parameters, derivation, evidence, &mut memory)
            .map_err(|error| Failure::not_tried(faults::from_kdf(&error)))?;
        match metadata.piece(*id, &secret) {
            Ok(piece) => return Ok((*id, piece)),
            Err(FactorError::Wrong) => {}
            Err(error @ (FactorError::Edited | FactorError::NoFactor(_))) => {
                let fault =
                    Fault::new(FaultKind::Tampered, format!("{error}. Nothing was unlocked"));
                return Err(Failure { fault, verdict: Verdict::Right(*id) });
            }
            Err(FactorError::Kdf(error)) => {
                return Err(Failure::not_tried(faults::from_kdf(&error)));
            }
        }
    }
    let fault = Fault::new(FaultKind::WrongFactor, format!("wrong {kind}; it was recorded"));
    Err(Failure { fault, verdict: Verdict::Wrong })
}

pub fn no_factor(id: u32) -> Fault {
    let text = format!("there is no factor {id}; `sesame factor list` shows all");
    Fault::new(FaultKind::NotFound, text)
}

fn too_soon(failures: u32, wait: Duration) -> Fault {
    let seconds = whole_seconds(wait);
    let text = format!(
        "{failures} wrong tries: the next one counts in {seconds} s; this one was not made"
    );
    let mut fault = Fault::new(FaultKind::RateLimited, text);
    fault.retry_after_seconds = Some(seconds);
    fault
}

fn with_standing(mut fault: Fault, failures: u32, wait: Duration) -> Fault {
    let seconds = whole_seconds(wait);
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
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
