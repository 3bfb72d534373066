//! The factor with the ssh-agent, ssh-add and ssh-keygen of OpenSSH.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use key_hierarchy::parameters::SshAgentParameters;
use site_config::FactorKind;
use tempfile::TempDir;
use unlock_factors::Environment;
use unlock_factors::ssh_agent::{Agent, AgentKey, SshAgentError, UnusableKey};

const ED25519: &[&str] = &["-t", "ed25519"];
const RSA_2048: &[&str] = &["-t", "rsa", "-b", "2048", "-m", "PEM"];
const RSA_3072: &[&str] = &["-t", "rsa", "-b", "3072"];
const ECDSA: &[&str] = &["-t", "ecdsa"];

#[test]
fn every_agent_that_holds_the_key_gives_the_same_evidence() {
    let Some(room) = Room::or_skip() else { return };
    for (kind, bytes) in [(ED25519, 64), (RSA_2048, 256), (RSA_3072, 384)] {
        let key = room.key(kind);
        let (first, second) = (room.agent(), room.agent());
        first.add(&key);
        let (parameters, evidence) = first.agent().enroll(&first.only_key()).unwrap();
        assert_eq!(evidence.len(), bytes, "{kind:?}");
        assert_eq!(first.agent().evidence(&parameters).unwrap().expose(), evidence.expose());

        second.add(&key);
        assert_eq!(second.agent().evidence(&parameters).unwrap().expose(), evidence.expose());
    }
}

#[test]
fn another_challenge_or_another_key_gives_other_evidence() {
    let Some(room) = Room::or_skip() else { return };
    for kind in [ED25519, RSA_2048] {
        let agent = room.agent();
        agent.add(&room.key(kind));
        let (parameters, evidence) = agent.agent().enroll(&agent.only_key()).unwrap();
        let (again, evidence_again) = agent.agent().enroll(&agent.only_key()).unwrap();
        assert_ne!(parameters.challenge, again.challenge);
        assert_ne!(evidence.expose(), evidence_again.expose());

        agent.add(&room.key(kind));
        let other = agent.agent().keys().unwrap().remove(1);
        let other = SshAgentParameters { public_key: other.public_key, ..parameters };
        assert_ne!(agent.agent().evidence(&other).unwrap().expose(), evidence.expose());
    }
}

/// What is signed, and that it is a plain Ed25519 signature, as an implementation of its own has it.
#[test]
fn the_evidence_is_the_ed25519_signature_over_domain_and_challenge() {
    let Some(room) = Room::or_skip() else { return };
    let (agent, key) = (room.agent(), room.key(ED25519));
    agent.add(&key);
    let (parameters, evidence) = agent.agent().enroll(&agent.only_key()).unwrap();
    let signing_key = SigningKey::from_bytes(&ed25519_seed(&key));
    let signed = [b"sesame ssh-agent factor v1", &parameters.challenge[..]].concat();
    assert_eq!(evidence.expose(), signing_key.sign(&signed).to_bytes());
}

#[test]
fn the_evidence_is_the_rsa_signature_that_openssl_makes() {
    let Some(room) = Room::or_skip() else { return };
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped, for there is no openssl: RSA signatures of another implementation");
        return;
    }
    let (agent, key) = (room.agent(), room.key(RSA_2048));
    agent.add(&key);
    let (parameters, evidence) = agent.agent().enroll(&agent.only_key()).unwrap();
    let signed = room.directory.path().join("signed");
    fs::write(&signed, [b"sesame ssh-agent factor v1", &parameters.challenge[..]].concat())
        .unwrap();
    let openssl = Command::new("openssl")
        .args(["dgst", "-sha512", "-sign"])
        .args([&key, &signed])
        .output()
        .unwrap();
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    assert_eq!(evidence.expose(), openssl.stdout);
}

#[test]
fn keys_are_shown_as_openssh_shows_them() {
    let Some(room) = Room::or_skip() else { return };
    let agent = room.agent();
    for kind in [ED25519, RSA_3072, ECDSA] {
        let key = room.key(kind);
        agent.add(&key);
        let listed = agent.agent().keys().unwrap().pop().unwrap();
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        assert_eq!(format!("{} {}", listed.public_key, listed.comment), public.trim_end());
        let shown = room.run("ssh-keygen", ["-l".as_ref(), "-f".as_ref(), key.as_os_str()]);
        assert_eq!(shown.split(' ').nth(1), Some(&*listed.fingerprint));
    }
}

