//! `cicada.toml`: which programs may do what with which of cicada's identities (README, "Cicada").

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::{Group, User};
use serde::Deserialize;
use toml::Spanned;

use crate::algorithms::UnknownName;
use crate::file::{self, FileError, Owner};
use crate::names::{IdentityName, NameError};

/// How long earlier keys of an identity stay readable when nothing else is said: a week.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(7 * 86400);
/// The longest grace time: ten years.
pub const MAX_GRACE: Duration = Duration::from_secs(3650 * 86400);
/// More rules than any host has, so that a peer is looked up in no time.
const MAX_RULES: usize = 1024;

/// What a program can ask cicada for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CicadaOperation {
    /// The WireGuard private key of an identity.
    GetKey,
    /// A signature.
    Sign,
    /// The public keys of an identity.
    PublicKey,
    /// A fresh shared secret for a public key.
    Encapsulate,
    /// The shared secret in a ciphertext.
    Decapsulate,
    /// The identities that the program has to do with.
    Identities,
    /// How the daemon is.
    Status,
    /// Make the key store.
    Init,
    /// Unlock the key store.
    Unlock,
    /// Forget all keys.
    Lock,
    /// Make an identity.
    Create,
    /// Give an identity new keys.
    Rotate,
    /// Destroy an identity's keys.
    Revoke,
    /// A sealed copy of an identity.
    Backup,
    /// An identity out of such a copy.
    Restore,
}

impl CicadaOperation {
    /// Every operation.
    pub const ALL: &[Self] = &[
        Self::GetKey,
        Self::Sign,
        Self::PublicKey,
        Self::Encapsulate,
        Self::Decapsulate,
        Self::Identities,
        Self::Status,
        Self::Init,
        Self::Unlock,
        Self::Lock,
        Self::Create,
        Self::Rotate,
        Self::Revoke,
        Self::Backup,
        Self::Restore,
    ];

    const NAMES: &[&str] = &[
        "get_key",
        "sign",
        "public_key",
        "encapsulate",
        "decapsulate",
        "identities",
        "status",
        "init",
        "unlock",
        "lock",
        "create",
        "rotate",
        "revoke",
        "backup",
        "restore",
    ];

    /// The name in `cicada.toml` and in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for CicadaOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CicadaOperation {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|operation| operation.as_str() == text);
        found.copied().ok_or(UnknownName { what: "operation", names: Self::NAMES })
    }
}

/// What one rule or several rules together allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CicadaOperations(u16);

impl CicadaOperations {
    /// Whether `operation` is among them.
    #[must_use]
    pub const fn contains(self, operation: CicadaOperation) -> bool {
        self.0 & operation.bit() != 0
    }

    /// Those of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = CicadaOperation> {
        CicadaOperation::ALL.iter().copied().filter(move |operation| self.contains(*operation))
    }
}

impl FromIterator<CicadaOperation> for CicadaOperations {
    fn from_iter<I: IntoIterator<Item = CicadaOperation>>(operations: I) -> Self {
        Self(operations.into_iter().fold(0, |bits, operation| bits | operation.bit()))
    }
}

/// Whom a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One user.
    Uid(u32),
    /// Whoever has this group, as the first or as another.
    Gid(u32),
}

/// Which identities a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one, `*`.
    All,
    /// One.
    One(IdentityName),
}

/// One `[[allow]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CicadaRule {
    /// For whom.
    pub whom: Whom,
    /// For which identities.
    pub which: Which,
    /// To do what.
    pub operations: CicadaOperations,
}

/// `cicada.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CicadaConfig {
    /// How long earlier keys stay readable after a rotation.
    pub grace: Duration,
    /// What is not in here is refused.
    pub rules: Vec<CicadaRule>,
    /// BLAKE3 of the file: tells one from another in the trail.
    pub digest: [u8; 32],
}

/// What one peer may do: the rules that are about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<(Which, CicadaOperations)>);

