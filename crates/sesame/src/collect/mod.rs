//! Collecting factors, for an unlock or for one change: the one place where devices and people are
//! asked, whatever the command.
//!
//! What was given stays with the daemon for a while, so that several people on several terminals can
//! contribute. A command gives what it has been given on standard input; then what needs no person;
//! then it asks. Every request has a connection of its own, because a person takes longer to answer
//! than the daemon keeps an idle one.

pub mod devices;
pub mod evidence;
mod needed;
pub mod new_factor;

use ipc::factors::{Cause, Change, Enrolled, EnrolledFactor, Source};
use ipc::secrets::{SecretsReply, SecretsRequest};
use secret_memory::SecretBytes;
use site_config::FactorKind;

use crate::cli::Devices;
use crate::connect::Context;
use crate::exit::{Code, Failure};
use crate::password::Passwords;
use crate::prompt;
use crate::render;
use evidence::Evidence;

pub use needed::{Needed, find, free_label};

/// How often a person may be wrong at one prompt.
const TRIES: u8 = 3;

/// A collection that this command takes part in.
pub struct Collection<'a> {
    context: &'a Context,
    source: Source<'a>,
    cause: Cause<'a>,
    devices: &'a Devices,
    /// What is needed, and stands already.
    pub needed: Needed,
    /// Whether this command gave something that was right.
    pub gave: bool,
}

impl<'a> Collection<'a> {
    /// Finds out what is needed, and what was given before.
    pub fn open(
        context: &'a Context,
        source: Source<'a>,
        cause: Cause<'a>,
        devices: &'a Devices,
    ) -> Result<Self, Failure> {
        let needed = Needed::new(context.secrets()?.enrolled(source)?, cause)?;
        Ok(Self { context, source, cause, devices, needed, gave: false })
    }

    /// Leaves out all but the factors that were named; `passwords` must be able to give them.
    pub fn choose(&mut self, named: &[String], passwords: &Passwords) -> Result<(), Failure> {
        self.needed.choose(named)?;
        if !named.is_empty() && passwords.are_elsewhere() {
            for factor in self.needed.wanted() {
                refuse_if_asked_for(factor)?;
            }
        }
        Ok(())
    }

    /// Gives what there is to give, until it suffices.
    pub fn give(&mut self, passwords: &mut Passwords) -> Result<(), Failure> {
        let given = if passwords.are_elsewhere() {
            self.read_passwords(passwords).and_then(|()| self.give_silent())
        } else {
            self.give_silent().and_then(|()| self.ask())
        };
        given.map_err(|failure| {
            if failure.code == Code::CANCELLED && self.gave {
                let left = render::duration(self.needed.progress.seconds_left);
                let text = format!("cancelled; what was given before is kept for {left}");
                return Failure::new(Code::CANCELLED, text);
            }
            failure
        })
    }

    /// One password after the other, until none is needed or none is left.
    fn read_passwords(&mut self, passwords: &mut Passwords) -> Result<(), Failure> {
        loop {
            let needed = self.needed.passwords();
            if needed.is_empty() {
                return Ok(());
            }
            let Some(password) = passwords.next_line()? else { return Ok(()) };
            self.submit(&self.needed.with_given_passwords(&needed), &password.into())?;
        }
    }

    /// What needs no person. That it fails is no reason not to ask for the others.
    fn give_silent(&mut self) -> Result<(), Failure> {
        let candidates: Vec<EnrolledFactor> = self.needed.wanted().cloned().collect();
        for factor in candidates {
            if !self.needed.wanted().any(|wanted| wanted.id == factor.id) {
                continue;
            }
            match evidence::silent(&factor, self.devices) {
                None => {}
                Some(Err(failure)) => self.needed.give_up(&factor, failure)?,
                Some(Ok(evidence)) => match self.submit(&[factor.id], &evidence) {
                    Err(failure) if is_wrong(&failure) => self.needed.give_up(&factor, failure)?,
                    given => given?,
                },
            }
        }
        Ok(())
    }

    /// Asks for what a person has to give: passwords first, for which nothing has to be at hand.
    fn ask(&mut self) -> Result<(), Failure> {
        loop {
            let passwords = self.needed.passwords();
            if !passwords.is_empty() {
                self.ask_passwords(passwords)?;
            } else if let Some(factor) = self.needed.next_device() {
                self.ask_device(&factor)?;
            } else {
                return Ok(());
            }
        }
    }

    /// One prompt for all of them: the daemon finds out whose it is.
    fn ask_passwords(&mut self, ids: Vec<u32>) -> Result<(), Failure> {
        // With nothing given and no terminal, the prompt is where the command ends.
        if self.gave && !prompt::is_there() {
            self.needed.pass_over(ids);
            return Ok(());
        }
        let text = self.needed.password_prompt(&ids, self.source);
        let asked = |_: &Devices| Ok(evidence::skippable(&text)?.map(Evidence::from));
        match self.try_out(&self.needed.with_given_passwords(&ids), asked)? {
            Answer::Given
                if ids.iter().all(|id| self.needed.is_missing(*id))
                    && !self.needed.is_complete() =>
            {
                prompt::note("That password was given before.\n");
            }
            Answer::Given => {}
            Answer::Skipped | Answer::Unusable(_) => self.needed.pass_over(ids),
        }
        Ok(())
    }

