//! `sesame up` and `sesame down` in the session of an ordinary user.

#[path = "common/bare.rs"]
mod bare;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use bare::{as_operator, one_object, outcome};
use serde_json::json;
use testbed::{Outcome, PASSWORD, binary};

/// An ordinary user's directories, with nothing in them.
struct Home {
    place: tempfile::TempDir,
    uid: u32,
}

impl Home {
    fn new() -> Self {
        let uid = testbed::Users::available().operator;
        let place = tempfile::Builder::new().prefix("home-").tempdir_in("/tmp").expect("a home");
        for name in ["", "run", "state", "config"] {
            let path = place.path().join(name);
            fs::create_dir_all(&path).expect("mkdir");
            chown(&path, Some(uid), Some(uid)).expect("chown");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
        }
        Self { place, uid }
    }

    /// `sesame ARGS` of this user, with that program.
    fn with(&self, program: &Path, args: &[&str], stdin: &str) -> Outcome {
        let mut command = Command::new(program);
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.env("HOME", self.place.path());
        for (name, below) in
            [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")]
        {
            command.env(name, self.place.path().join(below));
        }
        as_operator(&mut command, self.uid);
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), stdin).expect("write");
        command.stdin(fs::File::open(file.path()).expect("open"));
        outcome(command)
    }

    fn sesame(&self, args: &[&str]) -> Outcome {
        self.with(&binary("sesame"), args, "")
    }

    #[track_caller]
    fn succeed(&self, args: &[&str]) -> String {
        let outcome = self.sesame(args);
        assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.error());
        outcome.text()
    }

    /// Every key file and peers.toml.
    fn keys(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = [
            "state/sesame/audit/noise.key",
            "state/sesame/secrets/noise.key",
            "state/sesame/operator/noise.key",
            "config/sesame/peers.toml",
        ];
        files
            .iter()
            .map(|name| {
                let path = self.place.path().join(name);
                let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
                (path, bytes)
            })
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.sesame(&["down"]);
    }
}

#[test]
fn a_session_goes_up_and_down_and_keeps_its_keys() {
    let home = Home::new();
    assert_eq!(home.sesame(&["status"]).code, 3);
    assert_eq!(home.succeed(&["up"]), "daemon-audit is ready.\ndaemon-secrets is ready.\n");
    let keys = home.keys();
    for (path, bytes) in &keys {
        let mode = fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        let is_key = path.ends_with("noise.key");
        assert_eq!(mode, if is_key { 0o600 } else { 0o644 }, "{}", path.display());
        assert!(!is_key || bytes.len() == 32);
    }
    let again = "daemon-audit is running already.\ndaemon-secrets is running already.\n";
    assert_eq!(home.succeed(&["up"]), again);
    let nothing = one_object(home.succeed(&["up", "--json"]).as_bytes());
    assert_eq!(nothing, json!({ "started": [] }));

    assert!(home.succeed(&["status"]).contains("none yet"));
    let sesame = binary("sesame");
    let made = home.with(&sesame, &["init", "--password-stdin"], PASSWORD);
    assert_eq!(made.code, 0, "{}", made.error());
    assert_eq!(home.with(&sesame, &["unlock", "--password-stdin"], PASSWORD).code, 0);
    assert_eq!(home.with(&sesame, &["secret", "set", "x"], "value\n").code, 0);
    assert_eq!(home.succeed(&["secret", "get", "x"]), "value\n");

    let down = "daemon-secrets has stopped.\ndaemon-audit has stopped.\n";
    assert_eq!(home.succeed(&["down"]), down);
    assert_eq!(home.sesame(&["status"]).code, 3);
    let down = "daemon-secrets was not running.\ndaemon-audit was not running.\n";
    assert_eq!(home.succeed(&["down"]), down);

    let started = one_object(home.succeed(&["up", "--json"]).as_bytes());
    assert_eq!(started, json!({ "started": ["daemon-audit", "daemon-secrets"] }));
    assert!(home.keys() == keys, "keys are made once");
    assert_eq!(home.with(&sesame, &["unlock", "--password-stdin"], PASSWORD).code, 0);
    assert_eq!(home.succeed(&["secret", "get", "x"]), "value\n");
    home.succeed(&["audit", "verify"]);
    let stopped = one_object(home.succeed(&["down", "--json"]).as_bytes());
    assert_eq!(stopped, json!({ "stopped": ["daemon-secrets", "daemon-audit"] }));
}

#[test]
fn a_session_that_cannot_go_up_says_why_in_the_daemon_s_words() {
    let home = Home::new();
    // The program alone, without the daemons beside it.
    let alone = tempfile::Builder::new().prefix("alone-").tempdir_in("/tmp").expect("a directory");
    fs::set_permissions(alone.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let program = alone.path().join("sesame");
    fs::copy(binary("sesame"), &program).expect("copy");
    let missing = home.with(&program, &["up"], "");
    assert_eq!(missing.code, 3);
    let expected = format!("sesame: there is no daemon-audit beside {}\n", program.display());
    assert_eq!(missing.error(), expected);

    // A daemon that ends at once: its own words are passed on.
    let script = "#!/bin/sh\necho 'sesame: the state is on fire' >&2\nexit 9\n";
    fs::write(alone.path().join("daemon-audit"), script).expect("write");
    fs::set_permissions(alone.path().join("daemon-audit"), fs::Permissions::from_mode(0o755))
        .expect("chmod");
    let broken = home.with(&program, &["up"], "");
    assert_eq!(broken.code, 3);
    assert!(broken.error().contains("the state is on fire"), "{}", broken.error());
    assert!(broken.error().contains("exit status: 9"), "{}", broken.error());

    // A real one, whose key was damaged.
    home.succeed(&["up"]);
    home.succeed(&["down"]);
    let key = home.place.path().join("state/sesame/secrets/noise.key");
    fs::write(&key, b"short").expect("write");
    let damaged = home.sesame(&["up"]);
    assert_eq!(damaged.code, 3, "{}", damaged.error());
    assert!(damaged.error().contains("daemon-secrets did not start"), "{}", damaged.error());
    assert!(damaged.error().contains("noise.key"), "{}", damaged.error());
    assert_eq!(fs::read(&key).expect("the key"), b"short", "and it is not replaced");
    home.succeed(&["down"]);

    let config = home.place.path().join("config/sesame/config.toml");
    fs::write(&config, "[unlock]\nfree_atempts = 3\n").expect("write");
    let typo = home.sesame(&["up"]);
    assert_eq!(typo.code, 20);
    assert!(typo.error().contains("free_attempts"), "the nearest one: {}", typo.error());
}
