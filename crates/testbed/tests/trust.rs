//! A peer is its key and its uid, and its role decides the rest (fault 2 and 5 of the predecessor).

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use audit_log::{Operation, Outcome};
use ipc::audit::{AuditReply, AuditRequest, Record};
use ipc::client::Expected;
use ipc::factors::{Cause, Source};
use ipc::secrets::{BindTo, Purpose, SecretsReply, SecretsRequest};
use ipc::session::RESPONSE_BYTES;
use ipc::{Client, ClientError, FaultKind, Identity, Suite, codec};
use site_config::{AuthMode, Daemon, Role};
use testbed::wire::{Raw, rest_of};
use testbed::{Host, Users, ask, factors, is_root_or_skip};

const BOTH: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];

/// Between two refusals that are recorded on their own.
const REFUSALS_ARE_COALESCED_FOR: Duration = Duration::from_millis(1050);

/// Says hello with a key from a uid; returns every byte that came back, and the pid that tried.
fn bytes_for(host: &Host, daemon: Daemon, uid: u32, identity: &Identity) -> (Vec<u8>, u32) {
    let mut foreign = host.streams_of(uid, daemon, 1);
    let (_, hello) = host.hello(daemon, identity, Suite::ALL[0]);
    let stream = &mut foreign.streams[0];
    stream.write_all(&hello).unwrap();
    let bytes = rest_of(stream).expect("the daemon closes the connection");
    std::thread::sleep(REFUSALS_ARE_COALESCED_FOR);
    (bytes, foreign.pid)
}

/// The uid, pid, key and reason of the newest refusal; the daemon writes it after it closed.
#[track_caller]
fn newest_refusal(host: &Host) -> (u32, u32, Option<[u8; 32]>, String) {
    let refusals = host.refusals();
    let entry = refusals.last().expect("a refusal in the trail");
    let actor = entry.actor.as_ref().expect("an actor");
    (actor.uid, actor.pid, actor.key.map(|key| key.0), entry.detail["reason"].clone())
}