impl Grants {
    /// Whether no rule is about this peer at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What it may do with one identity; with none named, what any of its rules allows.
    #[must_use]
    pub fn on(&self, identity: Option<&IdentityName>) -> CicadaOperations {
        let about = |which: &Which| match (which, identity) {
            (Which::All, _) | (_, None) => true,
            (Which::One(name), Some(identity)) => name == identity,
        };
        let rules = self.0.iter().filter(|(which, _)| about(which));
        rules.fold(CicadaOperations::default(), |sum, (_, more)| sum.with(*more))
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum CicadaConfigError {
    /// The file can't be read, parsed or trusted.
    #[error(transparent)]
    File(#[from] FileError),
    /// Without a file nobody may ask for anything.
    #[error(
        "{} does not exist, so that nobody may ask cicada for anything; write it, or copy the one \
         that was installed in share/sesame", .path.display()
    )]
    Absent {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    grace_seconds: Option<Spanned<u64>>,
    #[serde(default)]
    allow: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    uid: Option<Spanned<Id>>,
    gid: Option<Spanned<Id>>,
    identity: Spanned<String>,
    operations: Vec<Spanned<String>>,
}

/// A user or a group, by number or by name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number or a name")]
enum Id {
    Number(u32),
    Name(String),
}

impl CicadaConfig {
    /// Reads a file, which must be root's or its directory's owner's and writable by nobody else.
    ///
    /// # Errors
    /// [`CicadaConfigError`].
    pub fn load(path: &Path) -> Result<Self, CicadaConfigError> {
        match file::read(path, Some(Owner::OfDirectory))? {
            Some(text) => Ok(Self::parse(&text.text, path)?),
            None => Err(CicadaConfigError::Absent { path: path.to_owned() }),
        }
    }

    /// Parses text that is said to come from `path`; names are looked up on this host.
    ///
    /// # Errors
    /// [`FileError::Syntax`] names the line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FileError> {
        let raw: RawConfig =
            toml::from_str(text).map_err(|error| file::syntax(&error, text, path))?;
        let error = |position, message| {
            let line = file::line_at(text.as_bytes(), position);
            FileError::Syntax { path: path.to_owned(), line, message }
        };
        let grace = match raw.grace_seconds {
            None => DEFAULT_GRACE,
            Some(seconds) => grace(*seconds.get_ref()).ok_or_else(|| {
                let most = MAX_GRACE.as_secs();
                error(seconds.span().start, format!("grace_seconds is at most {most}"))
            })?,
        };
        if raw.allow.len() > MAX_RULES {
            return Err(error(0, format!("there are more than {MAX_RULES} rules")));
        }
        let rules = raw.allow.into_iter().map(|rule| {
            let start = rule.span().start;
            rule.into_inner().check(start).map_err(|(position, text)| error(position, text))
        });
        Ok(Self {
            grace,
            rules: rules.collect::<Result<_, _>>()?,
            digest: *blake3::hash(text.as_bytes()).as_bytes(),
        })
    }

    /// What a process may do that has this uid and these groups.
    #[must_use]
    pub fn grants(&self, uid: u32, groups: &[u32]) -> Grants {
        let about = |rule: &&CicadaRule| match rule.whom {
            Whom::Uid(allowed) => uid == allowed,
            Whom::Gid(allowed) => groups.contains(&allowed),
        };
        let rules = self.rules.iter().filter(about);
        Grants(rules.map(|rule| (rule.which.clone(), rule.operations)).collect())
    }
}

/// A grace time of so many seconds, unless it is too long.
#[must_use]
pub fn grace(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds)).filter(|grace| *grace <= MAX_GRACE)
}

impl RawRule {
    /// The rule, or a position in the file and what is wrong there.
    fn check(self, start: usize) -> Result<CicadaRule, (usize, String)> {
        let whom = match (&self.uid, &self.gid) {
            (Some(id), None) => Whom::Uid(uid(id).map_err(|text| (id.span().start, text))?),
            (None, Some(id)) => Whom::Gid(gid(id).map_err(|text| (id.span().start, text))?),
            _ => return Err((start, "a rule has either a uid or a gid".to_owned())),
        };
        let which = match self.identity.get_ref().as_str() {
            "*" => Which::All,
            name => Which::One(
                IdentityName::try_from(name)
                    .map_err(|error: NameError| (self.identity.span().start, error.to_string()))?,
            ),
        };
        let operation = |name: &Spanned<String>| {
            let parsed: Result<CicadaOperation, UnknownName> = name.get_ref().parse();
            parsed.map_err(|error| (name.span().start, error.to_string()))
        };
        let operations = self.operations.iter().map(operation).collect::<Result<_, _>>()?;
        Ok(CicadaRule { whom, which, operations })
    }
}

