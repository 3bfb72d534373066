use std::fs;
use std::time::Duration;

use super::*;
use crate::algorithms::{CryptoProfile, Kdf, NoiseCipher};

/// A session's four layers, in a directory: system file, user file, command line, policy.
struct Layers {
    dir: tempfile::TempDir,
    overrides: Vec<(&'static str, String)>,
}

impl Layers {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), overrides: Vec::new() }
    }

    fn file(self, name: &str, content: &str) -> Self {
        crate::durable::write_atomically(&self.dir.path().join(name), content.as_bytes(), 0o644)
            .unwrap();
        self
    }

    fn system(self, content: &str) -> Self {
        self.file("system.toml", content)
    }

    fn user(self, content: &str) -> Self {
        self.file("user.toml", content)
    }

    fn option(mut self, key: &'static str, value: &str) -> Self {
        self.overrides.push((key, value.to_owned()));
        self
    }

    fn policy(self, entries: &[(&str, &str)]) -> Self {
        let content: String = entries
            .iter()
            .map(|(key, value)| {
                format!("[[policy]]\nkey = \"{key}\"\nvalue = {value}\nsource = \"the board\"\n")
            })
            .collect();
        self.file("policy.toml", &content)
    }

    fn load(&self) -> Result<(Settings, Vec<Effective>), ConfigError> {
        let (system, user) =
            (self.dir.path().join("system.toml"), self.dir.path().join("user.toml"));
        let sources = Sources {
            configs: vec![&system, &user],
            policy: &self.dir.path().join("policy.toml"),
            policy_owner: Owner::OfDirectory,
        };
        let ((settings, _, effective), _) =
            load_sources(&sources, LayoutKind::Session, &self.overrides)?;
        Ok((settings, effective))
    }

    fn settings(&self) -> Settings {
        self.load().unwrap().0
    }

    fn origin(&self, key: Key) -> String {
        let origin = self.load().unwrap().1[key as usize].origin.to_string();
        origin.rsplit('/').next().unwrap().to_owned()
    }

    fn contradiction(&self) -> Contradiction {
        match self.load() {
            Err(ConfigError::Contradiction(contradiction)) => *contradiction,
            other => panic!("not a contradiction: {other:?}"),
        }
    }
}

const NIST: &str = "\"governance-compatible\"";

#[test]
fn without_files_the_defaults_hold() {
    let layers = Layers::new();
    assert_eq!(layers.settings(), Settings::defaults(LayoutKind::Session));
    assert_eq!(layers.origin(Key::CryptoKdf), "default");
}

#[test]
fn each_layer_beats_the_one_below() {
    let layers = Layers::new();
    let layers = layers.system("[unlock]\nfree_attempts = 3\nauto_lock_seconds = 60\n");
    assert_eq!(layers.settings().unlock.free_attempts, 3);
    let layers = layers.user("# mine\n[unlock]\nfree_attempts = 4\n");
    assert_eq!(layers.settings().unlock.free_attempts, 4);
    assert_eq!(layers.origin(Key::UnlockFreeAttempts), "user.toml:3");
    assert_eq!(layers.origin(Key::UnlockAutoLockSeconds), "system.toml:3");
    let layers = layers.option("unlock.free_attempts", "5");
    assert_eq!(layers.settings().unlock.free_attempts, 5);
    assert_eq!(layers.origin(Key::UnlockFreeAttempts), "command line");
}

/// The predecessor parsed policy.toml at the lowest priority and never read it.
#[test]
fn the_policy_beats_every_layer() {
    let policy = [("unlock.free_attempts", "0"), ("memory.protection", "\"require\"")];
    let layers = Layers::new().policy(&policy);
    assert_eq!(layers.settings().unlock.free_attempts, 0);
    assert_eq!(layers.settings().memory.protection, secret_memory::Policy::Require);
    assert_eq!(layers.origin(Key::MemoryProtection), "policy (the board)");

    let agreeing = layers
        .system("[unlock]\nfree_attempts = 0\n")
        .user("[unlock]\nfree_attempts = 0\n")
        .option("unlock.free_attempts", "0");
    assert_eq!(agreeing.settings().unlock.free_attempts, 0);
    assert_eq!(agreeing.origin(Key::UnlockFreeAttempts), "policy (the board)");
}

