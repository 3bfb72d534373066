//! Factors that are devices, with the real programs: OpenSSH's agent and swtpm, a TPM 2.0 in software.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use site_config::{AuthMode, UnlockPolicy};
use tempfile::TempDir;
use testbed::factors::{PATIENT, auth, mode, policy};
use testbed::{Host, Sesame};

const A: &str = "the first password";
const INCOMPLETE: i32 = 29;

fn host_of(policy: &UnlockPolicy) -> Host {
    let config = format!("{PATIENT}{}", auth(policy));
    let mut host = Host::builder().config(&config).provision();
    host.start();
    host
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// A directory of the operator's.
fn place(host: &Host) -> TempDir {
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let operator = host.users.operator;
    chown(place.path(), Some(operator), Some(operator)).unwrap();
    place
}

/// OpenSSH's agent, as the operator.
struct Agent {
    process: Child,
    place: TempDir,
}

impl Agent {
    fn start(host: &Host) -> Self {
        let (place, uid) = (place(host), host.users.operator);
        let socket = place.path().join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).uid(uid).gid(uid);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        wait_for(&socket);
        Self { process, place }
    }

    fn socket(&self) -> String {
        self.place.path().join("agent").to_str().unwrap().to_owned()
    }

    /// A new key, held by the agent.
    fn add(&self, kind: &str, name: &str) -> PathBuf {
        let file = self.place.path().join(name);
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", kind, "-N", "", "-C", name, "-f"]).arg(&file);
        self.run(&mut make);
        self.hold(&file);
        file
    }

    fn hold(&self, file: &Path) {
        self.run(Command::new("ssh-add").arg("-q").arg(file));
    }

    fn forget(&self, file: &Path) {
        self.run(Command::new("ssh-add").arg("-q").arg("-d").arg(file));
    }

    /// As whoever runs the test: these programs want a user with a name, and root may ask the agent.
    fn run(&self, command: &mut Command) {
        command.env("SSH_AUTH_SOCK", self.socket());
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn state(host: &Host) -> String {
    let status = host.sesame(["--json", "status"]).succeed();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["profiles"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_in_an_agent_is_a_second_factor() {
    if ["ssh-agent", "ssh-add", "ssh-keygen"].iter().any(|program| !is_installed(program)) {
        return;
    }
    let host = host_of(&mode(AuthMode::All));
    let agent = Agent::start(&host);
    let key = agent.add("ed25519", "officer");
    let sesame = |line: &str| -> Sesame {
        host.sesame(line.split(' ')).env("SSH_AUTH_SOCK", &agent.socket()).stdin(A)
    };
    sesame("init --factor password=alice --factor ssh-agent=officer --password-stdin").succeed();
    // The agent gives its part in silence.
    sesame("unlock --password-stdin").succeed();
    assert_eq!(state(&host), "active");
    sesame("secret set a").stdin("value").succeed();
    sesame("lock").succeed();
    sesame("factor test officer").succeed();
    // Without it the password is half of what is needed, and stays given.
    agent.forget(&key);
    let said = sesame("unlock --password-stdin").fail(INCOMPLETE);
    assert!(said.contains("officer"), "{said}");
    assert_eq!(state(&host), "locked");
    host.sesame(["unlock", "--password-stdin"]).stdin("").fail(INCOMPLETE);
    agent.hold(&key);
    sesame("unlock --factor officer").succeed();
    assert_eq!(sesame("secret get a").succeed(), "value");
    sesame("lock").succeed();

    // Another key of the same agent is another factor; one of a kind whose signatures differ is none.
    agent.forget(&key);
    let other = agent.add("ed25519", "other");
    sesame("unlock --password-stdin").fail(INCOMPLETE);
    sesame("lock").succeed();
    agent.hold(&key);
    sesame("factor enroll ssh-agent --ssh-key other --label other --password-stdin").succeed();
    let again = "factor enroll ssh-agent --ssh-key other --label again --password-stdin";
    let said = sesame(again).fail(9);
    assert!(said.contains("enrolled already"), "{said}");
    sesame("factor cancel").succeed();
    let ecdsa = agent.add("ecdsa", "elliptic");
    let enroll = "factor enroll ssh-agent --ssh-key elliptic --label elliptic --password-stdin";
    let refused = sesame(enroll).run();
    assert!(refused.code != 0 && !refused.error().is_empty(), "{}", refused.error());
    agent.forget(&ecdsa);
    sesame("factor revoke other --password-stdin").succeed();
    agent.forget(&other);
    sesame("unlock --password-stdin").succeed();
    assert_eq!(sesame("secret get a").succeed(), "value");
    let rsa = agent.add("rsa", "old");
    sesame("factor enroll ssh-agent --ssh-key old --label old --password-stdin").succeed();
    sesame("factor test old").succeed();
    sesame("lock").succeed();
    sesame("unlock --password-stdin").succeed();
    drop(rsa);
    sesame("audit verify").succeed();
}

/// A TPM in a process, reached over TCP.
struct Swtpm {
    process: Child,
    port: u16,
    _state: TempDir,
}

impl Swtpm {
    fn start() -> Self {
        let state = tempfile::tempdir_in("/tmp").unwrap();
        loop {
            let port = free_pair();
            let mut command = Command::new("swtpm");
            command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
            command.arg("--tpmstate").arg(format!("dir={}", state.path().display()));
            command.arg("--server").arg(format!("type=tcp,bindaddr=127.0.0.1,port={port}"));
            command.arg("--ctrl").arg(format!("type=tcp,bindaddr=127.0.0.1,port={}", port + 1));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut process = command.spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
                    return Self { process, port, _state: state };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// `TPM2_PCR_Extend` (TPM 2.0 part 3) of the SHA-256 bank: what a firmware does when something
    /// else is started.
    fn extend(&self, pcr: u8) {
        let mut command = vec![0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, pcr];
        // The empty password of the PCR.
        command.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
        command.extend([0, 0, 0, 1, 0, 0x0b]);
        command.extend([7; 32]);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(&command).unwrap();
        let mut header = [0; 10];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(header[6..], [0; 4], "the response code");
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// libtss2 takes the port after the data port for control.
fn free_pair() -> u16 {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return port;
        }
    }
}

#[test]
fn a_tpm_and_a_key_in_an_agent_and_a_password_open_together() {
    if ["swtpm", "ssh-agent", "ssh-add", "ssh-keygen"].iter().any(|program| !is_installed(program))
    {
        return;
    }
    let tpms = [Swtpm::start(), Swtpm::start()];
    let host = host_of(&policy("password,tpm", 1));
    let agent = Agent::start(&host);
    agent.add("ed25519", "officer");
    let sesame = |tpm: &Swtpm, line: &str| -> Sesame {
        let tcti = tpm.tcti();
        let arguments = line.split(' ').chain(["--tcti", tcti.as_str()]);
        host.sesame(arguments).env("SSH_AUTH_SOCK", &agent.socket()).stdin(A)
    };
    let init = "init --factor password=alice --factor tpm=machine --factor ssh-agent=officer \
                --pcrs 7,11 --password-stdin";
    sesame(&tpms[0], init).succeed();
    sesame(&tpms[0], "unlock --password-stdin").succeed();
    assert_eq!(state(&host), "active");
    sesame(&tpms[0], "factor test machine").succeed();
    host.sesame(["lock"]).succeed();
    // Another machine has another TPM.
    let said = sesame(&tpms[1], "unlock --password-stdin").fail(INCOMPLETE);
    assert!(said.contains("machine"), "{said}");
    assert_eq!(state(&host), "locked");
    host.sesame(["lock"]).succeed();
    // A register that no policy names changes nothing; one that is named shuts it.
    tpms[0].extend(9);
    sesame(&tpms[0], "unlock --password-stdin").succeed();
    host.sesame(["lock"]).succeed();
    tpms[0].extend(11);
    let said = sesame(&tpms[0], "unlock --password-stdin").fail(INCOMPLETE);
    assert!(said.contains("machine"), "{said}");
    assert_eq!(state(&host), "locked");
    host.sesame(["audit", "verify"]).succeed();
}

/// Bound to a TPM: it is needed whatever the policy says.
#[test]
fn an_installation_that_is_bound_to_a_tpm_needs_it_in_every_mode() {
    if !is_installed("swtpm") {
        return;
    }
    let tpms = [Swtpm::start(), Swtpm::start()];
    let host = host_of(&mode(AuthMode::Any));
    let sesame = |tpm: &Swtpm, line: &str| -> Sesame {
        let tcti = tpm.tcti();
        host.sesame(line.split(' ').chain(["--tcti", tcti.as_str()])).stdin(A)
    };
    sesame(&tpms[0], "init --machine-binding tpm --factor password=alice --password-stdin")
        .succeed();
    let said = sesame(&tpms[1], "unlock --password-stdin").fail(INCOMPLETE);
    assert!(said.contains("tpm"), "{said}");
    assert_eq!(state(&host), "locked");
    host.sesame(["lock"]).succeed();
    sesame(&tpms[0], "unlock --password-stdin").succeed();
    assert_eq!(state(&host), "active");
    let listed = fs::read_to_string(
        host.layout.secrets_state().join("installation/profiles/default/unlock.json"),
    );
    assert!(listed.unwrap().contains("\"machine\": true"));
}
