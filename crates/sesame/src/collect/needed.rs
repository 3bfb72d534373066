//! What a command still has to give: needed, named if any were named, and not passed over.

use std::collections::BTreeSet;

use audit_log::printable;
use ipc::factors::{Cause, Enrolled, EnrolledFactor, Progress, Source};
use key_hierarchy::Label;
use serde_json::json;
use site_config::FactorKind;

use crate::exit::{Code, Failure};
use crate::render;

/// The factors of a profile or backup, what was given of them, and what this command leaves out.
pub struct Needed {
    pub enrolled: Enrolled,
    /// As the daemon said last.
    pub progress: Progress,
    /// The only factors that are to be given, if some were named.
    chosen: Option<BTreeSet<u32>>,
    /// Factors that are not asked for again.
    passed_over: BTreeSet<u32>,
    /// Why some of them gave nothing.
    notes: Vec<(u32, String)>,
}

impl Needed {
    /// What is needed for `cause`, beside what was given for it before.
    pub fn new(enrolled: Enrolled, cause: Cause<'_>) -> Result<Self, Failure> {
        let progress = match &enrolled.pending {
            None => Progress { missing: enrolled.needs.clone(), ..Progress::default() },
            Some(pending) if is_for(pending.change.as_deref(), cause) => pending.progress.clone(),
            Some(pending) => {
                let what = pending.change.as_deref();
                let what = what.map_or("unlock".to_owned(), |text| render::change(&enrolled, text));
                let text = format!(
                    "factors are being given for something else ({what}); none was asked for. Wait \
                     {}, or end that with `sesame factor cancel`",
                    render::duration(pending.progress.seconds_left)
                );
                return Err(Failure::new(Code::BUSY, text));
            }
        };
        let (chosen, passed_over, notes) = Default::default();
        Ok(Self { enrolled, progress, chosen, passed_over, notes })
    }

    /// Leaves out all but these factors, by number or label; none when none is named.
    pub fn choose(&mut self, named: &[String]) -> Result<(), Failure> {
        if named.is_empty() {
            return Ok(());
        }
        let mut chosen = BTreeSet::new();
        for text in named {
            let factor = find(&self.enrolled, text)?;
            if !self.is_missing(factor.id) {
                let text = format!(
                    "{} is not needed: it was given already, or the policy has no use for it; \
                     nothing was given",
                    render::factor(factor)
                );
                return Err(Failure::new(Code::INVALID, text));
            }
            chosen.insert(factor.id);
        }
        self.chosen = Some(chosen);
        Ok(())
    }

    /// Whether factors were named.
    pub fn is_choosy(&self) -> bool {
        self.chosen.is_some()
    }

    /// Whether enough was given.
    pub fn is_complete(&self) -> bool {
        self.progress.missing.is_empty()
    }

    /// Whether this factor would still count.
    pub fn is_missing(&self, id: u32) -> bool {
        self.progress.missing.iter().any(|need| need.of.contains(&id))
    }

    /// What is to be given.
    pub fn wanted(&self) -> impl Iterator<Item = &EnrolledFactor> {
        self.enrolled.factors.iter().filter(|factor| {
            let is_chosen = self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&factor.id));
            is_chosen && self.is_missing(factor.id) && !self.passed_over.contains(&factor.id)
        })
    }

    /// The passwords that are to be given, by number.
    pub fn passwords(&self) -> Vec<u32> {
        let passwords = self.wanted().filter(|factor| factor.kind == FactorKind::Password);
        passwords.map(|factor| factor.id).collect()
    }

    /// Those, with the ones that were given: who types one of them again is not wrong about the others.
    pub fn with_given_passwords(&self, ids: &[u32]) -> Vec<u32> {
        let passwords = self.enrolled.factors.iter().filter(|factor| {
            let is_given = self.progress.given.contains(&factor.id) && self.chosen.is_none();
            factor.kind == FactorKind::Password && (ids.contains(&factor.id) || is_given)
        });
        passwords.map(|factor| factor.id).collect()
    }

    /// The next factor to ask a person for that is no password. What an agent did not give in silence
    /// is asked for only by name, so that the reason is seen.
    pub fn next_device(&self) -> Option<EnrolledFactor> {
        let others = self.wanted().filter(|factor| match factor.kind {
            FactorKind::Password => false,
            FactorKind::SshAgent => self.chosen.is_some(),
            FactorKind::Tpm | FactorKind::Fido2 | FactorKind::Yubikey | FactorKind::Share => true,
        });
        others.min_by_key(|factor| factor.kind).cloned()
    }

    /// The numbers of the shares that were given of a factor that needs more of them.
    pub fn shares_of(&self, id: u32) -> &[u8] {
        let given = self.progress.shares.iter().find(|(factor, _)| *factor == id);
        given.map_or(&[], |(_, numbers)| numbers)
    }

    /// Does not ask for these again.
    pub fn pass_over(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.passed_over.extend(ids);
    }

    /// Goes on without a factor, and says why at the end. One that was named must not be missing.
    pub fn give_up(&mut self, factor: &EnrolledFactor, failure: Failure) -> Result<(), Failure> {
        if self.is_choosy() {
            return Err(failure);
        }
        self.passed_over.insert(factor.id);
        self.notes.push((factor.id, format!("{}: {}", render::factor(factor), failure.message)));
        Ok(())
    }

    /// With what passwords are asked for: who is meant, where it is not plain.
    pub fn password_prompt(&self, ids: &[u32], source: Source<'_>) -> String {
        let labels = self.enrolled.factors.iter().filter(|factor| ids.contains(&factor.id));
        let labels: Vec<&str> = labels.map(|factor| factor.label.as_str()).collect();
        let is_plain = labels == [FactorKind::Password.as_str()];
        match source {
            Source::Profile(None) if is_plain => "Password for the default profile: ".to_owned(),
            Source::Profile(Some(name)) if is_plain => format!("Password for profile {name}: "),
            Source::Restore(_) if is_plain => "Password of the backup: ".to_owned(),
            _ => format!("Password ({}): ", printable(&labels.join(", "))),
        }
    }

    /// What a command ends with that has too few factors; `next` is what the others do.
    pub fn incomplete(&self, next: &str) -> Failure {
        let mut text = format!("still needed: {}. ", render::needs(&self.enrolled, &self.progress));
        for (_, note) in self.notes.iter().filter(|(id, _)| self.is_missing(*id)) {
            text.push_str(note);
            text.push_str(". ");
        }
        if self.progress.given.is_empty() && self.progress.shares.is_empty() {
            text.push_str(&format!("Nothing was given yet; {next}"));
        } else {
            let left = render::duration(self.progress.seconds_left);
            text.push_str(&format!("What was given is kept for {left}; {next}"));
        }
        let mut detail = render::progress_json(&self.enrolled, &self.progress);
        detail["profile"] = json!(self.enrolled.profile);
        Failure { detail: Some(detail), ..Failure::new(Code::INCOMPLETE, text) }
    }
}

