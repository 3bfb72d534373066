//! No content of a file panics a parser: neither noise, nor a file of ours that was cut or damaged.

use std::path::Path;

use proptest::prelude::*;

use crate::{Installation, Peers, config, file, policy};

const CONFIG: &str = "\
[crypto]\nprofile = \"governance-compatible\"\nkdf = \"pbkdf2-sha256\"\n\n\
[enrolment]\nallow_below_floor = true\n\n[unlock]\nauto_lock_seconds = 0x3c\n";

const POLICY: &str = "\
[[policy]]\nkey = \"crypto.profile\"\nvalue = \"governance-compatible\"\nsource = \"NIST\"\n\n\
[[policy]]\nkey = \"unlock.free_attempts\"\nvalue = 0\nsource = \"the board\"\n";

const PEERS: &str = "\
[[peer]]\nname = \"daemon-audit\"\nrole = \"daemon-audit\"\nuid = 101\n\
key = \"0101010101010101010101010101010101010101010101010101010101010101\"\n\n\
[[peer]]\nname = \"daemon-secrets\"\nrole = \"daemon-secrets\"\nuid = 102\n\
key = \"0202020202020202020202020202020202020202020202020202020202020202\"\n";

const INSTALLATION: &str = "\
id = \"6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11\"\norg = \"org.example\"\n\
machine_binding = \"0303030303030303030303030303030303030303030303030303030303030303\"\n\
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
    for end in 1..INSTALLATION.len() - 1 {
        assert!(!parse_all(&INSTALLATION.as_bytes()[..end])[3], "cut at {end}");
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    for opening in ["[", "{a=", "[[", "a."] {
        let text = format!("a = {}", opening.repeat(100_000));
        assert_eq!(parse_all(text.as_bytes()), [false; 4]);
        let text = opening.repeat(100_000);
        assert_eq!(parse_all(text.as_bytes()), [false; 4]);
    }
}

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
    fn damage_panics_no_parser(
        which in 0..4_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut bytes = [CONFIG, POLICY, PEERS, INSTALLATION][which].as_bytes().to_vec();
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