#[test]
fn keys_that_cannot_be_a_factor_are_refused_with_the_reason() {
    let Some(room) = Room::or_skip() else { return };
    let agent = room.agent();
    agent.add(&room.key(ECDSA));
    agent.add(&room.key(&["-t", "rsa", "-b", "1024"]));
    let certified = room.key(ED25519);
    let authority = room.key(ED25519);
    let sign: [&OsStr; 6] = [
        "-s".as_ref(),
        authority.as_ref(),
        "-I".as_ref(),
        "me".as_ref(),
        "-q".as_ref(),
        certified.as_ref(),
    ];
    room.run("ssh-keygen", sign);
    agent.add(&certified);

    let keys = agent.agent().keys().unwrap();
    let reasons: Vec<_> = keys.iter().map(|key| key.unusable.clone()).collect();
    let expected = [
        Some(UnusableKey::Ecdsa),
        Some(UnusableKey::RsaSize { bits: 1024 }),
        None,
        Some(UnusableKey::Certificate),
    ];
    assert_eq!(reasons, expected);
    for key in keys {
        let enrolled = agent.agent().enroll(&key);
        match key.unusable {
            None => assert!(enrolled.is_ok()),
            Some(expected) => match enrolled.unwrap_err() {
                SshAgentError::Unusable { reason, fingerprint } => {
                    assert_eq!((reason, fingerprint), (expected, key.fingerprint));
                }
                other => panic!("{other}"),
            },
        }
    }
}

#[test]
fn a_key_that_was_removed_is_named_with_the_command_that_adds_it() {
    let Some(room) = Room::or_skip() else { return };
    let (agent, key) = (room.agent(), room.key(ED25519));
    agent.add(&key);
    let listed = agent.only_key();
    let (parameters, _) = agent.agent().enroll(&listed).unwrap();
    assert!(agent.agent().holds(&parameters).unwrap());

    agent.ssh_add(["-d".as_ref(), key.as_os_str()]);
    assert!(!agent.agent().holds(&parameters).unwrap());
    let error = agent.agent().evidence(&parameters).unwrap_err();
    assert!(matches!(error, SshAgentError::NoKeys { .. }), "{error}");

    agent.add(&room.key(ED25519));
    assert!(!agent.agent().holds(&parameters).unwrap());
    let error = agent.agent().evidence(&parameters).unwrap_err();
    assert!(matches!(error, SshAgentError::KeyMissing { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&listed.fingerprint) && text.contains("ssh-add"), "{text}");
}

#[test]
fn a_locked_agent_gives_nothing_until_it_is_unlocked() {
    let Some(room) = Room::or_skip() else { return };
    let agent = room.agent();
    agent.add(&room.key(ED25519));
    let (parameters, evidence) = agent.agent().enroll(&agent.only_key()).unwrap();

    agent.ssh_add(["-x"]);
    assert_eq!(agent.agent().keys().unwrap(), []);
    let error = agent.agent().evidence(&parameters).unwrap_err();
    assert!(matches!(error, SshAgentError::NoKeys { .. }), "{error}");
    assert!(error.to_string().contains("ssh-add -X"), "{error}");

    agent.ssh_add(["-X"]);
    assert_eq!(agent.agent().evidence(&parameters).unwrap().expose(), evidence.expose());
}

#[test]
fn an_owner_who_does_not_confirm_is_a_refusal() {
    let Some(room) = Room::or_skip() else { return };
    let (agent, key) = (room.agent(), room.key(ED25519));
    agent.ssh_add(["-c".as_ref(), key.as_os_str()]);
    let (parameters, evidence) = agent.agent().enroll(&agent.only_key()).unwrap();
    assert_eq!(agent.agent().evidence(&parameters).unwrap().expose(), evidence.expose());

    room.ask_pass("exit 1");
    let error = agent.agent().evidence(&parameters).unwrap_err();
    assert!(matches!(error, SshAgentError::Refused { .. }), "{error}");
}

#[test]
fn an_agent_that_dies_before_it_answers_is_an_error() {
    let Some(room) = Room::or_skip() else { return };
    let (mut agent, key) = (room.agent(), room.key(ED25519));
    agent.ssh_add(["-c".as_ref(), key.as_os_str()]);
    let client = agent.agent();
    let (parameters, _) = client.enroll(&agent.only_key()).unwrap();
    // The agent waits for this program to confirm.
    let asked = room.directory.path().join("asked");
    room.ask_pass(&format!("touch '{}'; sleep 2", asked.display()));
    let error = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.evidence(&parameters).unwrap_err());
        until(|| asked.exists());
        agent.kill();
        waiting.join().unwrap()
    });
    assert!(matches!(error, SshAgentError::Broken(_)), "{error}");

    // The program still has the agent's socket while it ends.
    until(|| Agent::connect(&agent.socket).is_err());
    let error = client.evidence(&parameters).unwrap_err();
    assert!(matches!(error, SshAgentError::NoAgent { .. }), "{error}");
    let error = Agent::connect(&agent.socket).unwrap_err();
    assert!(error.to_string().contains("SSH_AUTH_SOCK"), "{error}");
}

