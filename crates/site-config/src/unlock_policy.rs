//! Which factors open a profile (README, "Factors and policies").

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::algorithms::{AuthMode, quoted};
use crate::factor_kinds::FactorKinds;
use crate::keys::Key;

/// The most factors that can be asked for beside those of required kinds.
pub const MAX_ADDITIONAL_REQUIRED: u8 = 16;

/// Which factors open a profile: `auth.mode`, `auth.policy.required` and
/// `auth.policy.additional_required`.
///
/// What is read from a file has passed the check of [`UnlockPolicy::new`]. Whether so many factors
/// are enrolled is for those to check who know the factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct UnlockPolicy {
    /// How the factors combine.
    pub mode: AuthMode,
    /// In [`AuthMode::Policy`]: the kinds of which one factor each is needed. Else empty.
    pub required: FactorKinds,
    /// In [`AuthMode::Policy`]: how many of the other factors are needed. Else 0.
    pub additional_required: u8,
}

/// An [`UnlockPolicy`] that nobody has checked yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    mode: AuthMode,
    required: FactorKinds,
    additional_required: u8,
}

impl TryFrom<Fields> for UnlockPolicy {
    type Error = UnlockPolicyError;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        Self::new(fields.mode, fields.required, fields.additional_required)
    }
}

impl UnlockPolicy {
    /// The policy that the three settings make.
    ///
    /// # Errors
    /// [`UnlockPolicyError`] when one of them would mean nothing, or all of them ask for nothing.
    pub const fn new(
        mode: AuthMode,
        required: FactorKinds,
        additional_required: u8,
    ) -> Result<Self, UnlockPolicyError> {
        if additional_required > MAX_ADDITIONAL_REQUIRED {
            return Err(UnlockPolicyError::TooMany { additional_required });
        }
        match mode {
            AuthMode::Any | AuthMode::All if !required.is_empty() => {
                Err(UnlockPolicyError::RequiredMeansNothing { mode, required })
            }
            AuthMode::Any | AuthMode::All if additional_required > 0 => {
                Err(UnlockPolicyError::AdditionalMeansNothing { mode, additional_required })
            }
            AuthMode::Policy if required.is_empty() && additional_required == 0 => {
                Err(UnlockPolicyError::AsksForNothing)
            }
            AuthMode::Any | AuthMode::All | AuthMode::Policy => {
                Ok(Self { mode, required, additional_required })
            }
        }
    }
}

/// Why three settings are no policy. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnlockPolicyError {
    /// Kinds are required in a mode that doesn't look at kinds.
    #[error(
        "{} = [{}] means nothing while {} = \"{mode}\"; set {2} = \"policy\", or leave {0} empty",
        Key::AuthPolicyRequired, quoted(&.required.names()), Key::AuthMode
    )]
    RequiredMeansNothing {
        /// The mode.
        mode: AuthMode,
        /// The kinds.
        required: FactorKinds,
    },
    /// A number of others is required in a mode that doesn't count.
    #[error(
        "{} = {additional_required} means nothing while {} = \"{mode}\"; set {1} = \"policy\", or \
         leave {0} at 0",
        Key::AuthPolicyAdditionalRequired,
        Key::AuthMode
    )]
    AdditionalMeansNothing {
        /// The mode.
        mode: AuthMode,
        /// The number.
        additional_required: u8,
    },
    /// With this policy no factor would be needed.
    #[error(
        "{} = \"policy\" asks for no factor; name kinds in {}, or set {} to 1 or more",
        Key::AuthMode,
        Key::AuthPolicyRequired,
        Key::AuthPolicyAdditionalRequired
    )]
    AsksForNothing,
    /// More than any site enrols.
    #[error(
        "{} is {additional_required}, and must be a whole number from 0 to {}",
        Key::AuthPolicyAdditionalRequired,
        MAX_ADDITIONAL_REQUIRED
    )]
    TooMany {
        /// The number.
        additional_required: u8,
    },
}

impl UnlockPolicyError {
    /// The settings that it is about.
    #[must_use]
    pub const fn keys(&self) -> &'static [Key] {
        use Key::{AuthMode, AuthPolicyAdditionalRequired, AuthPolicyRequired};
        match self {
            Self::RequiredMeansNothing { .. } => &[AuthPolicyRequired, AuthMode],
            Self::AdditionalMeansNothing { .. } => &[AuthPolicyAdditionalRequired, AuthMode],
            Self::AsksForNothing => &[AuthMode, AuthPolicyRequired, AuthPolicyAdditionalRequired],
            Self::TooMany { .. } => &[AuthPolicyAdditionalRequired],
        }
    }
}

/// For people: `password and tpm, and 1 of the others`.
impl fmt::Display for UnlockPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.required.names();
        match (self.mode, names.as_slice(), self.additional_required) {
            (AuthMode::Any, ..) => f.write_str("any one factor"),
            (AuthMode::All, ..) => f.write_str("all factors"),
            (AuthMode::Policy, [], count) => write!(f, "{count} of any"),
            (AuthMode::Policy, names, 0) => f.write_str(&enumerated(names)),
            (AuthMode::Policy, names, count) => {
                write!(f, "{}, and {count} of the others", enumerated(names))
            }
        }
    }
}

