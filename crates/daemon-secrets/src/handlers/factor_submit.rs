//! A factor towards an unlock or a change. When it suffices for an unlock, that happens.

use audit_log::Operation;
use ipc::clearance::{self, permits};
use ipc::factors::{Cause, Source};
use ipc::secrets::SecretsReply;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::parameters::ShareParameters;
use key_hierarchy::share::{Part, Share, ShareError};
use key_hierarchy::{Metadata, Parameters};

use crate::attempt::{Attempt, Failure, Verdict, no_factor, try_factors};
use crate::collection::{self, Collection, Given};
use crate::faults;
use crate::opening;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

/// A change's text holds two labels at most, escaped.
const MAX_CHANGE_BYTES: usize = 1024;

/// What was given, and what for.
pub struct Submission<'a> {
    pub source: Source<'a>,
    pub cause: Cause<'a>,
    pub factors: Vec<u32>,
    pub evidence: &'a [u8],
    pub passphrase: Option<&'a [u8]>,
}

pub fn handle<'a>(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    submission: &Submission<'_>,
) -> Result<SecretsReply<'a>, Fault> {
    let Submission { source, cause, ref factors, .. } = *submission;
    let target = Target::new(service, source)?;
    let locks = service.locks();
    let metadata = target.metadata(service)?;
    check_factors(&metadata, factors)?;
    check_cause(source, cause)?;
    {
        let collections = service.collections.lock();
        collection::check_cause(&collections, &target.key(), cause)?;
        let there = collections
            .get(&target.key())
            .filter(|there| !there.is_overdue() && there.metadata == metadata);
        let given = there.filter(|there| factors.iter().all(|id| there.has(*id)));
        if let Some(progress) = given.map(Collection::progress)
            && (cause != Cause::Unlock || !progress.missing.is_empty())
        {
            return Ok(SecretsReply::Progress(progress));
        }
    }
    let attempt = Attempt {
        operation: Operation::FactorTry,
        profile: &target.profile,
        cause: Some(match cause {
            Cause::Unlock => "unlock",
            Cause::Change(text) => text,
        }),
        factors,
        file: target.attempts(service),
    };
    let (factor, given) =
        attempt.run(service, trail, peer, || try_one(service, &target, &metadata, submission))?;

    let complete = {
        let mut collections = service.collections.lock();
        // A lock clears the collections after it was counted, so that none outlives it.
        service.still_unlocked(locks)?;
        let deadline = service.settings.unlock.deadline;
        let key = target.key();
        let owner = permits(peer.role, clearance::Operation::FactorBegin).then_some(peer);
        let collection =
            collection::begin(&mut collections, &key, cause, owner, &metadata, deadline)?;
        collection.take(factor, given);
        let progress = collection.progress();
        if cause != Cause::Unlock || !progress.missing.is_empty() {
            return Ok(SecretsReply::Progress(progress));
        }
        collections.remove(&key)
    };
    let Some(collection) = complete else { return Ok(SecretsReply::Done) };
    let progress = collection.progress();
    let Target { installation, profile, .. } = &target;
    let unlocked = opening::unlock(service, trail, peer, installation, profile, &collection, locks);
    if unlocked.as_ref().is_err_and(|fault| may_pass(fault.kind)) {
        // Nobody has to give anything again for that.
        let mut collections = service.collections.lock();
        if service.still_unlocked(locks).is_ok() {
            collections.entry(target.key()).or_insert(collection);
        }
    }
    unlocked.map(|()| SecretsReply::Progress(progress))
}

/// Whether the same may do better a moment later.
const fn may_pass(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Busy | FaultKind::Storage | FaultKind::AuditUnavailable)
}

/// What others read before they give their factor is one short line.
pub fn check_cause(source: Source<'_>, cause: Cause<'_>) -> Result<(), Fault> {
    let problem = match (source, cause) {
        (Source::Restore(_), Cause::Unlock) => "a backup is restored, not unlocked",
        (_, Cause::Change(text))
            if text.len() > MAX_CHANGE_BYTES || text.contains(char::is_control) =>
        {
            "that is no change that can be authorised"
        }
        _ => return Ok(()),
    };
    Err(Fault::new(FaultKind::InvalidInput, format!("{problem}; nothing was tried")))
}

/// One factor, or several passwords of which it may be any.
pub fn check_factors(metadata: &Metadata, factors: &[u32]) -> Result<(), Fault> {
    let mut wrong = factors.is_empty();
    for (next, id) in (1..).zip(factors) {
        let factor = metadata.enrolment().factor(*id).ok_or_else(|| no_factor(*id))?;
        let is_password = matches!(factor.parameters, Parameters::Password(_));
        // Each costs a stretch of the password, so none is named twice.
        wrong |= (factors.len() > 1 && !is_password) || factors[next..].contains(id);
    }
    if !wrong {
        return Ok(());
    }
    let text = "one factor is tried at a time, or several passwords; nothing was tried";
    Err(Fault::new(FaultKind::InvalidInput, text))
}

fn try_one(
    service: &SecretsService,
    target: &Target,
    metadata: &Metadata,
    submission: &Submission<'_>,
) -> Result<(u32, Given), Failure> {
    let Submission { factors, evidence, passphrase, .. } = submission;
    let enrolment = metadata.enrolment();
    let share = factors.first().and_then(|id| match &enrolment.factor(*id)?.parameters {
        Parameters::Share(parameters) => Some((*id, parameters)),
        _ => None,
    });
    let Some((id, parameters)) = share else {
        let (id, piece) = try_factors(service, metadata, factors, evidence)?;
        return Ok((id, Given::Piece(piece)));
    };
    let (number, part) = open_share(service, metadata, parameters, evidence, *passphrase)?;
    let recovered = {
        let collections = service.collections.lock();
        let there = collections.get(&target.key()).filter(|there| there.metadata == *metadata);
        let others = there.into_iter().flat_map(|there| there.parts(id));
        let mut parts: Vec<(u8, &Part)> = others.filter(|(other, _)| *other != number).collect();
        parts.truncate(usize::from(parameters.threshold).saturating_sub(1));
        parts.push((number, &part));
        parameters.combine(&parts)
    };
    let Some(recovered) = recovered else { return Ok((id, Given::Part(number, part))) };
    let (id, piece) = try_factors(service, metadata, &[id], recovered.expose())?;
    Ok((id, Given::Piece(piece)))
}

/// A share's number and its part, checked by itself.
pub fn open_share(
    service: &SecretsService,
    metadata: &Metadata,
    parameters: &ShareParameters,
    share: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<(u8, Part), Failure> {
    let failure = |error: ShareError| {
        let wrong = matches!(error, ShareError::WrongPassphrase { .. });
        let verdict = if wrong { Verdict::Wrong } else { Verdict::NotTried };
        Failure { fault: faults::from_share(&error), verdict }
    };
    let share = Share::parse(share).map_err(failure)?;
    let derivation = metadata.enrolment().derivation();
    let mut memory = service.working_memory();
    let part = parameters.accept(derivation, &share, passphrase, &mut memory).map_err(failure)?;
    Ok((share.header.number, part))
}