#[test]
fn an_unknown_key_gets_not_one_byte_from_any_uid_and_is_recorded() {
    if !is_root_or_skip("other uids") {
        return;
    }
    let host = Host::unlocked();
    let stranger = Identity::generate().unwrap();
    for daemon in BOTH {
        for uid in [0, host.users.operator, host.users.secrets, host.users.stranger] {
            let (bytes, pid) = bytes_for(&host, daemon, uid, &stranger);
            assert_eq!(bytes, b"", "{daemon:?} answered uid {uid}");
            let reason = "unknown key".to_owned();
            assert_eq!(newest_refusal(&host), (uid, pid, Some(*stranger.public()), reason));
        }
    }
    assert_eq!(host.refusals().len(), 8);
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn a_known_key_from_another_uid_gets_nothing_and_is_recorded() {
    if !is_root_or_skip("other uids") {
        return;
    }
    let host = Host::unlocked();
    let operator = Identity::load(host.layout.operator_key().unwrap()).unwrap();
    for daemon in BOTH {
        for uid in [0, host.users.secrets, host.users.stranger] {
            let (bytes, pid) = bytes_for(&host, daemon, uid, &operator);
            assert_eq!(bytes, b"", "{daemon:?} answered uid {uid}");
            let reason = "key of another uid".to_owned();
            assert_eq!(newest_refusal(&host), (uid, pid, Some(*operator.public()), reason));
        }
    }
    // The key of daemon-secrets opens the trail for writing; it is worth nothing elsewhere.
    let secrets = Identity::load(&host.layout.daemon_key(Daemon::Secrets)).unwrap();
    let (bytes, _) = bytes_for(&host, Daemon::Audit, 0, &secrets);
    assert_eq!(bytes, b"");
}

#[test]
fn the_command_says_that_the_key_was_refused() {
    if !is_root_or_skip("other uids") {
        return;
    }
    let host = Host::unlocked();
    let stranger = Identity::generate().unwrap();
    fs::write(host.layout.operator_key().unwrap(), stranger.private().expose()).unwrap();
    let said = host.sesame(["secret", "list"]).fail(4);
    assert!(said.contains("refused this connection") && said.contains("sesame peer add"), "{said}");
}

#[test]
fn a_flood_of_refusals_becomes_few_entries_and_a_count() {
    let host = Host::unlocked();
    let stranger = Identity::generate().unwrap();
    let attempts = 400;
    for _ in 0..attempts {
        let error = host.connect_as(Daemon::Secrets, &stranger, Suite::ALL[0]).err();
        assert!(matches!(error, Some(ClientError::Refused)), "{error:?}");
    }
    // The count goes into the trail though nobody is refused any more.
    std::thread::sleep(Duration::from_millis(2500));
    let refusals = host.refusals();
    let unrecorded = refusals.iter().filter_map(|entry| entry.detail.get("unrecorded"));
    let unrecorded: usize = unrecorded.map(|count| count.parse::<usize>().unwrap()).sum();
    assert!(refusals.len() < 20, "{} entries", refusals.len());
    assert!(refusals.iter().all(|entry| entry.detail["reason"] == "unknown key"));
    assert_eq!(refusals.len() + unrecorded, attempts, "{refusals:#?}");
}

#[test]
fn an_operator_can_put_nothing_into_the_trail_and_the_attempt_is_recorded() {
    let host = Host::unlocked();
    let mut client = host.connect(Daemon::Audit).unwrap();
    let record = Record::new(Operation::SecretGet, Outcome::Authorised);
    let genesis = AuditRequest::Genesis {
        installation: Default::default(),
        org: None,
        machine_binding: None,
    };
    let before = host.entries().len();
    for (request, name) in
        [(AuditRequest::Append(record), "AuditAppend"), (genesis, "AuditGenesis")]
    {
        let reply = client.call(&request).unwrap();
        let AuditReply::Fault(fault) = codec::decode(reply.expose()).unwrap() else {
            panic!("{name} was done")
        };
        assert_eq!(fault.kind, FaultKind::NotCleared);
        let last = host.refusals().pop().unwrap();
        assert_eq!(last.detail["reason"], "no clearance");
        assert_eq!(last.detail["request"], name);
        assert_eq!(last.actor.unwrap().name.as_deref(), Some("tester"));
    }
    assert_eq!(host.entries().len(), before + 2, "the two refusals and nothing else");
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn an_auditor_may_look_and_lock_and_nothing_else() {
    let mut host = Host::builder().provision();
    let auditor = Identity::generate().unwrap();
    let own = nix::unistd::Uid::effective().as_raw();
    host.add_peer("auditor", Role::Auditor, own, *auditor.public());
    host.start();
    host.init();
    host.unlock();
    host.sesame(["secret", "set", "a"]).stdin("hunter2").succeed();
    let mut client = host.connect_as(Daemon::Secrets, &auditor, Suite::ALL[0]).unwrap();
    let (profile, password) = (Some("default"), testbed::PASSWORD);
    let source = Source::Profile(None);
    let factor = || factors::password("mallory", "another password");
    let forbidden = [
        SecretsRequest::SecretGet { profile: None, name: "a", purpose: Purpose::Read },
        SecretsRequest::SecretGet { profile, name: "a", purpose: Purpose::Run },
        SecretsRequest::SecretSet { profile: None, name: "a", value: b"x", only_new: false },
        SecretsRequest::SecretList { profile: None, after: None },
        SecretsRequest::SecretDelete { profile: None, name: "a" },
        SecretsRequest::FactorList { source },
        SecretsRequest::FactorSubmit {
            source,
            cause: Cause::Unlock,
            factors: vec![1],
            evidence: password.as_bytes(),
            passphrase: None,
        },
        SecretsRequest::FactorCancel { source },
        SecretsRequest::FactorTest {
            profile: None,
            factors: vec![1],
            evidence: password.as_bytes(),
        },
        SecretsRequest::FactorEnroll { profile: None, factor: factor() },
        SecretsRequest::FactorRevoke { profile: None, factor: 1 },
        SecretsRequest::FactorRename { profile: None, factor: 1, label: "x" },
        SecretsRequest::FactorPolicy { profile: None, policy: factors::mode(AuthMode::Any) },
        SecretsRequest::ShareSplit {
            profile: None,
            label: "x",
            threshold: 2,
            shares: 3,
            passphrases: vec![],
        },
        SecretsRequest::ShareVerify { profile: None, share: b"x", passphrase: None },
        SecretsRequest::KeyRotate { profile: None },
        SecretsRequest::VaultBackup { profile: None, offset: 0 },
        SecretsRequest::VaultRestoreWrite { profile: "x", offset: 0, bytes: b"x" },
        SecretsRequest::VaultRestore { profile: "x" },
        SecretsRequest::Wipe { installation: Default::default() },
        SecretsRequest::ProfileCreate { profile: "x", factors: vec![factor()] },
        SecretsRequest::ProfileDefault { profile: "default" },
        SecretsRequest::ProfileActivate { profile: "default" },
        SecretsRequest::ProfileDeactivate { profile: "default" },
        SecretsRequest::Init {
            org: None,
            binding: BindTo::Nothing,
            profile: "x",
            factors: vec![factor()],
        },
    ];
    for request in &forbidden {
        let refused = ask::ask(&mut client, request, |_| Some(())).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::NotCleared), "{:?}", request.operation());
        let last = host.refusals().pop().unwrap();
        assert_eq!(last.detail["request"], format!("{:?}", request.operation()));
    }
    assert_eq!(host.refusals().len(), forbidden.len());
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "hunter2");
    ask::status(&mut client).unwrap();
    ask::done(&mut client, &SecretsRequest::Lock { profile: None }).unwrap();
    host.sesame(["secret", "get", "a"]).fail(5);
}