#[test]
fn a_layer_that_differs_from_the_policy_is_an_error() {
    let policy = [("unlock.free_attempts", "0")];
    let setting = "[unlock]\nfree_attempts = 7\n";
    let locked = || Layers::new().policy(&policy);
    for (layers, origin) in [
        (locked().system(setting), "system.toml:2"),
        (locked().user(setting), "user.toml:2"),
        (locked().option("unlock.free_attempts", "7"), "command line"),
        // Also where a stronger layer says the right thing.
        (locked().system(setting).user("[unlock]\nfree_attempts = 0\n"), "system.toml:2"),
        (locked().user(setting).option("unlock.free_attempts", "0"), "user.toml:2"),
    ] {
        let found = layers.contradiction();
        assert_eq!((found.key, found.configured), (Key::UnlockFreeAttempts, Value::Integer(7)));
        assert_eq!((found.locked, found.source.as_str()), (Value::Integer(0), "the board"));
        assert!(found.origin.to_string().ends_with(origin), "{found}");
    }
}

#[test]
fn a_profile_picks_five_and_each_can_be_overridden() {
    let layers = Layers::new().user(&format!("[crypto]\nprofile = {NIST}\nkdf = \"argon2id\"\n"));
    let crypto = layers.settings().crypto;
    assert_eq!(crypto.profile, CryptoProfile::GovernanceCompatible);
    assert_eq!(crypto.kdf, Kdf::Argon2id);
    assert_eq!(crypto.noise_cipher, NoiseCipher::AesGcm);
    assert_eq!(crypto.peer_profile(), PeerProfile::GovernanceCompatible);
    assert_eq!(layers.origin(Key::CryptoHkdf), "user.toml:2");
    assert_eq!(layers.origin(Key::CryptoKdf), "user.toml:3");
}

#[test]
fn a_policy_on_the_profile_locks_all_five() {
    let locked = || Layers::new().policy(&[("crypto.profile", NIST)]);
    let crypto = locked().settings().crypto;
    let all = CryptoProfile::GovernanceCompatible;
    assert_eq!(
        (crypto.kdf, crypto.hkdf, crypto.audit_hash),
        (all.kdf(), all.hkdf(), all.audit_hash())
    );
    assert_eq!((crypto.noise_cipher, crypto.noise_hash), (all.noise_cipher(), all.noise_hash()));

    for key in crate::keys::PROFILE_PICKS {
        let name = key.spec().name;
        let wrong = key.picked_by(CryptoProfile::LeadingEdge).unwrap();
        let right = key.picked_by(all).unwrap();
        let found = locked().user(&format!("[crypto]\n{name} = {wrong}\n")).contradiction();
        assert_eq!((found.key, found.locked_by), (key, Key::CryptoProfile));
        assert_eq!((found.configured, found.locked), (wrong, right));
        locked().user(&format!("[crypto]\n{name} = {right}\n")).load().unwrap();
    }
}

#[test]
fn a_profile_that_was_chosen_must_agree_with_a_policy_on_what_it_picks() {
    let locked = || Layers::new().policy(&[("crypto.kdf", "\"pbkdf2-sha256\"")]);
    assert_eq!(locked().settings().crypto.kdf, Kdf::Pbkdf2Sha256, "the default gives way");
    let profile = "[crypto]\nprofile = \"leading-edge\"\n";
    let found = locked().user(profile).contradiction();
    assert_eq!((found.key, found.configured_by), (Key::CryptoKdf, Key::CryptoProfile));
    let agreeing = locked().user(&format!("{profile}kdf = \"pbkdf2-sha256\"\n"));
    assert_eq!(agreeing.settings().crypto.kdf, Kdf::Pbkdf2Sha256);
}

#[test]
fn a_policy_that_contradicts_itself_is_refused() {
    let layers = Layers::new().policy(&[("crypto.kdf", "\"argon2id\""), ("crypto.profile", NIST)]);
    assert!(matches!(layers.load(), Err(ConfigError::PolicyConflict(_))));
    let layers =
        Layers::new().policy(&[("crypto.kdf", "\"pbkdf2-sha256\""), ("crypto.profile", NIST)]);
    assert_eq!(layers.settings().crypto.kdf, Kdf::Pbkdf2Sha256);
}

