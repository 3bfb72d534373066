//! The files that an administrator writes.

use std::path::Path;

use site_config::{Installation, Peers};

use crate::shape::shape;

const CONFIG: &str = "\
[crypto]\nprofile = \"governance-compatible\"\nkdf = \"pbkdf2-sha256\"\n\n\
[enrolment]\nallow_below_floor = true\n\n[unlock]\nauto_lock_seconds = 0x3c\n\n\
[auth]\nmode = \"policy\"\n\n\
[auth.policy]\nrequired = [\"password\", \"tpm\"]\nadditional_required = 1\n";

const POLICY: &str = "\
[[policy]]\nkey = \"crypto.profile\"\nvalue = \"governance-compatible\"\nsource = \"NIST\"\n\n\
[[policy]]\nkey = \"unlock.free_attempts\"\nvalue = 0\nsource = \"the board\"\n\n\
[[policy]]\nkey = \"auth.policy.required\"\nvalue = [\"password\", \"share\"]\nsource = \"ISO 27001\"\n";

const PEERS: &str = "\
[[peer]]\nname = \"daemon-audit\"\nrole = \"daemon-audit\"\nuid = 101\n\
key = \"0101010101010101010101010101010101010101010101010101010101010101\"\n\n\
[[peer]]\nname = \"daemon-secrets\"\nrole = \"daemon-secrets\"\nuid = 102\n\
key = \"0202020202020202020202020202020202020202020202020202020202020202\"\n\n\
[[peer]]\nname = \"eve\"\nrole = \"auditor\"\nuid = 4294967295\n\
key = \"0303030303030303030303030303030303030303030303030303030303030303\"\n";

const INSTALLATIONS: [&str; 2] = [
    "\
id = \"6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11\"\norg = \"org.example\"\n\
machine_binding = \"0303030303030303030303030303030303030303030303030303030303030303\"\n\
created = \"2026-03-01T12:00:00Z\"\n",
    "\
id = \"6e2f3f5e-4f0e-4a53-9a3b-8f0e4e5d9c11\"\n\
machine_binding = \"tpm\"\ncreated = \"2026-03-01T12:00:00Z\"\n",
];

/// What reading the file gives; one that is no text is refused before the parsers.
fn read<T, E: std::fmt::Display>(
    samples: &[&str],
    orders: &[u8],
    parse: impl Fn(&str, &Path) -> Result<T, E>,
) -> Option<T> {
    let samples: Vec<Vec<u8>> = samples.iter().map(|sample| sample.as_bytes().to_vec()).collect();
    let text = String::from_utf8(shape(&samples, orders)).ok()?;
    if text.contains('\0') {
        return None;
    }
    match parse(&text, Path::new("/etc/pds/f.toml")) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            check_sentence(&error.to_string());
            None
        }
    }
}

/// An error quotes the file, and is shown on a terminal and written to a log.
pub(crate) fn check_sentence(sentence: &str) {
    assert!(!sentence.is_empty());
    let control = sentence.chars().find(|c| c.is_control());
    assert!(control.is_none(), "{control:?} in {sentence:?}");
}

/// config.toml.
///
/// # Panics
/// When an error would put control characters on a terminal, or one key is set twice.
pub fn config(orders: &[u8]) {
    let Some(settings) = read(&[CONFIG], orders, site_config::config::parse) else { return };
    for (at, setting) in settings.iter().enumerate() {
        check_sentence(&format!("{} {} {}", setting.key, setting.value, setting.origin));
        assert!(settings[..at].iter().all(|earlier| earlier.key != setting.key), "{settings:?}");
    }
}

/// policy.toml.
///
/// # Panics
/// When an error would put control characters on a terminal, or an entry has no source.
pub fn policy(orders: &[u8]) {
    for entry in read(&[POLICY], orders, site_config::policy::parse).into_iter().flatten() {
        assert!(!entry.source.trim().is_empty(), "{entry:?}");
        check_sentence(&format!("{} {} {}", entry.key, entry.value, entry.source));
    }
}

/// peers.toml.
///
/// # Panics
/// When a set of peers is not the same after being written and read again, or lacks a daemon.
pub fn peers(orders: &[u8]) {
    let Some(peers) = read(&[PEERS], orders, Peers::parse) else { return };
    let rendered = peers.render();
    let again = Peers::parse(&rendered, Path::new("/f")).expect("we read what we write");
    assert!(again.iter().eq(peers.iter()), "{rendered}");
    for daemon in [site_config::Daemon::Audit, site_config::Daemon::Secrets] {
        let _ = peers.daemon(daemon);
    }
}

/// installation.toml.
///
/// # Panics
/// When an installation is not the same after being written and read again.
pub fn installation(orders: &[u8]) {
    let Some(installation) = read(&INSTALLATIONS, orders, Installation::parse) else { return };
    let rendered = installation.render();
    let again = Installation::parse(&rendered, Path::new("/f")).expect("we read what we write");
    assert_eq!(again, installation, "{rendered}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is damaged must be worth damaging.
    #[test]
    fn the_samples_are_files_that_are_read() {
        let path = Path::new("/etc/pds/f.toml");
        assert_eq!(site_config::config::parse(CONFIG, path).expect("settings").len(), 7);
        assert_eq!(site_config::policy::parse(POLICY, path).expect("a policy").len(), 3);
        assert_eq!(Peers::parse(PEERS, path).expect("peers").iter().count(), 3);
        for sample in INSTALLATIONS {
            let installation = Installation::parse(sample, path).expect("an installation");
            assert!(installation.machine_binding.is_some());
        }
    }
}
