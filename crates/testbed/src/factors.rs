//! Requests about factors as one-liners, and hosts whose profile has several.

use ipc::Client;
use ipc::factors::{Cause, Change, Enrolled, NewFactor, Progress, Source};
use ipc::secrets::{BindTo, SecretsReply, SecretsRequest};
use serde_bytes::Bytes;
use site_config::{AuthMode, Daemon, FactorKind, FactorKinds, UnlockPolicy};

use crate::ask::{Refused, ask, done};
use crate::host::{Host, HostBuilder};

/// No factor waits after wrong tries: what is tried is often not the password.
pub const PATIENT: &str = "[unlock]\nfree_attempts = 10\nbackoff_max_seconds = 1\n";

/// The policy of the two simple modes.
///
/// # Panics
/// For [`AuthMode::Policy`], which asks for something.
#[must_use]
pub fn mode(mode: AuthMode) -> UnlockPolicy {
    UnlockPolicy::new(mode, FactorKinds::EMPTY, 0).expect("any or all")
}

/// The policy of [`AuthMode::Policy`]: kinds such as `password,share`, and so many others.
///
/// # Panics
/// When there is no such policy.
#[must_use]
pub fn policy(required: &str, additional_required: u8) -> UnlockPolicy {
    let required = required.parse().expect("kinds of factors");
    UnlockPolicy::new(AuthMode::Policy, required, additional_required).expect("a policy")
}

/// A policy as config.toml says it.
#[must_use]
pub fn auth(policy: &UnlockPolicy) -> String {
    let UnlockPolicy { mode, required, additional_required } = policy;
    let required: Vec<String> = required.iter().map(|kind| format!("\"{kind}\"")).collect();
    let required = required.join(", ");
    format!(
        "[auth]\nmode = \"{mode}\"\n[auth.policy]\nrequired = [{required}]\n\
         additional_required = {additional_required}\n"
    )
}

/// A password to be enrolled.
#[must_use]
pub fn password<'a>(label: &'a str, password: &'a str) -> NewFactor<'a> {
    let kind = FactorKind::Password;
    NewFactor { label, kind, parameters: "", machine: false, evidence: password.as_bytes() }
}

/// Gives a factor of the default profile.
///
/// # Errors
/// [`Refused`].
pub fn submit(
    client: &mut Client,
    cause: Cause<'_>,
    factor: u32,
    evidence: impl AsRef<[u8]>,
) -> Result<Progress, Refused> {
    submit_to(client, Source::Profile(None), cause, factor, evidence)
}

/// Gives a factor of any profile or backup.
///
/// # Errors
/// [`Refused`].
pub fn submit_to(
    client: &mut Client,
    source: Source<'_>,
    cause: Cause<'_>,
    factor: u32,
    evidence: impl AsRef<[u8]>,
) -> Result<Progress, Refused> {
    let (factors, evidence) = (vec![factor], evidence.as_ref());
    let request =
        SecretsRequest::FactorSubmit { source, cause, factors, evidence, passphrase: None };
    ask(client, &request, progress)
}

/// What a `FactorSubmit` is answered with.
#[must_use]
pub fn progress(reply: SecretsReply<'_>) -> Option<Progress> {
    match reply {
        SecretsReply::Progress(progress) => Some(progress),
        _ => None,
    }
}

/// Unlocks the default profile with these factors.
///
/// # Errors
/// [`Refused`], and nothing more is tried.
pub fn unlock_with(client: &mut Client, given: &[(u32, &str)]) -> Result<(), Refused> {
    give(client, Source::Profile(None), Cause::Unlock, given)
}

/// Gives these factors of the default profile for one change.
///
/// # Errors
/// [`Refused`], and nothing more is tried.
pub fn authorise(
    client: &mut Client,
    change: &Change<'_>,
    given: &[(u32, &str)],
) -> Result<(), Refused> {
    give(client, Source::Profile(None), Cause::Change(&change.to_string()), given)
}

/// Gives several factors, which are to suffice.
///
/// # Errors
/// [`Refused`], and nothing more is tried.
///
/// # Panics
/// When they don't suffice.
pub fn give(
    client: &mut Client,
    source: Source<'_>,
    cause: Cause<'_>,
    given: &[(u32, &str)],
) -> Result<(), Refused> {
    let mut missing = Vec::new();
    for (factor, evidence) in given {
        missing = submit_to(client, source, cause, *factor, evidence)?.missing;
    }
    assert_eq!(missing, [], "{given:?} are too few");
    Ok(())
}