#[test]
fn our_own_pair_must_reach_the_minimum() {
    let minimum = |profile: &str, rest: &str| {
        let content = format!("[crypto]\nminimum_peer_profile = \"{profile}\"\n{rest}");
        Layers::new().user(&content).load().map(drop)
    };
    let mix = "noise_cipher = \"aesgcm\"\n";
    let nist = "profile = \"governance-compatible\"\n";
    assert!(minimum("leading-edge", "").is_ok());
    assert!(minimum("governance-compatible", "").is_ok());
    assert!(minimum("governance-compatible", nist).is_ok());
    assert!(minimum("custom", mix).is_ok());
    for (profile, rest) in
        [("leading-edge", nist), ("governance-compatible", mix), ("leading-edge", mix)]
    {
        let error = minimum(profile, rest).unwrap_err();
        assert!(matches!(error, ConfigError::BelowMinimum { .. }), "{error}");
    }
    // The policy's minimum binds a user who chose below it.
    let layers = Layers::new()
        .policy(&[("crypto.minimum_peer_profile", "\"leading-edge\"")])
        .user(&format!("[crypto]\n{nist}"));
    let error = layers.load().unwrap_err();
    assert!(error.to_string().contains("policy (the board)"), "{error}");
}

#[test]
fn the_longest_delay_is_no_shorter_than_the_first() {
    let unlock = |text: &str| Layers::new().user(&format!("[unlock]\n{text}")).load().map(drop);
    assert!(unlock("backoff_base_seconds = 60\nbackoff_max_seconds = 60\n").is_ok());
    let error = unlock("backoff_base_seconds = 60\nbackoff_max_seconds = 59\n").unwrap_err();
    assert!(matches!(error, ConfigError::BackoffOrder(_)), "{error}");
}

#[test]
fn the_unlock_policy_is_the_three_settings_of_whatever_layer() {
    let mut layers = Layers::new();
    assert_eq!(layers.settings().auth.policy.to_string(), "any one factor");
    assert_eq!(layers.settings().unlock.deadline, Duration::from_secs(300));

    layers = layers.system("[auth]\nmode = \"policy\"\n[auth.policy]\nrequired = [\"password\"]\n");
    assert_eq!(layers.settings().auth.policy.to_string(), "password");
    assert_eq!(layers.origin(Key::AuthPolicyRequired), "system.toml:4");
    layers = layers.user("auth.policy.additional_required = 1\nunlock.deadline_seconds = 60\n");
    assert_eq!(layers.settings().auth.policy.to_string(), "password, and 1 of the others");
    assert_eq!(layers.settings().unlock.deadline, Duration::from_secs(60));
    layers = layers.option("auth.policy.required", "tpm, password");
    assert_eq!(layers.settings().auth.policy.to_string(), "password and tpm, and 1 of the others");
    assert_eq!(layers.origin(Key::AuthPolicyRequired), "command line");
}

#[test]
fn the_policy_locks_a_set_as_a_whole() {
    let policy = [("auth.mode", "\"policy\""), ("auth.policy.required", "[\"tpm\", \"password\"]")];
    let locked = || Layers::new().policy(&policy);
    assert_eq!(locked().settings().auth.policy.to_string(), "password and tpm");
    locked().option("auth.policy.required", "password,tpm").load().unwrap();
    for other in ["password", "", "password,tpm,share"] {
        let found = locked().option("auth.policy.required", other).contradiction();
        assert_eq!(found.key, Key::AuthPolicyRequired, "{found}");
        assert_eq!(found.locked.to_string(), "[\"password\", \"tpm\"]");
    }
    assert_eq!(locked().option("auth.mode", "any").contradiction().key, Key::AuthMode);
}