/// `a`, `a and b`, `a, b and c`.
fn enumerated(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, others @ [_, ..])) => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::algorithms::FactorKind;

    fn kinds(names: &str) -> FactorKinds {
        names.parse().unwrap()
    }

    fn policy(required: &str, additional_required: u8) -> UnlockPolicy {
        UnlockPolicy::new(AuthMode::Policy, kinds(required), additional_required).unwrap()
    }

    #[test]
    fn people_read_what_is_needed() {
        let simple = |mode| UnlockPolicy::new(mode, FactorKinds::EMPTY, 0).unwrap().to_string();
        assert_eq!(simple(AuthMode::Any), "any one factor");
        assert_eq!(simple(AuthMode::All), "all factors");
        for (required, additional_required, text) in [
            ("", 1, "1 of any"),
            ("", 2, "2 of any"),
            ("password", 0, "password"),
            ("password", 1, "password, and 1 of the others"),
            ("tpm,password", 0, "password and tpm"),
            ("password,tpm", 2, "password and tpm, and 2 of the others"),
            ("share,tpm,password", 0, "password, tpm and share"),
        ] {
            assert_eq!(policy(required, additional_required).to_string(), text);
        }
    }

    #[test]
    fn a_requirement_that_the_mode_ignores_is_refused() {
        for mode in [AuthMode::Any, AuthMode::All] {
            let required = kinds("password");
            assert_eq!(
                UnlockPolicy::new(mode, required, 0),
                Err(UnlockPolicyError::RequiredMeansNothing { mode, required })
            );
            assert_eq!(
                UnlockPolicy::new(mode, FactorKinds::EMPTY, 1),
                Err(UnlockPolicyError::AdditionalMeansNothing { mode, additional_required: 1 })
            );
        }
    }

    #[test]
    fn a_policy_that_asks_for_nothing_is_refused() {
        let nothing = UnlockPolicy::new(AuthMode::Policy, FactorKinds::EMPTY, 0);
        assert_eq!(nothing, Err(UnlockPolicyError::AsksForNothing));
    }

    #[test]
    fn more_factors_than_the_setting_allows_are_refused() {
        let others = |count| UnlockPolicy::new(AuthMode::Policy, FactorKinds::EMPTY, count);
        assert!(others(16).is_ok());
        assert_eq!(others(17), Err(UnlockPolicyError::TooMany { additional_required: 17 }));
    }

    #[test]
    fn all_three_fields_are_stored() {
        let any = UnlockPolicy::new(AuthMode::Any, FactorKinds::EMPTY, 0).unwrap();
        let text = toml::to_string(&any).unwrap();
        assert_eq!(text, "mode = \"any\"\nrequired = []\nadditional_required = 0\n");
        for line in text.lines() {
            let rest = text.replace(&format!("{line}\n"), "");
            assert!(toml::from_str::<UnlockPolicy>(&rest).is_err(), "without {line}");
        }
        let more = format!("{text}threshold = 1\n");
        assert!(toml::from_str::<UnlockPolicy>(&more).is_err(), "an unknown field is taken");
    }

    #[test]
    fn a_stored_policy_is_checked() {
        for (bad, message) in [
            ("mode = \"any\"\nrequired = [\"tpm\"]\nadditional_required = 0\n", "means nothing"),
            ("mode = \"all\"\nrequired = []\nadditional_required = 2\n", "means nothing"),
            ("mode = \"policy\"\nrequired = []\nadditional_required = 0\n", "asks for no factor"),
            ("mode = \"policy\"\nrequired = []\nadditional_required = 17\n", "from 0 to 16"),
        ] {
            let error = toml::from_str::<UnlockPolicy>(bad).unwrap_err();
            assert!(error.message().contains(message), "{bad}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_is_taken_asks_for_something_and_reads_back(
            mode in prop::sample::select(AuthMode::ALL),
            required in prop::sample::subsequence(FactorKind::ALL, 0..=6),
            additional_required in 0..20_u8,
        ) {
            let required: FactorKinds = required.into_iter().collect();
            let asks = !required.is_empty() || additional_required > 0;
            match UnlockPolicy::new(mode, required, additional_required) {
                Ok(policy) => {
                    prop_assert_eq!(asks, mode == AuthMode::Policy);
                    prop_assert!(additional_required <= MAX_ADDITIONAL_REQUIRED);
                    let text = toml::to_string(&policy).unwrap();
                    prop_assert_eq!(toml::from_str::<UnlockPolicy>(&text).unwrap(), policy);
                }
                Err(UnlockPolicyError::TooMany { .. }) => prop_assert!(additional_required > 16),
                Err(_) => prop_assert_ne!(asks, mode == AuthMode::Policy),
            }
        }
    }
}
