//! No content of a file panics a parser: neither noise, nor a file of ours that was cut or damaged.

use std::path::Path;

use proptest::prelude::*;

use crate::{FactorKind, Installation, Key, Peers, Value, config, file, policy};

const CONFIG: &str = "\
[crypto]\nprofile = \"governance-compatible\"\nkdf = \"pbkdf2-sha256\"\n\n\
[enrolment]\nallow_below_floor = true\n\n[unlock]\nauto_lock_seconds = 0x3c\n\n\
[auth]\nmode = \"policy\"\n\n[auth.policy]\nrequired = [\n  \"tpm\",\n  \"password\",\n]\n\
additional_required = 1\n";

const POLICY: &str = "\
[[policy]]\nkey = \"crypto.profile\"\nvalue = \"governance-compatible\"\nsource = \"NIST\"\n\n\
[[policy]]\nkey = \"unlock.free_attempts\"\nvalue = 0\nsource = \"the board\"\n\n\
[[policy]]\nkey = \"auth.policy.required\"\nvalue = [\"password\", \"tpm\"]\n\
source = \"the board\"\n";

const PEERS: &str = "\
[[peer]]\nname = \"daemon-audit\"\nrole = \"daemon-audit\"\nuid = 101\n\
key = \"0101010101010101010101010101010101010101010101010101010101010101\"\n\n\
[[peer]]\nname = \"daemon-secrets\"\nrole = \"daemon-secrets\"\nuid = 102\n\
key = \"0202020202020202020202020202020202020202020202020202020202020202\"\n";

const INSTALLATION: &str = "\
id = \"6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11\"\norg = \"org.example\"\n\
machine_binding = \"0303030303030303030303030303030303030303030303030303030303030303\"\n\
created = \"2026-03-01T12:00:00Z\"\n";

const BOUND_TO_TPM: &str = "\
id = \"6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11\"\nmachine_binding = \"tpm\"\n\
created = \"2026-03-01T12:00:00Z\"\n";

/// Whether each of the four parsers took `bytes`; errors are rendered, since that can panic too.
fn parse_all(bytes: &[u8]) -> [bool; 4] {
    let path = Path::new("/f.toml");
    let text = match file::text(bytes.to_vec(), path) {
        Ok(text) => text,
        Err(error) => {
            let _ = error.to_string();
            return [false; 4];
        }
    };
    [
        config::parse(&text, path).map_err(|error| error.to_string()).is_ok(),
        policy::parse(&text, path).map_err(|error| error.to_string()).is_ok(),
        Peers::parse(&text, path).map_err(|error| error.to_string()).is_ok(),
        Installation::parse(&text, path).map_err(|error| error.to_string()).is_ok(),
    ]
}

#[test]
fn each_parser_takes_its_own_file_and_no_other() {
    for (index, text) in [CONFIG, POLICY, PEERS, INSTALLATION].iter().enumerate() {
        let mut expected = [false; 4];
        expected[index] = true;
        assert_eq!(parse_all(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_a_shorter_file() {
    for text in [CONFIG, POLICY, PEERS, INSTALLATION] {
        for end in 0..text.len() {
            parse_all(&text.as_bytes()[..end]);
        }
    }
    for text in [INSTALLATION, BOUND_TO_TPM] {
        assert!(parse_all(text.as_bytes())[3]);
        for end in 1..text.len() - 1 {
            assert!(!parse_all(&text.as_bytes()[..end])[3], "cut at {end}");
        }
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    for opening in ["[", "{a=", "[[", "a."] {
        let text = format!("a = {}", opening.repeat(100_000));
        assert_eq!(parse_all(text.as_bytes()), [false; 4]);
        let text = opening.repeat(100_000);
        assert_eq!(parse_all(text.as_bytes()), [false; 4]);
        let text = format!("auth = {}", opening.repeat(100_000));
        assert_eq!(parse_all(text.as_bytes()), [false; 4]);
    }
    // Closed ones: tables in tables that a parser may take, and we must refuse.
    for depth in [10, 75, 200, 100_000] {
        let path = vec!["policy"; depth].join(".");
        for text in [
            format!("auth.{path} = 1\n"),
            format!("[auth.{path}]\nrequired = []\n"),
            format!("auth = {}{}\n", "{policy = ".repeat(depth), "}".repeat(depth)),
            format!("auth.policy.required = {}{}\n", "[".repeat(depth), "]".repeat(depth)),
        ] {
            assert_eq!(parse_all(text.as_bytes()), [false; 4], "{depth}");
        }
    }
}

/// Words of which sections, names and mistakes can be put together.
const WORDS: [&str; 7] =
    ["auth", "policy", "mode", "required", "\"auth.policy\"", "unlock", "free_attempts"];

/// Values for all of them, and for none.
const VALUES: [&str; 7] =
    ["\"policy\"", "[\"tpm\"]", "[]", "3", "{ required = [] }", "{}", "[[\"tpm\"]]"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_panics_no_parser(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_all(&bytes);
    }

    #[test]
    fn text_panics_no_parser(text in "[\\[\\]a-z.=\"'# \\n{},0-9\u{e9}-]{0,200}") {
        parse_all(text.as_bytes());
    }

    #[test]
    fn a_setting_is_read_under_its_own_path_or_refused_with_its_line(
        path in prop::collection::vec(prop::sample::select(&WORDS[..]), 1..5),
        value in prop::sample::select(&VALUES[..]),
        split in any::<prop::sample::Index>(),
    ) {
        // All of the path as a dotted key, or some of it as the section's header.
        let split = split.index(path.len());
        let dotted = path[split..].join(".");
        let text = match split {
            0 => format!("# a comment\n{dotted} = {value}\n"),
            _ => format!("[{}]\n{dotted} = {value}\n", path[..split].join(".")),
        };
        match config::parse(&text, Path::new("/f.toml")) {
            Ok(read) => {
                for setting in &read {
                    let mut written = path.join(".");
                    if value.starts_with("{ required") {
                        written.push_str(".required");
                    }
                    prop_assert_eq!(setting.key.to_string(), written);
                }
                let sections = ["auth", "auth.policy", "unlock"];
                let empty_section = value == "{}" && sections.contains(&path.join(".").as_str());
                prop_assert_eq!(read.is_empty(), empty_section, "{}", text);
            }
            Err(error) => {
                let error = error.to_string();
                let placed = ["/f.toml:1: ", "/f.toml:2: "].iter().any(|at| error.starts_with(at));
                prop_assert!(placed, "{}", error);
            }
        }
    }

    #[test]
    fn a_set_reads_back_from_all_three_places_that_it_is_written_in(
        kinds in prop::sample::subsequence(FactorKind::ALL, 0..=6).prop_shuffle(),
    ) {
        let (key, path) = (Key::AuthPolicyRequired, Path::new("/f.toml"));
        let value = Value::Set(kinds.iter().copied().collect());
        let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        prop_assert_eq!(key.parse_value(&names.join(",")), Ok(value));
        let read = config::parse(&format!("[auth.policy]\nrequired = {names:?}\n"), path).unwrap();
        prop_assert_eq!(read[0].value, value);
        let entry = format!("[[policy]]\nkey = \"{key}\"\nvalue = {value}\nsource = \"x\"\n");
        prop_assert_eq!(policy::parse(&entry, path).unwrap()[0].value, value);
    }

    #[test]
    fn damage_panics_no_parser(
        which in 0..5_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let files = [CONFIG, POLICY, PEERS, INSTALLATION, BOUND_TO_TPM];
        let mut bytes = files[which].as_bytes().to_vec();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        parse_all(&bytes);
    }
}