#[test]
fn settings_of_the_unlock_policy_that_mean_nothing_are_an_error_in_any_layer() {
    let required = "[auth.policy]\nrequired = [\"tpm\"]\n";
    let refused = |layers: Layers| match layers.load() {
        Err(ConfigError::UnlockPolicy { error, .. }) => error,
        other => panic!("not refused: {other:?}"),
    };
    let alone = [
        Layers::new().system(required),
        Layers::new().user(required),
        Layers::new().option("auth.policy.required", "tpm"),
        Layers::new().policy(&[("auth.policy.required", "[\"tpm\"]")]),
        Layers::new()
            .system(&format!("auth.mode = \"policy\"\n{required}"))
            .option("auth.mode", "all"),
    ];
    for layers in alone {
        let error = refused(layers);
        assert!(matches!(error, UnlockPolicyError::RequiredMeansNothing { .. }), "{error}");
    }
    let error = refused(Layers::new().user("auth.policy.additional_required = 1\n"));
    assert!(matches!(error, UnlockPolicyError::AdditionalMeansNothing { .. }), "{error}");
    let error = refused(Layers::new().policy(&[("auth.mode", "\"policy\"")]));
    assert_eq!(error, UnlockPolicyError::AsksForNothing);
}

#[test]
fn ranges_include_their_ends_and_no_more() {
    for key in Key::all() {
        let crate::keys::Kind::Integer { min, max } = key.spec().kind else { continue };
        let set = |number: u64| {
            // The longest delay must not come in the way of the first.
            let options = Layers::new().option("unlock.backoff_max_seconds", "86400");
            let options = if key == Key::UnlockBackoffMaxSeconds { Layers::new() } else { options };
            // Others are counted in one mode only, which must ask for something.
            let options = if key == Key::AuthPolicyAdditionalRequired {
                options.option("auth.mode", "policy").option("auth.policy.required", "tpm")
            } else {
                options
            };
            let crate::keys::Spec { section, name, .. } = key.spec();
            options.user(&format!("[{section}]\n{name} = {number}\n")).load()
        };
        for good in [min, max] {
            assert!(set(good).is_ok(), "{key} = {good}");
        }
        assert!(matches!(set(max + 1), Err(ConfigError::WrongValue { .. })), "{key}");
        if let Some(less) = min.checked_sub(1) {
            assert!(matches!(set(less), Err(ConfigError::WrongValue { .. })), "{key}");
        }
    }
}

#[test]
fn auto_lock_of_zero_is_never() {
    let layers = Layers::new().user("[unlock]\nauto_lock_seconds = 0\n");
    assert_eq!(layers.settings().unlock.auto_lock, None);
}

#[test]
fn an_absent_policy_is_none_and_an_unreadable_one_an_error() {
    let layers = Layers::new();
    layers.load().unwrap();
    let policy = layers.dir.path().join("policy.toml");
    fs::create_dir(&policy).unwrap();
    assert!(matches!(layers.load(), Err(ConfigError::File(FileError::NotAFile { .. }))));
    fs::remove_dir(&policy).unwrap();
    std::os::unix::fs::symlink("/nowhere", &policy).unwrap();
    assert!(matches!(layers.load(), Err(ConfigError::File(FileError::Dangling { .. }))));
}

#[test]
fn a_policy_that_others_can_write_is_refused() {
    let layers = Layers::new().policy(&[("unlock.free_attempts", "0")]);
    let path = layers.dir.path().join("policy.toml");
    let bytes = fs::read(&path).unwrap();
    for mode in [0o664, 0o646, 0o666] {
        crate::durable::write_atomically(&path, &bytes, mode).unwrap();
        let error = layers.load().unwrap_err();
        assert!(matches!(error, ConfigError::File(FileError::Untrusted { .. })), "{error}");
    }
}

#[test]
fn a_system_trusts_its_policy_to_root_alone() {
    let system = Layout::system(&crate::Environment::default());
    assert_eq!(Sources::of(&system).policy_owner, Owner::Root);
    let environment = crate::Environment {
        home: Some("/h".into()),
        runtime_dir: Some("/r".into()),
        ..Default::default()
    };
    let session = Layout::session(&environment).unwrap();
    let sources = Sources::of(&session);
    assert_eq!(sources.policy_owner, Owner::Root);
    assert_eq!(sources.policy, Path::new("/etc/pds/policy.toml"));
    let config = Path::new("/h/.config/sesame/config.toml");
    assert_eq!(sources.configs, [Path::new("/etc/pds/config.toml"), config]);
}