/// An impostor has the place of the socket, and not the key or not the uid.
#[test]
fn a_client_gives_an_impostor_nothing() {
    if !is_root_or_skip("an impostor is another user") {
        return;
    }
    let mut host = Host::unlocked();
    let timeout = Duration::from_secs(10);
    let socket = host.layout.socket(Daemon::Secrets);
    let Expected { key, uid } = host.expected(Daemon::Secrets);
    let wrong_uid = Expected { key, uid: host.users.stranger };
    let error = Client::connect(&socket, Suite::ALL[0], &host.tester, &wrong_uid, timeout).err();
    assert!(matches!(error, Some(ClientError::WrongServer { .. })), "{error:?}");
    let wrong_key = Expected { key: *Identity::generate().unwrap().public(), uid };
    let error = Client::connect(&socket, Suite::ALL[0], &host.tester, &wrong_key, timeout).err();
    assert!(matches!(error, Some(ClientError::Refused)), "{error:?}");

    // The command, too, and before it has said a word.
    host.kill(Daemon::Secrets);
    fs::remove_file(&socket).unwrap();
    let impostor = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let listening = std::thread::spawn(move || rest_of(&mut impostor.accept().unwrap().0));
    let said = host.sesame(["unlock", "--password-stdin"]).stdin(testbed::PASSWORD).fail(4);
    assert!(said.contains("is served by uid 0, and should be by uid"), "{said}");
    assert_eq!(listening.join().unwrap().unwrap(), b"");
}

#[test]
fn every_pair_of_noise_algorithms_works_when_it_is_configured() {
    for cipher in ["chachapoly", "aesgcm"] {
        for hash in ["blake2s", "sha256"] {
            let config =
                format!("[crypto]\nnoise_cipher = \"{cipher}\"\nnoise_hash = \"{hash}\"\n");
            let mut host = Host::builder().config(&config).provision();
            host.start();
            host.init();
            host.unlock();
            host.sesame(["secret", "set", "a"]).stdin("b").succeed();
            assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "b");
            host.sesame(["audit", "verify"]).succeed();
        }
    }
}

#[test]
fn a_suite_below_the_minimum_is_refused_and_recorded() {
    let config = "[crypto]\nminimum_peer_profile = \"leading-edge\"\n";
    let mut host = Host::builder().config(config).provision();
    host.start();
    host.init();
    for suite in Suite::ALL {
        let connected = host.connect_as(Daemon::Secrets, &host.tester, suite);
        let strong = suite.noise_name() == "Noise_IK_25519_ChaChaPoly_BLAKE2s";
        assert_eq!(connected.is_ok(), strong, "{}", suite.noise_name());
        if !strong {
            assert!(matches!(connected.err(), Some(ClientError::Refused)));
            std::thread::sleep(REFUSALS_ARE_COALESCED_FOR);
            let reason = host.refusals().pop().unwrap().detail["reason"].clone();
            assert_eq!(reason, "cipher suite below crypto.minimum_peer_profile");
        }
    }
}