fn is_for(pending: Option<&str>, cause: Cause<'_>) -> bool {
    match cause {
        Cause::Unlock => pending.is_none(),
        Cause::Change(text) => pending == Some(text),
    }
}

/// The factor of this number or label.
pub fn find<'e>(enrolled: &'e Enrolled, text: &str) -> Result<&'e EnrolledFactor, Failure> {
    let fits = |factor: &&EnrolledFactor| factor.label == text || factor.id.to_string() == text;
    let mut fitting = enrolled.factors.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(factor), None) => Ok(factor),
        (Some(one), Some(other)) => {
            let text = format!(
                "{text:?} may be number {} or number {}; nothing was done. Give the other one's label, \
                 or rename it there",
                one.id, other.id
            );
            Err(Failure::new(Code::USAGE, text))
        }
        (None, _) => {
            let names = enrolled.factors.iter();
            let names = names.map(|factor| format!("{} ({})", factor.id, render::factor(factor)));
            let text = format!(
                "profile {} has no factor {text:?}; nothing was done. There are {}",
                enrolled.profile,
                names.collect::<Vec<_>>().join(", ")
            );
            Err(Failure::new(Code::NOT_FOUND, text))
        }
    }
}

/// A label that can be given to a factor of this profile.
pub fn free_label<'l>(enrolled: &Enrolled, text: &'l str) -> Result<&'l str, Failure> {
    if let Err(error) = Label::try_from(text) {
        return Err(Failure::new(Code::INVALID, format!("{error}; nothing was changed")));
    }
    match enrolled.factors.iter().find(|factor| factor.label == text) {
        None => Ok(text),
        Some(there) => {
            let text = format!(
                "profile {} has {} already, as number {}; nothing was changed. Choose another label",
                enrolled.profile,
                render::factor(there),
                there.id
            );
            Err(Failure::new(Code::EXISTS, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use ipc::factors::{Need, Pending};

    use super::*;
    use crate::render::tests::enrolled;

    /// Both passwords, the TPM, and 1 of the shares are needed; alice's password was given.
    fn needed() -> Needed {
        let mut enrolled = enrolled();
        enrolled.needs = [1, 2, 3, 4].map(|id| Need { count: 1, of: vec![id] }).into();
        let mut needed = Needed::new(enrolled, Cause::Unlock).unwrap();
        needed.progress.given.push(1);
        needed.progress.missing.remove(0);
        needed.progress.shares.push((4, vec![2]));
        needed.progress.seconds_left = 290;
        needed
    }

    fn ids<'f>(factors: impl Iterator<Item = &'f EnrolledFactor>) -> Vec<u32> {
        factors.map(|factor| factor.id).collect()
    }

    #[test]
    fn what_is_given_or_passed_over_is_not_asked_for() {
        let mut needed = needed();
        assert_eq!(ids(needed.wanted()), [2, 3, 4]);
        assert_eq!(needed.passwords(), [2]);
        assert_eq!(needed.next_device().unwrap().id, 3, "devices in the order of their kinds");
        needed.pass_over([2, 3]);
        assert_eq!(ids(needed.wanted()), [4]);
        assert!(needed.is_missing(2) && !needed.is_complete(), "and it is needed all the same");
        needed.pass_over([4]);
        assert!(needed.next_device().is_none());
    }

    #[test]
    fn only_what_was_named_is_asked_for() {
        let mut needed = needed();
        needed.choose(&["board".to_owned(), "3".to_owned()]).unwrap();
        assert_eq!(ids(needed.wanted()), [3, 4]);
        assert_eq!(needed.passwords(), [0; 0]);
        let given = needed.choose(&["alice".to_owned()]).unwrap_err();
        assert_eq!(given.code, Code::INVALID, "{}", given.message);
        assert!(given.message.starts_with("password \"alice\" is not needed"));
    }

    #[test]
    fn a_named_factor_that_fails_ends_the_command_and_another_is_noted() {
        let mut needed = needed();
        let tpm = needed.enrolled.factors[2].clone();
        needed.give_up(&tpm, Failure::new(Code::NOT_FOUND, "no TPM answers")).unwrap();
        let failure = needed.incomplete("others give theirs with `sesame unlock`");
        assert_eq!(failure.code, Code::INCOMPLETE);
        insta::assert_snapshot!(failure.message);
        assert_eq!(failure.detail.unwrap()["missing"][1]["of"][0]["label"], "this machine");
        needed.choose(&["this machine".to_owned()]).unwrap();
        let failed = needed.give_up(&tpm, Failure::new(Code::NOT_FOUND, "no TPM answers"));
        assert_eq!(failed.unwrap_err().code, Code::NOT_FOUND);
    }

    #[test]
    fn who_types_a_given_password_again_is_not_wrong_about_the_others() {
        let mut needed = needed();
        assert_eq!(needed.with_given_passwords(&[2]), [1, 2]);
        needed.choose(&["bob".to_owned()]).unwrap();
        assert_eq!(needed.with_given_passwords(&[2]), [2], "this one was meant, and no other");
    }

    #[test]
    fn a_prompt_says_whose_password_is_meant_where_that_is_not_plain() {
        let mut needed = needed();
        let default = Source::Profile(None);
        assert_eq!(needed.password_prompt(&[1, 2], default), "Password (alice, bob): ");
        needed.enrolled.factors[0].label = "password".to_owned();
        assert_eq!(needed.password_prompt(&[1], default), "Password for the default profile: ");
        let named = Source::Profile(Some("work"));
        assert_eq!(needed.password_prompt(&[1], named), "Password for profile work: ");
        assert_eq!(needed.password_prompt(&[1, 2], named), "Password (password, bob): ");
        assert_eq!(needed.password_prompt(&[1], Source::Restore("x")), "Password of the backup: ");
    }

    #[test]
    fn what_was_given_for_this_counts_and_for_something_else_ends_the_command() {
        let pending = |change: Option<&str>| {
            let mut enrolled = enrolled();
            enrolled.needs = vec![Need { count: 1, of: vec![1] }];
            let progress = Progress { given: vec![1], seconds_left: 61, ..Progress::default() };
            enrolled.pending = Some(Pending {
                change: change.map(str::to_owned),
                owner: "alice".to_owned(),
                progress,
            });
            enrolled
        };
        let rotate = Cause::Change("rotate the master key");
        let mine = Needed::new(pending(Some("rotate the master key")), rotate).unwrap();
        assert!(mine.is_complete(), "others gave enough");
        for (there, cause) in [
            (None, rotate),
            (Some("rotate the master key"), Cause::Unlock),
            (Some("revoke factor 2"), rotate),
        ] {
            let failure = Needed::new(pending(there), cause).err().unwrap();
            assert_eq!(failure.code, Code::BUSY);
            assert!(failure.message.contains("Wait 1 min 1 s"), "{}", failure.message);
        }
    }

    #[test]
    fn a_factor_is_found_by_number_or_label_unless_both_fit() {
        let mut enrolled = enrolled();
        assert_eq!(find(&enrolled, "bob").unwrap().id, 2);
        assert_eq!(find(&enrolled, "2").unwrap().id, 2);
        let absent = find(&enrolled, "eve").unwrap_err();
        assert_eq!(absent.code, Code::NOT_FOUND);
        assert!(absent.message.contains("There are 1 (password \"alice\"), 2"), "{absent:?}");
        enrolled.factors[0].label = "2".to_owned();
        assert_eq!(find(&enrolled, "2").unwrap_err().code, Code::USAGE);
    }

    #[test]
    fn a_label_that_is_taken_or_none_is_refused() {
        assert_eq!(free_label(&enrolled(), "carol").unwrap(), "carol");
        assert_eq!(free_label(&enrolled(), "bob").unwrap_err().code, Code::EXISTS);
        assert_eq!(free_label(&enrolled(), " x").unwrap_err().code, Code::INVALID);
    }
}
