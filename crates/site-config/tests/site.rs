//! A site in one directory, from its files to its settings.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::Path;

use site_config::durable::write_atomically;
use site_config::{ConfigError, Layout, Origin, Requirement, Site};

const CONFIG: &str = "[sandbox]\nlandlock = \"off\"\n";
const POLICY: &str = "\
[[policy]]\nkey = \"crypto.profile\"\nvalue = \"governance-compatible\"\nsource = \"the board\"\n";

fn load(dir: &Path, overrides: &[(&str, String)]) -> Result<Site, ConfigError> {
    Site::load_with(Layout::dir(dir).unwrap(), overrides)
}

#[test]
fn a_directory_is_a_site() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::load(Layout::dir(dir.path()).unwrap()).unwrap();
    assert_eq!((site.config_digest, site.policy_digest), (None, None));
    assert!(site.policy.is_empty());

    write_atomically(&dir.path().join("config.toml"), CONFIG.as_bytes(), 0o644).unwrap();
    write_atomically(&dir.path().join("policy.toml"), POLICY.as_bytes(), 0o644).unwrap();
    let site = load(dir.path(), &[("unlock.free_attempts", "0".to_owned())]).unwrap();
    assert_eq!(site.settings.sandbox.landlock, Requirement::Off);
    assert_eq!(site.settings.unlock.free_attempts, 0);
    assert_eq!(site.config_digest, Some(*blake3::hash(CONFIG.as_bytes()).as_bytes()));
    assert_eq!(site.policy_digest, Some(*blake3::hash(POLICY.as_bytes()).as_bytes()));
    assert_eq!(site.policy[0].source, "the board");
    assert_eq!(site.origin(site_config::Key::UnlockFreeAttempts), &Origin::CommandLine);

    let root = dir.path().to_str().unwrap();
    let mut printed = String::new();
    for line in site.effective() {
        printed.push_str(&format!("{line}\n").replace(root, "DIR"));
    }
    insta::assert_snapshot!(printed);
}

#[test]
fn a_file_that_went_bad_while_the_policy_holds_is_still_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write_atomically(&dir.path().join("policy.toml"), POLICY.as_bytes(), 0o644).unwrap();
    for content in ["[crypto", "[crypto]\nkdf = \"argon2id\"\n", "\0"] {
        write_atomically(&dir.path().join("config.toml"), content.as_bytes(), 0o644).unwrap();
        assert!(load(dir.path(), &[]).is_err(), "{content:?}");
    }
}
