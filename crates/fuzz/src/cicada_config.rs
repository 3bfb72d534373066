//! cicada.toml: who may do what with which identity.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use site_config::cicada::MAX_GRACE;
use site_config::names::IdentityName;
use site_config::{CicadaConfig, CicadaOperation};
use toml::{Table, Value};

use crate::settings::check_sentence;
use crate::shape::shape;

const SAMPLES: [&str; 2] = [
    "\
grace_seconds = 86400\n\n\
[[allow]]\nuid = 0\nidentity = \"*\"\noperations = [\"status\", \"create\", \"rotate\"]\n\n\
[[allow]]\ngid = 990\nidentity = \"cloud-sync\"\noperations = [\"get_key\", \"sign\"]\n\n\
[[allow]]\nuid = 1000\nidentity = \"cloud-sync\"\noperations = [\"public_key\"]\n",
    "\
allow = [{ uid = \"root\", identity = \"a.b\", operations = [\"lock\"] }, \
{ gid = 0x3de, identity = '*', operations = [] }]\n",
];

/// Those that are asked about. The last one stands in no sample.
const IDS: [u32; 6] = [0, 990, 1000, 99, u32::MAX, 4242];
const IDENTITIES: [&str; 3] = ["cloud-sync", "a.b", "somebody-else"];

/// Names and numbers, from the files that every host has: the parser asks the C library.
static USERS: LazyLock<Vec<(String, u32)>> = LazyLock::new(|| database("/etc/passwd"));
static GROUPS: LazyLock<Vec<(String, u32)>> = LazyLock::new(|| database("/etc/group"));

fn database(path: &str) -> Vec<(String, u32)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let entry = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// What a file that is read gives to whom.
///
/// # Panics
/// When a process is given more or less than the rules that name its uid or one of its groups, as
/// another parser of TOML finds them; or when an error would put control characters on a terminal.
pub fn cicada_config(orders: &[u8]) {
    let samples = SAMPLES.map(|sample| sample.as_bytes().to_vec());
    let Ok(text) = String::from_utf8(shape(&samples, orders)) else { return };
    let config = match CicadaConfig::parse(&text, Path::new("/etc/cicada/cicada.toml")) {
        Ok(config) => config,
        Err(error) => return check_sentence(&error.to_string()),
    };
    assert!(config.grace <= MAX_GRACE);
    let table: Table = toml::from_str(&text).expect("what is read is TOML");
    let empty = Vec::new();
    let rules = table.get("allow").map_or(&empty, |it| it.as_array().expect("a list of rules"));
    assert_eq!(rules.len(), config.rules.len());
    for uid in IDS {
        for gid in IDS {
            let groups = [gid, 5];
            let about: Vec<&Value> =
                rules.iter().filter(|rule| is_about(rule, uid, &groups)).collect();
            let grants = config.grants(uid, &groups);
            assert_eq!(grants.is_empty(), about.is_empty(), "uid {uid}, gid {gid}: {text}");
            for identity in IDENTITIES {
                let name = IdentityName::try_from(identity).expect("a name");
                let given: BTreeSet<&str> =
                    grants.on(Some(&name)).iter().map(CicadaOperation::as_str).collect();
                assert_eq!(given, written(&about, identity), "uid {uid}, gid {gid}: {text}");
            }
        }
    }
}

fn is_about(rule: &Value, uid: u32, groups: &[u32]) -> bool {
    match (rule.get("uid"), rule.get("gid")) {
        (Some(id), None) => number(id, &USERS) == Some(uid),
        (None, Some(id)) => number(id, &GROUPS).is_some_and(|id| groups.contains(&id)),
        _ => panic!("a rule about nobody, or about two: {rule}"),
    }
}

fn number(id: &Value, database: &[(String, u32)]) -> Option<u32> {
    match id {
        Value::Integer(number) => Some(u32::try_from(*number).expect("an id")),
        Value::String(name) => {
            database.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
        }
        _ => panic!("{id} is no id"),
    }
}

/// The operations of these rules on one identity.
fn written<'a>(rules: &[&'a Value], identity: &str) -> BTreeSet<&'a str> {
    let about = rules.iter().filter(|rule| {
        let named = rule.get("identity").and_then(Value::as_str).expect("an identity");
        named == "*" || named == identity
    });
    let operations = about.flat_map(|rule| rule.get("operations").and_then(Value::as_array));
    operations.flatten().map(|name| name.as_str().expect("an operation")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_files_that_are_read() {
        for (sample, rules) in SAMPLES.iter().zip([3, 2]) {
            let config = CicadaConfig::parse(sample, Path::new("/f")).expect("a file");
            assert_eq!(config.rules.len(), rules);
        }
    }
}
