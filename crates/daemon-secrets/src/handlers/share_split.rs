//! A recovery factor, split among custodians.

use audit_log::Operation;
use ipc::factors::Change;
use ipc::{Fault, FaultKind, Peer};
use key_hierarchy::share::{Lock, Split, SplitError};
use key_hierarchy::{FactorSecret, Parameters};
use secret_memory::SecretBytes;
use serde_bytes::Bytes;
use site_config::Kdf;

use crate::changes::{authorised, carry_out, record_change, reseal};
use crate::faults;
use crate::handlers::enrol;
use crate::handlers::factor_enroll::is_demanded;
use crate::service::SecretsService;
use crate::target::Target;
use ipc::trail::Trail;

/// What is asked for.
pub struct Wanted<'a> {
    pub label: &'a str,
    pub threshold: u8,
    pub shares: u8,
    pub passphrases: Vec<&'a Bytes>,
}

/// Returns the shares, in order.
pub fn handle(
    service: &SecretsService,
    trail: &mut Trail,
    peer: &Peer,
    profile: Option<&str>,
    wanted: &Wanted<'_>,
) -> Result<Vec<SecretBytes>, Fault> {
    let Wanted { label, threshold, shares, ref passphrases } = *wanted;
    let _changing = service.changing();
    let target = Target::profile(service, profile)?;
    let invalid = |text: String| Fault::new(FaultKind::InvalidInput, text);
    if threshold < 2 {
        let text = "a recovery of which one share suffices is no recovery: at least 2 are needed";
        return Err(invalid(text.to_owned()));
    }
    let minimum = service.settings.unlock.minimum_password_length;
    if passphrases.iter().any(|passphrase| (1..minimum).contains(&passphrase.len())) {
        let text = format!("a passphrase has at least {minimum} bytes; nothing was split");
        return Err(invalid(text));
    }
    if !passphrases.is_empty() && passphrases.len() != usize::from(shares) {
        let text =
            format!("{} passphrases for {shares} shares; nothing was split", passphrases.len());
        return Err(invalid(text));
    }
    let floor = enrol::check_floor(service, trail, peer)?;
    let kdf = |error| faults::from_kdf(&error);
    let seen = target.metadata(service)?;
    let mut enrolment = seen.enrolment().clone();
    let derivation = enrolment.derivation();
    let split = Split::new(&target.installation.id, derivation, threshold, shares);
    let split = split.map_err(|error| match error {
        SplitError::Threshold(error) => invalid(format!("{error}; nothing was split")),
        SplitError::Kdf(error) => kdf(error),
    })?;
    let lock = match service.settings.crypto.kdf {
        Kdf::Argon2id => Lock::Argon2id,
        Kdf::Pbkdf2Sha256 => Lock::Pbkdf2Sha256,
    };
    let mut written = Vec::new();
    for (number, part) in (1..).zip(&split.parts) {
        let passphrase = passphrases.get(usize::from(number) - 1).map_or(&[][..], |bytes| bytes);
        let lock = if passphrase.is_empty() { Lock::None } else { lock };
        let header = split.parameters.header(number, lock);
        let mut memory = service.working_memory();
        written.push(part.write(header, passphrase, &mut memory).map_err(kdf)?);
    }
    let parameters = Parameters::Share(split.parameters);
    let mut memory = service.working_memory();
    let secret = FactorSecret::new(&parameters, derivation, split.recovery.expose(), &mut memory);
    drop(memory);
    let id = enrolment
        .add(enrol::label(label)?, false, parameters, &secret.map_err(kdf)?)
        .map_err(|error| faults::from_enrolment(&error))?;
    if is_demanded(&enrolment, id)? {
        let text = format!(
            "with this policy ({}) the new shares would be demanded at once, before anybody holds \
             them; nothing was split. Split under a policy that does without them, verify each share, \
             and then change the policy",
            enrolment.policy
        );
        return Err(invalid(text));
    }
    let old =
        authorised(service, peer, &target, &seen, &Change::Split { label, threshold, shares })?;

    let mut record = record_change(Operation::ShareSplit, peer, &old);
    record.subject = Some(label.to_owned());
    record.detail.insert("factor".to_owned(), id.to_string());
    record.detail.insert("threshold".to_owned(), threshold.to_string());
    record.detail.insert("shares".to_owned(), shares.to_string());
    carry_out(service, trail, &target, record, |trail| {
        floor.note(trail, peer, &target.profile)?;
        reseal(service, &target, enrolment, &old)
    })?;
    Ok(written)
}
