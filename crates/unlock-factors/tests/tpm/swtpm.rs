//! A software TPM in a process of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use secret_memory::SecretBytes;
use tempfile::TempDir;
use tss_esapi::Context;
use tss_esapi::constants::CapabilityType;
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{CapabilityData, Digest, DigestValues};
use tss_esapi::tcti_ldr::TctiNameConf;
use unlock_factors::tpm::Tcti;

/// A TPM with a state of its own; it is stopped when this is dropped.
pub struct Swtpm {
    process: Child,
    pub port: u16,
    state: TempDir,
}

impl Swtpm {
    /// Starts one; `None`, and a line on standard error, where swtpm(8) isn't installed.
    pub fn start_or_skip() -> Option<Self> {
        let state = tempfile::tempdir().expect("a directory");
        let (process, port) = start(&state)?;
        Some(Self { process, port, state })
    }

    /// Power off and on.
    pub fn restart(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        (self.process, self.port) = start(&self.state).expect("it is installed");
    }

    /// Sends a marshalled command that the library doesn't have.
    pub fn command(&self, command: &[u8]) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("swtpm");
        stream.write_all(command).expect("swtpm");
        let mut header = [0; 10];
        stream.read_exact(&mut header).expect("an answer");
        assert_eq!(header[6..], [0; 4], "the response code");
    }

    pub fn tcti(&self) -> Tcti {
        tcti(self.port)
    }

    /// A connection without the driver.
    pub fn context(&self) -> Context {
        context(self.port)
    }

    /// What a firmware does when something else is started.
    pub fn extend(&self, pcr: PcrHandle) {
        let mut value = DigestValues::new();
        value.set(HashingAlgorithm::Sha256, Digest::try_from([7_u8; 32].as_slice()).unwrap());
        let mut context = self.context();
        context.execute_with_session(Some(AuthSession::Password), |context| {
            context.pcr_extend(pcr, value).expect("extends");
        });
    }

    /// How many objects and sessions it holds.
    pub fn left_behind(&self) -> usize {
        const RANGES: [u32; 3] = [0x8000_0000, 0x0200_0000, 0x0300_0000];
        let mut context = self.context();
        let mut count = |first| match context.get_capability(CapabilityType::Handles, first, 64) {
            Ok((CapabilityData::Handles(handles), _)) => handles.len(),
            other => panic!("handles: {other:?}"),
        };
        RANGES.into_iter().map(&mut count).sum()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

pub fn tcti(port: u16) -> Tcti {
    format!("swtpm:host=127.0.0.1,port={port}").parse().expect("a TCTI")
}

pub fn context(port: u16) -> Context {
    let conf = TctiNameConf::from_str(&tcti(port).to_string()).expect("a TCTI");
    Context::new(conf).expect("connects")
}

pub fn pin(text: &str) -> SecretBytes {
    SecretBytes::copy_of(text.as_bytes()).expect("memory")
}

/// libtss2 takes the port after the data port for control.
pub fn free_pair() -> u16 {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = first.local_addr().expect("an address").port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return port;
        }
    }
}

/// The process and its data port.
fn start(state: &TempDir) -> Option<(Child, u16)> {
    loop {
        let port = free_pair();
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
        swtpm.arg("--tpmstate").arg(format!("dir={}", state.path().display()));
        swtpm.args(["--server", &format!("type=tcp,bindaddr=127.0.0.1,port={port}")]);
        swtpm.args(["--ctrl", &format!("type=tcp,bindaddr=127.0.0.1,port={}", port + 1)]);
        swtpm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match swtpm.spawn() {
            Ok(mut process) => {
                // It ends when another test has taken the port meanwhile.
                if listens(&mut process, port + 1) {
                    return Some((process, port));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Not by eprintln: the harness would swallow it, and the test would seem to have run.
                let text = "SKIPPED, for it needs a software TPM: apt-get install swtpm";
                writeln!(std::io::stderr(), "{text}").expect("standard error");
                return None;
            }
            Err(error) => panic!("swtpm: {error}"),
        }
    }
}

fn listens(process: &mut Child, port: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if process.try_wait().expect("a child").is_some() {
            return false;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("swtpm does not start within 20 s");
}