/// The factors of the default profile.
///
/// # Errors
/// [`Refused`].
pub fn list(client: &mut Client) -> Result<Enrolled, Refused> {
    list_of(client, Source::Profile(None))
}

/// The factors of any profile or backup.
///
/// # Errors
/// [`Refused`].
pub fn list_of(client: &mut Client, source: Source<'_>) -> Result<Enrolled, Refused> {
    ask(client, &SecretsRequest::FactorList { source }, |reply| match reply {
        SecretsReply::Enrolled(enrolled) => Some(enrolled),
        _ => None,
    })
}

/// Carries a change of the default profile out that was authorised. A split's shares are lost;
/// [`split`] returns them.
///
/// # Errors
/// [`Refused`].
///
/// # Panics
/// For an enrolment, which needs its factor: [`enroll`].
pub fn change(client: &mut Client, change: &Change<'_>) -> Result<(), Refused> {
    let profile = None;
    let request = match *change {
        Change::Enroll { .. } => panic!("an enrolment needs its factor"),
        Change::Revoke { factor } => SecretsRequest::FactorRevoke { profile, factor },
        Change::Rename { factor, label } => SecretsRequest::FactorRename { profile, factor, label },
        Change::Policy(policy) => SecretsRequest::FactorPolicy { profile, policy },
        Change::Split { label, threshold, shares } => {
            return split(client, label, threshold, shares).map(drop);
        }
        Change::RotateKey => SecretsRequest::KeyRotate { profile },
        Change::Restore { profile, .. } => SecretsRequest::VaultRestore { profile },
    };
    done(client, &request)
}

/// Authorises a change of the default profile and carries it out.
///
/// # Errors
/// [`Refused`].
pub fn authorised(
    client: &mut Client,
    the_change: &Change<'_>,
    given: &[(u32, &str)],
) -> Result<(), Refused> {
    authorise(client, the_change, given)?;
    change(client, the_change)
}

/// Enrols a factor that was authorised; returns its id.
///
/// # Errors
/// [`Refused`].
pub fn enroll(client: &mut Client, factor: NewFactor<'_>) -> Result<u32, Refused> {
    let request = SecretsRequest::FactorEnroll { profile: None, factor };
    ask(client, &request, |reply| match reply {
        SecretsReply::Factor(id) => Some(id),
        _ => None,
    })
}

/// The enrolment of a password.
#[must_use]
pub const fn enrolment(label: &str) -> Change<'_> {
    Change::Enroll { kind: FactorKind::Password, label, machine: false }
}

/// Authorises a password's enrolment with these factors, and enrols it.
///
/// # Errors
/// [`Refused`].
pub fn enroll_password(
    client: &mut Client,
    label: &str,
    text: &str,
    given: &[(u32, &str)],
) -> Result<u32, Refused> {
    authorise(client, &enrolment(label), given)?;
    enroll(client, password(label, text))
}

/// Splits a recovery factor that was authorised; the shares have no passphrase.
///
/// # Errors
/// [`Refused`].
pub fn split(
    client: &mut Client,
    label: &str,
    threshold: u8,
    shares: u8,
) -> Result<Vec<Vec<u8>>, Refused> {
    split_locked(client, label, threshold, shares, &[])
}

/// As [`split`], with a passphrase for each share.
///
/// # Errors
/// [`Refused`].
pub fn split_locked(
    client: &mut Client,
    label: &str,
    threshold: u8,
    shares: u8,
    passphrases: &[&str],
) -> Result<Vec<Vec<u8>>, Refused> {
    let passphrases = passphrases.iter().map(|text| Bytes::new(text.as_bytes())).collect();
    let request =
        SecretsRequest::ShareSplit { profile: None, label, threshold, shares, passphrases };
    ask(client, &request, |reply| match reply {
        SecretsReply::Shares(shares) => Some(shares.iter().map(|share| share.to_vec()).collect()),
        _ => None,
    })
}

/// Authorises a split with these factors, and makes it.
///
/// # Errors
/// [`Refused`].
pub fn authorised_split(
    client: &mut Client,
    label: &str,
    (threshold, shares): (u8, u8),
    given: &[(u32, &str)],
) -> Result<Vec<Vec<u8>>, Refused> {
    authorise(client, &Change::Split { label, threshold, shares }, given)?;
    split(client, label, threshold, shares)
}