#[test]
fn where_there_is_no_socket_there_is_no_agent() {
    let directory = TempDir::new().unwrap();
    let long = directory.path().join("x".repeat(200));
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [Path::new(""), &directory.path().join("none"), directory.path(), &file, &long] {
        let error = Agent::connect(path).unwrap_err();
        assert!(matches!(error, SshAgentError::NoAgent { .. }), "{path:?}: {error}");
    }
}

#[test]
fn the_usable_keys_of_the_agent_are_counted_where_factors_are_listed() {
    let Some(room) = Room::or_skip() else { return };
    let agent = room.agent();
    let environment = Environment {
        ssh_auth_sock: Some(agent.socket.clone()),
        tcti: "device:/nonexistent".to_owned(),
    };
    let here = || {
        let found = unlock_factors::available(&environment);
        found.into_iter().find(|found| found.kind == FactorKind::SshAgent).unwrap().here
    };
    assert!(here().unwrap_err().contains("ssh-add -X"));
    agent.add(&room.key(ECDSA));
    assert!(here().unwrap_err().contains("ssh-keygen -t ed25519"));
    agent.add(&room.key(ED25519));
    assert_eq!(here().unwrap(), "1 usable key");
    agent.add(&room.key(RSA_2048));
    assert_eq!(here().unwrap(), "2 usable keys");
}

/// A directory with keys, and a program that agents ask instead of a person.
struct Room {
    directory: TempDir,
}

/// A running ssh-agent.
struct RealAgent<'a> {
    room: &'a Room,
    socket: PathBuf,
    process: Child,
}

impl Room {
    fn or_skip() -> Option<Self> {
        for program in ["ssh-agent", "ssh-add", "ssh-keygen"] {
            // Each of them refuses this, which is enough to know that it is there.
            let found = Command::new(program).arg("-?").stdin(Stdio::null()).output();
            if found.is_err() {
                eprintln!("skipped, for there is no {program}: the factor with a real ssh-agent");
                return None;
            }
        }
        let room = Self { directory: TempDir::new().unwrap() };
        // A confirmation, and as good a password as any.
        room.ask_pass("echo yes");
        Some(room)
    }

    /// What `ssh-add` and `ssh-agent` run to ask for a passphrase or a confirmation.
    fn ask_pass(&self, script: &str) {
        let path = self.ask_pass_path();
        let new = path.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn ask_pass_path(&self) -> PathBuf {
        self.directory.path().join("ask-pass")
    }

    fn unused(&self, what: &str) -> PathBuf {
        let path = |n| self.directory.path().join(format!("{what}{n}"));
        (0..).map(path).find(|path| !path.exists()).unwrap()
    }

    /// A new key in a file.
    fn key(&self, kind: &[&str]) -> PathBuf {
        let path = self.unused("key");
        let mut arguments: Vec<&OsStr> =
            ["-q", "-N", "", "-C", "a comment"].map(OsStr::new).to_vec();
        arguments.extend(kind.iter().map(OsStr::new));
        arguments.extend(["-f".as_ref(), path.as_os_str()]);
        self.run("ssh-keygen", arguments);
        path
    }

    fn agent(&self) -> RealAgent<'_> {
        let socket = self.unused("agent");
        let process = Command::new("ssh-agent")
            .args(["-D".as_ref(), "-a".as_ref(), socket.as_os_str()])
            .env("SSH_ASKPASS", self.ask_pass_path())
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let agent = RealAgent { room: self, socket, process };
        until(|| Agent::connect(&agent.socket).is_ok());
        agent
    }

    fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> String {
        output(Command::new(program).args(arguments))
    }
}

impl RealAgent<'_> {
    fn agent(&self) -> Agent {
        Agent::connect(&self.socket).unwrap()
    }

    fn only_key(&self) -> AgentKey {
        let keys = self.agent().keys().unwrap();
        assert_eq!(keys.len(), 1);
        keys.into_iter().next().unwrap()
    }

    fn add(&self, key: &Path) {
        self.ssh_add([key]);
    }

    fn ssh_add<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) {
        let mut command = Command::new("ssh-add");
        command
            .args(arguments)
            .env("SSH_AUTH_SOCK", &self.socket)
            .env("SSH_ASKPASS", self.room.ask_pass_path())
            .env("SSH_ASKPASS_REQUIRE", "force");
        output(&mut command);
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for RealAgent<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn until(happened: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < deadline, "nothing happened for 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The private key in a file of OpenSSH (PROTOCOL.key): 32 bytes in front of the public key.
fn ed25519_seed(path: &Path) -> [u8; 32] {
    let text = fs::read_to_string(path).unwrap();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let file = BASE64.decode(base64.as_bytes()).unwrap();
    let length = file.windows(4).rposition(|four| four == [0, 0, 0, 64]).unwrap();
    file[length + 4..length + 36].try_into().unwrap()
}