fn uid(id: &Spanned<Id>) -> Result<u32, String> {
    match id.get_ref() {
        Id::Number(number) => Ok(*number),
        Id::Name(name) => match User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            _ => Err(format!("there is no user {name:?} on this host")),
        },
    }
}

fn gid(id: &Spanned<Id>) -> Result<u32, String> {
    match id.get_ref() {
        Id::Number(number) => Ok(*number),
        Id::Name(name) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            _ => Err(format!("there is no group {name:?} on this host")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
grace_seconds = 60

[[allow]]
uid = 0
identity = "*"
operations = ["status", "create"]

[[allow]]
gid = 990
identity = "cloud-sync"
operations = ["get_key", "sign"]
"#;

    fn parse(text: &str) -> Result<CicadaConfig, String> {
        CicadaConfig::parse(text, Path::new("cicada.toml")).map_err(|error| error.to_string())
    }

    fn identity(name: &str) -> IdentityName {
        name.parse().unwrap()
    }

    #[test]
    fn rules_say_who_may_do_what_with_which_identity() {
        let config = parse(FILE).unwrap();
        assert_eq!(config.grace, Duration::from_secs(60));
        let (ours, other) = (identity("cloud-sync"), identity("other"));

        let program = config.grants(1000, &[1000, 990]);
        assert!(program.on(Some(&ours)).contains(CicadaOperation::GetKey));
        assert!(!program.on(Some(&ours)).contains(CicadaOperation::Decapsulate));
        assert!(!program.on(Some(&other)).contains(CicadaOperation::GetKey));
        assert!(!program.on(None).contains(CicadaOperation::Create));

        let root = config.grants(0, &[0]);
        assert!(root.on(Some(&other)).contains(CicadaOperation::Create));
        assert!(!root.on(Some(&ours)).contains(CicadaOperation::GetKey));

        assert!(config.grants(1000, &[1000]).is_empty());
        assert!(config.grants(990, &[]).is_empty(), "a gid is not a uid");
    }

    #[test]
    fn names_are_looked_up() {
        let text = FILE.replace("uid = 0", "uid = \"root\"").replace("gid = 990", "gid = \"root\"");
        let config = parse(&text).unwrap();
        assert_eq!(config.rules[0].whom, Whom::Uid(0));
        assert_eq!(config.rules[1].whom, Whom::Gid(0));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (from, to, said) in [
            ("uid = 0", "uid = \"nobody-here\"", ":5: there is no user"),
            ("gid = 990", "gid = \"nobody-here\"", ":10: there is no group"),
            ("uid = 0", "", ":4: a rule has either a uid or a gid"),
            ("uid = 0", "uid = 0\ngid = 0", ":4: a rule has either a uid or a gid"),
            ("uid = 0", "uid = -1", ":5: a number or a name"),
            ("\"sign\"", "\"sing\"", ":12: "),
            ("\"*\"", "\"../x\"", ":6: a valid identity name"),
            ("grace_seconds = 60", "grace_seconds = 315360001", ":2: grace_seconds is at most"),
            ("grace_seconds", "grace_second", ":2: "),
            ("operations = [\"status\", \"create\"]", "", ":"),
        ] {
            assert!(FILE.contains(from), "{from}");
            let error = parse(&FILE.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(said), "{to}: {error}");
        }
    }

    #[test]
    fn without_a_file_there_is_an_error_and_not_an_open_door() {
        let error = CicadaConfig::load(Path::new("/nonexistent/cicada.toml")).unwrap_err();
        assert!(matches!(error, CicadaConfigError::Absent { .. }), "{error}");
        assert!(parse("").unwrap().grants(0, &[0]).is_empty());
    }

    #[test]
    fn names_and_operations_go_together() {
        for operation in CicadaOperation::ALL {
            assert_eq!(operation.as_str().parse::<CicadaOperation>().unwrap(), *operation);
            let alone = CicadaOperations::from_iter([*operation]);
            assert_eq!(alone.iter().collect::<Vec<_>>(), [*operation]);
        }
    }
}