/// Proves a share: its factor and number.
///
/// # Errors
/// [`Refused`].
pub fn verify_share(
    client: &mut Client,
    share: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<(u32, u8), Refused> {
    let request = SecretsRequest::ShareVerify { profile: None, share, passphrase };
    ask(client, &request, |reply| match reply {
        SecretsReply::Share { factor, number, .. } => Some((factor, number)),
        _ => None,
    })
}

/// Proves a factor.
///
/// # Errors
/// [`Refused`].
pub fn test(client: &mut Client, factor: u32, evidence: &str) -> Result<u32, Refused> {
    let (factors, evidence) = (vec![factor], evidence.as_bytes());
    let request = SecretsRequest::FactorTest { profile: None, factors, evidence };
    ask(client, &request, |reply| match reply {
        SecretsReply::Factor(id) => Some(id),
        _ => None,
    })
}

/// Locks everything.
///
/// # Errors
/// [`Refused`].
pub fn lock(client: &mut Client) -> Result<(), Refused> {
    done(client, &SecretsRequest::Lock { profile: None })
}

/// The bytes of a backup of a profile.
///
/// # Errors
/// [`Refused`].
pub fn backup(client: &mut Client, profile: Option<&str>) -> Result<Vec<u8>, Refused> {
    let mut whole = Vec::new();
    loop {
        let request = SecretsRequest::VaultBackup { profile, offset: whole.len() as u64 };
        let (total, bytes) = ask(client, &request, |reply| match reply {
            SecretsReply::Piece { total, bytes } => Some((total, bytes.to_vec())),
            _ => None,
        })?;
        if bytes.is_empty() {
            assert_eq!(total, whole.len() as u64, "all of it came");
            return Ok(whole);
        }
        whole.extend_from_slice(&bytes);
    }
}

/// Hands a backup over that is to become a profile.
///
/// # Errors
/// [`Refused`].
pub fn stage(client: &mut Client, profile: &str, backup: &[u8]) -> Result<(), Refused> {
    const PIECE: usize = 60_000;
    for (number, bytes) in backup.chunks(PIECE).enumerate() {
        let offset = (number * PIECE) as u64;
        done(client, &SecretsRequest::VaultRestoreWrite { profile, offset, bytes })?;
    }
    Ok(())
}

/// The text of the change that makes a profile of the backup that was handed over.
///
/// # Errors
/// [`Refused`].
///
/// # Panics
/// When it is no backup.
pub fn restoration(client: &mut Client, profile: &str) -> Result<String, Refused> {
    let backup = list_of(client, Source::Restore(profile))?.backup.expect("a backup's digest");
    Ok(Change::Restore { profile, backup }.to_string())
}

/// Hands a backup over, gives the factors that it was made with, and restores it.
///
/// # Errors
/// [`Refused`].
pub fn restore(
    client: &mut Client,
    profile: &str,
    backup: &[u8],
    given: &[(u32, &str)],
) -> Result<(), Refused> {
    stage(client, profile, backup)?;
    let text = restoration(client, profile)?;
    give(client, Source::Restore(profile), Cause::Change(&text), given)?;
    done(client, &SecretsRequest::VaultRestore { profile })
}

/// A new installation whose first profile, `default`, has these factors.
///
/// # Errors
/// [`Refused`].
pub fn init(client: &mut Client, factors: Vec<NewFactor<'_>>) -> Result<(), Refused> {
    let request =
        SecretsRequest::Init { org: None, binding: BindTo::Nothing, profile: "default", factors };
    let is_it = |reply: SecretsReply<'_>| matches!(reply, SecretsReply::Initialised { .. });
    ask(client, &request, |reply| is_it(reply).then_some(()))
}

impl HostBuilder {
    /// A running host whose profile `default` has these passwords, by label. The first has id 1.
    ///
    /// # Panics
    /// When it can't be had.
    #[must_use]
    #[track_caller]
    pub fn with_passwords(self, passwords: &[(&str, &str)]) -> Host {
        let mut host = self.provision();
        host.start();
        let factors = passwords.iter().map(|(label, text)| password(label, text)).collect();
        init(&mut host.client(), factors).expect("an installation");
        host
    }
}

impl Host {
    /// A connection of the tester to daemon-secrets.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> Client {
        self.connect(Daemon::Secrets).expect("a connection")
    }
}