#[test]
fn the_governance_compatible_profile_holds_from_end_to_end() {
    let config = "[crypto]\nprofile = \"governance-compatible\"\n\
                  minimum_peer_profile = \"governance-compatible\"\n";
    let mut host = Host::builder().config(config).provision();
    host.start();
    host.init();
    host.unlock();
    host.sesame(["secret", "set", "a"]).stdin("b").succeed();
    host.stop();
    host.start();
    host.sesame(["unlock", "--password-stdin"]).stdin("not the password").fail(6);
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "b");
    host.sesame(["audit", "verify"]).succeed();
    let genesis = &host.trail_lines()[0];
    assert!(genesis.contains("sha256") && !genesis.contains("blake3"), "{genesis}");
    let unlock = host.layout.secrets_state().join("installation/profiles/default/unlock.json");
    let unlock = fs::read_to_string(unlock).unwrap();
    assert!(unlock.contains("pbkdf2-sha256") && unlock.contains("hkdf-sha256"), "{unlock}");
    assert!(!unlock.contains("argon2") && !unlock.contains("blake3"), "{unlock}");
    // What was made with these algorithms goes on with them under another configuration.
    host.stop();
    fs::write(host.layout.config_file(), "").unwrap();
    host.start();
    host.unlock();
    assert_eq!(host.sesame(["secret", "get", "a"]).succeed(), "b");
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn a_replayed_hello_and_a_replayed_frame_get_nothing_done() {
    let host = Host::unlocked();
    let own = Users::only_me().operator;
    let hello = || host.hello(Daemon::Secrets, &host.tester, Suite::ALL[0]);
    let stream = || host.stream_of(own, Daemon::Secrets);

    let (initiator, hello_bytes) = hello();
    let mut raw = Raw::establish(stream(), (initiator, hello_bytes.clone())).unwrap();
    let request =
        SecretsRequest::SecretSet { profile: None, name: "a", value: b"1", only_new: false };
    let frame = raw.seal(codec::encode(&request).unwrap().expose());
    raw.stream.write_all(&frame).unwrap();
    let reply = raw.receive().unwrap();
    assert!(matches!(codec::decode(reply.expose()), Ok(SecretsReply::Written { .. })));
    let writes = || host.entries_of(Operation::SecretSet, Outcome::Authorised).len();
    assert_eq!(writes(), 1);

    raw.stream.write_all(&frame).unwrap();
    assert_eq!(rest_of(&mut raw.stream).unwrap(), b"", "the same frame again");

    // Whoever recorded the whole connection: the daemon's half of the keys is fresh.
    let mut replay = stream();
    replay.write_all(&hello_bytes).unwrap();
    let mut response = [0; RESPONSE_BYTES];
    replay.read_exact(&mut response).unwrap();
    replay.write_all(&frame).unwrap();
    assert_eq!(rest_of(&mut replay).unwrap(), b"", "the same connection again");
    assert_eq!(writes(), 1);
}

/// A key that was lost is an error for a person, never a new key.
#[test]
fn a_missing_or_replaced_key_stops_the_daemon_and_nothing_is_made() {
    let mut host = Host::unlocked();
    host.stop();
    for daemon in BOTH {
        let path = host.layout.daemon_key(daemon);
        let key = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let said = host.try_start(daemon).unwrap_err();
        assert!(said.starts_with("78:") && said.contains("cannot read the key"), "{said}");
        assert!(!path.exists(), "a key was made");

        let other = Identity::generate().unwrap();
        fs::write(&path, other.private().expose()).unwrap();
        let owner = host.expected(daemon).uid;
        std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
        let said = host.try_start(daemon).unwrap_err();
        assert!(said.starts_with("78:") && said.contains("not the one that peers.toml"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), other.private().expose(), "the key was changed");

        fs::write(&path, &key[..31]).unwrap();
        let said = host.try_start(daemon).unwrap_err();
        assert!(said.starts_with("78:") && said.contains("32 bytes"), "{said}");
        fs::write(&path, key).unwrap();
        if daemon == Daemon::Audit {
            host.try_start(daemon).unwrap();
        }
    }
    host.try_start(Daemon::Secrets).unwrap();
    host.unlock();
}

/// `sesame up` provisions once, and never repairs a provisioned directory by replacing keys.
#[test]
fn up_makes_no_key_where_peers_toml_is() {
    let mut host = Host::builder().users(Users::only_me()).provision();
    for missing in BOTH {
        let path = host.layout.daemon_key(missing);
        let key = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let said = host.sesame(["up"]).fail(3);
        assert!(said.contains("cannot read the key"), "{said}");
        assert!(!path.exists(), "a key was made");
        host.sesame(["down"]).succeed();
        fs::write(&path, key).unwrap();
    }
    host.sesame(["up"]).succeed();
    host.sesame(["down"]).succeed();
    host.stop();
}