    fn ask_device(&mut self, factor: &EnrolledFactor) -> Result<(), Failure> {
        if evidence::is_typed(factor)? && !prompt::is_there() {
            self.needed.pass_over([factor.id]);
            return Ok(());
        }
        let shares = self.needed.shares_of(factor.id).to_vec();
        let asked = |devices: &Devices| evidence::ask(factor, devices, shares.len());
        match self.try_out(&[factor.id], asked)? {
            Answer::Given if !self.needed.is_missing(factor.id) => {}
            Answer::Given if self.needed.shares_of(factor.id) != shares => {}
            Answer::Given => prompt::note("That share was given before.\n"),
            Answer::Skipped => {
                self.needed.pass_over([factor.id]);
            }
            Answer::Unusable(failure) => {
                prompt::note(&format!("sesame: {}\n", failure.message));
                self.needed.give_up(factor, failure)?;
            }
        }
        Ok(())
    }

    /// Asks and gives, again when what was given is wrong.
    fn try_out(
        &mut self,
        ids: &[u32],
        mut ask: impl FnMut(&Devices) -> Result<Option<Evidence>, Failure>,
    ) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            let given = match ask(self.devices) {
                Ok(Some(evidence)) => self.submit(ids, &evidence),
                Ok(None) => return Ok(Answer::Skipped),
                Err(failure) => match failure.code {
                    Code::WRONG_FACTOR => Err(failure),
                    Code::CANCELLED | Code::USAGE => return Err(failure),
                    _ => return Ok(Answer::Unusable(failure)),
                },
            };
            tries += 1;
            match given {
                Ok(()) => return Ok(Answer::Given),
                Err(failure) if is_wrong(&failure) && tries < TRIES && prompt::is_there() => {
                    prompt::note(&format!("sesame: {}\n", failure.message));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn submit(&mut self, factors: &[u32], evidence: &Evidence) -> Result<(), Failure> {
        let request = SecretsRequest::FactorSubmit {
            source: self.source,
            cause: self.cause,
            factors: factors.to_vec(),
            evidence: evidence.bytes.expose(),
            passphrase: evidence.passphrase.as_ref().map(SecretBytes::expose),
        };
        self.needed.progress = self.context.secrets()?.call(&request, |reply| match reply {
            SecretsReply::Progress(progress) => Some(progress),
            _ => None,
        })?;
        self.gave = true;
        Ok(())
    }
}

/// Where passwords come from elsewhere nobody is asked: a factor that takes a person would be passed
/// over, and what stands in its place on standard input would not be read.
fn refuse_if_asked_for(factor: &EnrolledFactor) -> Result<(), Failure> {
    if factor.kind == FactorKind::Password || !evidence::takes_a_person(factor)? {
        return Ok(());
    }
    let how = match factor.kind {
        FactorKind::Share => {
            "a share is typed when it is asked for (`share verify --share-stdin` only checks one)"
        }
        _ => "it is asked for at a terminal",
    };
    let text = format!(
        "{} is no password, and nothing else is read from standard input or a credential; nothing was \
         given. Leave --password-stdin or --password-credential out: {how}",
        render::factor(factor)
    );
    Err(Failure::new(Code::USAGE, text))
}

/// What became of a factor that was asked for.
enum Answer {
    /// The daemon took it.
    Given,
    /// The person pressed Enter alone.
    Skipped,
    /// The device is not here, or refuses.
    Unusable(Failure),
}

/// Collects factors for a change until they suffice; the change itself uses them up.
///
/// # Errors
/// [`Code::INCOMPLETE`] when others have to give theirs; what was given is kept.
pub fn authorise(
    context: &Context,
    source: Source<'_>,
    change: Change<'_>,
    devices: &Devices,
    passwords: &mut Passwords,
) -> Result<Enrolled, Failure> {
    let text = change.to_string();
    // So that others see it and can give theirs, even if this person has none.
    let begin = SecretsRequest::FactorBegin { source, change: &text };
    context
        .secrets()?
        .call(&begin, |reply| matches!(reply, SecretsReply::Progress(_)).then_some(()))?;
    let mut collection = Collection::open(context, source, Cause::Change(&text), devices)?;
    if !collection.needed.is_complete() {
        collection.give(passwords)?;
    }
    if collection.needed.is_complete() {
        return Ok(collection.needed.enrolled);
    }
    let which = match source {
        Source::Profile(None) => String::new(),
        Source::Profile(Some(name)) => format!(" --profile {name}"),
        Source::Restore(name) => format!(" --restore {name}"),
    };
    let next = format!(
        "others give theirs with `sesame factor approve{which}`, and then this command is run again"
    );
    Err(collection.needed.incomplete(&next))
}

/// Whether a person may do better at the next try.
fn is_wrong(failure: &Failure) -> bool {
    [Code::WRONG_FACTOR, Code::RATE_LIMITED, Code::INVALID].contains(&failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::enrolled;

    #[test]
    fn a_share_is_not_looked_for_among_passwords() {
        let [password, share] = [0, 3].map(|index| enrolled().factors.swap_remove(index));
        assert!(refuse_if_asked_for(&password).is_ok());
        let refused = refuse_if_asked_for(&share).unwrap_err();
        assert_eq!(refused.code, Code::USAGE);
        for said in ["share \"board\" is no password", "Leave --password-stdin", "--share-stdin"] {
            assert!(refused.message.contains(said), "{}", refused.message);
        }
    }
}
