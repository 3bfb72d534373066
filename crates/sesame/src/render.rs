//! Factors, needs and times in words.

use audit_log::printable;
use ipc::factors::{Enrolled, EnrolledFactor, Need, Progress};
use key_hierarchy::Parameters;
use serde_json::{Value, json};

/// A factor as people speak of it: `tpm "this machine"`.
pub fn factor(factor: &EnrolledFactor) -> String {
    format!("{} \"{}\"", factor.kind, printable(&factor.label))
}

/// What is still needed, as one sentence without its full stop:
/// `password "alice"; and 1 of tpm "laptop", share "board" (1 of 3 shares given)`.
pub fn needs(enrolled: &Enrolled, progress: &Progress) -> String {
    let mut parts: Vec<String> =
        progress.missing.iter().map(|need| one_need(enrolled, progress, need)).collect();
    let last = parts.pop().unwrap_or_else(|| "nothing".to_owned());
    match parts.as_slice() {
        [] => last,
        parts => format!("{}; and {last}", parts.join("; ")),
    }
}

fn one_need(enrolled: &Enrolled, progress: &Progress, need: &Need) -> String {
    let names = need.of.iter().map(|id| {
        let Some(there) = enrolled.factors.iter().find(|factor| factor.id == *id) else {
            return format!("factor {id}");
        };
        let given = progress.shares.iter().find(|(factor, _)| factor == id);
        let given = given.map_or(0, |(_, numbers)| numbers.len());
        match shares(there) {
            Some((threshold, _)) if given > 0 => {
                format!("{} ({given} of {threshold} shares given)", factor(there))
            }
            _ => factor(there),
        }
    });
    let names: Vec<String> = names.collect();
    if usize::from(need.count) == names.len() {
        names.join(" and ")
    } else {
        format!("{} of {}", need.count, names.join(", "))
    }
}

/// How many shares give this factor, and of how many, if it consists of shares.
pub fn shares(factor: &EnrolledFactor) -> Option<(u8, usize)> {
    match serde_json::from_str(&factor.parameters) {
        Ok(Parameters::Share(share)) => Some((share.threshold, share.checks.len())),
        _ => None,
    }
}

/// `4 min 50 s`
pub fn duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// The text of a change, with the label behind the number of a factor.
pub fn change(enrolled: &Enrolled, text: &str) -> String {
    let named = ["revoke factor ", "rename factor "].iter().find_map(|verb| {
        let rest = text.strip_prefix(verb)?;
        let (number, rest) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        let id: u32 = number.parse().ok()?;
        let there = enrolled.factors.iter().find(|factor| factor.id == id)?;
        Some(format!("{verb}{id} ({}){}", factor(there), printable(rest)))
    });
    named.unwrap_or_else(|| printable(text))
}

/// A factor as JSON.
pub fn factor_json(factor: &EnrolledFactor) -> Value {
    json!({ "id": factor.id, "kind": factor.kind.as_str(), "label": factor.label })
}

/// Where a collection stands, as JSON.
pub fn progress_json(enrolled: &Enrolled, progress: &Progress) -> Value {
    json!({
        "given": progress.given,
        "shares": progress.shares.iter().map(|(factor, numbers)| {
            json!({ "factor": factor, "numbers": numbers })
        }).collect::<Vec<_>>(),
        "missing": needs_json(enrolled, &progress.missing),
        "seconds_left": progress.seconds_left,
    })
}

/// Needs as JSON.
pub fn needs_json(enrolled: &Enrolled, needs: &[Need]) -> Value {
    let known = |id: &u32| enrolled.factors.iter().find(|factor| factor.id == *id);
    let of = |need: &Need| need.of.iter().filter_map(known).map(factor_json).collect::<Vec<_>>();
    needs.iter().map(|need| json!({ "count": need.count, "of": of(need) })).collect()
}

#[cfg(test)]
pub mod tests {
    use ipc::factors::Pending;
    use key_hierarchy::parameters::{Check, ShareParameters};
    use site_config::{AuthMode, FactorKind, FactorKinds, UnlockPolicy};

    use super::*;

    /// Four factors; number 4 is `share "board"`, of which 3 shares are needed.
    pub fn enrolled() -> Enrolled {
        let share = Parameters::Share(ShareParameters {
            installation: [1; 4],
            split: [2; 8],
            threshold: 3,
            checks: vec![Check([3; 16]); 5],
        });
        let share = serde_json::to_string(&share).unwrap();
        let factor = |id, kind, label: &str, parameters: &str| EnrolledFactor {
            id,
            label: label.to_owned(),
            kind,
            machine: id == 3,
            parameters: parameters.to_owned(),
            failures: 0,
            retry_after_seconds: 0,
        };
        Enrolled {
            backup: None,
            profile: "default".to_owned(),
            policy: UnlockPolicy::new(AuthMode::All, FactorKinds::EMPTY, 0).unwrap(),
            generation: 1,
            factors: vec![
                factor(1, FactorKind::Password, "alice", "{}"),
                factor(2, FactorKind::Password, "bob", "{}"),
                factor(3, FactorKind::Tpm, "this machine", "{}"),
                factor(4, FactorKind::Share, "board", &share),
            ],
            pending: None::<Pending>,
            needs: Vec::new(),
        }
    }

    fn sentence(missing: &[(u8, &[u32])], shares: &[(u32, Vec<u8>)]) -> String {
        let missing = missing.iter().map(|(count, of)| Need { count: *count, of: of.to_vec() });
        let progress =
            Progress { missing: missing.collect(), shares: shares.to_vec(), ..Progress::default() };
        needs(&enrolled(), &progress)
    }

    #[test]
    fn needs_are_a_sentence() {
        let given = [(4, vec![2])];
        let sentences = [
            sentence(&[(1, &[1])], &[]),
            sentence(&[(1, &[1, 2])], &[]),
            sentence(&[(2, &[1, 2])], &[]),
            sentence(&[(2, &[1, 2, 3])], &[]),
            sentence(&[(1, &[1]), (1, &[3, 4])], &[]),
            sentence(&[(1, &[1]), (1, &[2]), (1, &[4])], &given),
            sentence(&[(1, &[9])], &[]),
            sentence(&[], &[]),
        ];
        insta::assert_snapshot!(sentences.join("\n"));
    }

    #[test]
    fn times_are_read_at_a_glance() {
        let shown: Vec<String> = [0, 9, 60, 290, 3600].map(duration).into();
        assert_eq!(shown, ["0 s", "9 s", "1 min", "4 min 50 s", "60 min"]);
    }

    #[test]
    fn a_change_names_the_factor_and_moves_no_cursor() {
        let shown = |text: &str| change(&enrolled(), text);
        assert_eq!(shown("revoke factor 3"), "revoke factor 3 (tpm \"this machine\")");
        assert_eq!(
            shown("rename factor 1 to \"eve\""),
            "rename factor 1 (password \"alice\") to \"eve\""
        );
        assert_eq!(shown("revoke factor 77"), "revoke factor 77");
        assert_eq!(shown("rotate the master key"), "rotate the master key");
        assert_eq!(shown("enrol tpm \"\u{202e}x\u{1b}\""), "enrol tpm \"\\u{202e}x\\u{1b}\"");
    }

    #[test]
    fn labels_move_no_cursor() {
        let mut all = enrolled();
        all.factors[0].label = "\u{1b}[2J\u{202e}".to_owned();
        assert_eq!(factor(&all.factors[0]), "password \"\\u{1b}[2J\\u{202e}\"");
    }
}
