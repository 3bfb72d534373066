//! Somebody between the processor and the TPM, who listens or changes what goes by.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::ObjectAttributes;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Auth, Digest, KeyedHashScheme, PublicBuilder, PublicKeyedHashParameters, SensitiveData,
};
use unlock_factors::tpm::{Tcti, TpmError, enroll, evidence};

use crate::swtpm::{Swtpm, context, free_pair, pin, tcti};

/// TPM 2.0 Part 2, "TPM_CC".
const CREATE_PRIMARY: u32 = 0x131;
const LOAD: u32 = 0x157;
const UNSEAL: u32 = 0x15e;
const START_AUTH_SESSION: u32 = 0x176;
const POLICY_AUTH_VALUE: u32 = 0x16b;
const POLICY_PCR: u32 = 0x17f;
const POLICY_GET_DIGEST: u32 = 0x189;

const PIN: &str = "a PIN to look for";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Command,
    Response,
}

/// Changes a message, given the code of the command that it is, or answers.
type Meddle = fn(Direction, u32, &mut Vec<u8>);

/// A bus with an ear on it.
struct Bus {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Bus {
    fn listen(tpm: &Swtpm) -> Self {
        Self::meddle(tpm, |_, _, _| {})
    }

    fn meddle(tpm: &Swtpm, meddle: Meddle) -> Self {
        let port = free_pair();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let data = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("binds");
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).expect("binds");
        let (to, ears) = (tpm.port, Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in data.incoming().map_while(Result::ok) {
                let tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).expect("swtpm");
                let ears = Arc::clone(&ears);
                std::thread::spawn(move || relay(stream, tpm, &ears, meddle));
            }
        });
        std::thread::spawn(move || {
            for stream in control.incoming().map_while(Result::ok) {
                let tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, to + 1)).expect("swtpm");
                let (mut a, mut b) = (stream.try_clone().unwrap(), tpm.try_clone().unwrap());
                std::thread::spawn(move || pump(stream, &mut b));
                std::thread::spawn(move || pump(tpm, &mut a));
            }
        });
        Self { port, heard }
    }

    fn tcti(&self) -> Tcti {
        tcti(self.port)
    }

    fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    /// The commands of this code.
    fn commands_of(&self, code: u32) -> Vec<Vec<u8>> {
        let commands = self.heard().into_iter().step_by(2);
        commands.filter(|message| number(message, 6) == code).collect()
    }

    fn heard_bytes(&self, needle: &[u8]) -> bool {
        self.heard().iter().any(|message| memchr::memmem::find(message, needle).is_some())
    }

    /// Command and response alternate.
    fn commands(&self) -> Vec<u32> {
        self.heard().iter().step_by(2).map(|message| number(message, 6)).collect()
    }
}

fn pump(mut from: TcpStream, to: &mut TcpStream) {
    let _ = std::io::copy(&mut from, to);
    let _ = to.shutdown(Shutdown::Both);
}

fn relay(mut driver: TcpStream, mut tpm: TcpStream, heard: &Mutex<Vec<Vec<u8>>>, meddle: Meddle) {
    while let Some(mut command) = message(&mut driver) {
        heard.lock().unwrap().push(command.clone());
        let code = number(&command, 6);
        meddle(Direction::Command, code, &mut command);
        tpm.write_all(&command).expect("swtpm");
        let Some(mut response) = message(&mut tpm) else { break };
        heard.lock().unwrap().push(response.clone());
        meddle(Direction::Response, code, &mut response);
        if driver.write_all(&response).is_err() {
            break;
        }
    }
}

/// Tag (2 bytes), size (4), code (4), and the rest (TPM 2.0 Part 1, "Command Header").
fn message(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 10];
    from.read_exact(&mut message).ok()?;
    message.resize(number(&message, 2) as usize, 0);
    from.read_exact(&mut message[10..]).ok()?;
    Some(message)
}

fn number(message: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(message[at..at + 4].try_into().unwrap())
}

#[test]
fn who_listens_hears_neither_pin_nor_piece() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let bus = Bus::listen(&tpm);
    let (parameters, piece) = enroll(&bus.tcti(), &[7], Some(&pin(PIN))).unwrap();
    evidence(&bus.tcti(), &parameters, Some(&pin(PIN))).unwrap();
    evidence(&bus.tcti(), &parameters, Some(&pin("another PIN"))).unwrap_err();
    assert!(bus.commands_of(UNSEAL).len() >= 3, "it went by");
    assert!(bus.heard_bytes(&parameters.private), "what is public is heard");
    assert!(!bus.heard_bytes(piece.expose()), "the piece");
    assert!(!bus.heard_bytes(&piece.expose()[..8]), "a part of the piece");
    assert!(!bus.heard_bytes(PIN.as_bytes()), "the PIN");
    assert!(!bus.heard_bytes(&Sha256::digest(PIN)[..8]), "what stands for the PIN");
    assert!(!bus.heard_bytes(b"another PIN"), "the wrong PIN");
    assert!(!bus.heard_bytes(&Sha256::digest("another PIN")[..8]), "what stands for it");
}

/// Without the salt, who listens can work out the keys of a session and read all of it.
#[test]
fn every_session_is_salted_to_a_key_of_the_tpm() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let bus = Bus::listen(&tpm);
    let (parameters, _) = enroll(&bus.tcti(), &[7], Some(&pin(PIN))).unwrap();
    evidence(&bus.tcti(), &parameters, Some(&pin(PIN))).unwrap();
    let sessions = bus.commands_of(START_AUTH_SESSION);
    assert_eq!(sessions.len(), 5, "three to enrol, two to ask");
    for session in sessions {
        let (key, nonce) = (number(&session, 10), usize::from(session[19]));
        assert_eq!(key >> 24, 0x80, "the handle of a transient key: {key:x}");
        let salt = 20 + nonce;
        assert!(u16::from_be_bytes([session[salt], session[salt + 1]]) >= 64, "a point of P-256");
    }
}

/// The counterpart: with password sessions, as a careless program has them, all of it is heard.
#[test]
fn the_ear_on_the_bus_is_not_deaf() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let bus = Bus::listen(&tpm);
    let piece = [0xa5; 32];
    let template = PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(
            ObjectAttributes::builder().with_user_with_auth(true).build().unwrap(),
        )
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
        .unwrap();
    let mut context = context(bus.port);
    context.execute_with_session(Some(AuthSession::Password), |context| {
        let auth = Auth::try_from(PIN.as_bytes()).unwrap();
        let data = SensitiveData::try_from(piece.as_slice()).unwrap();
        context
            .create_primary(Hierarchy::Owner, template, Some(auth), Some(data), None, None)
            .expect("seals");
    });
    assert!(bus.heard_bytes(&piece), "the piece");
    assert!(bus.heard_bytes(PIN.as_bytes()), "the PIN");
}

#[test]
fn another_tpm_is_told_nothing() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let Some(other) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[7], Some(&pin(PIN))).unwrap();
    let bus = Bus::listen(&other);
    let error = evidence(&bus.tcti(), &parameters, Some(&pin(PIN))).unwrap_err();
    assert!(matches!(error, TpmError::OtherTpm), "{error:?}");
    let commands = bus.commands();
    assert!(commands.contains(&CREATE_PRIMARY), "{commands:x?}");
    assert!(!commands.contains(&START_AUTH_SESSION) && !commands.contains(&LOAD), "{commands:x?}");
    assert!(!bus.heard_bytes(&parameters.private));
}

#[test]
fn a_changed_answer_is_found_out() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[7], None).unwrap();
    let bus = Bus::meddle(&tpm, |direction, code, message| {
        if direction == Direction::Response && code == UNSEAL {
            // The encrypted piece begins after the header, the size of the parameters and its own.
            message[10 + 4 + 2 + 5] ^= 1;
        }
    });
    let error = evidence(&bus.tcti(), &parameters, None).unwrap_err();
    assert!(matches!(error, TpmError::Tampered), "{error:?}");
}

/// The Name is as it was stored, and the key that the salt would be encrypted to is not.
#[test]
fn another_key_under_the_old_name_is_found_out() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let (parameters, _) = enroll(&tpm.tcti(), &[7], None).unwrap();
    let bus = Bus::meddle(&tpm, |direction, code, message| {
        if direction == Direction::Response && code == CREATE_PRIMARY {
            // The first byte of x, in the public area of a key of P-256.
            message[44] ^= 1;
        }
    });
    let error = evidence(&bus.tcti(), &parameters, None).unwrap_err();
    assert!(matches!(error, TpmError::Tampered), "{error:?}");
    assert!(bus.commands_of(START_AUTH_SESSION).is_empty(), "nothing was encrypted to it");
}

#[test]
fn a_changed_policy_digest_is_found_out() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let bus = Bus::meddle(&tpm, |direction, code, message| {
        if direction == Direction::Response && code == POLICY_GET_DIGEST {
            message[10 + 4 + 2 + 5] ^= 1;
        }
    });
    let error = enroll(&bus.tcti(), &[7], None).unwrap_err();
    assert!(matches!(error, TpmError::Tampered), "{error:?}");
}

/// Otherwise he chooses at enrolment what the TPM will demand, and reads the piece later.
#[test]
fn nobody_in_between_weakens_a_policy() {
    let Some(tpm) = Swtpm::start_or_skip() else { return };
    let other_pcr: Meddle = |direction, code, message| {
        if direction == Direction::Command && code == POLICY_PCR {
            // The last byte is of PCRs 16 to 23, those before it of 8 to 15 and 0 to 7.
            let last = message.len() - 1;
            message[last - 2] ^= 0x80;
            message[last] ^= 0x01;
        }
    };
    let bus = Bus::meddle(&tpm, other_pcr);
    enroll(&bus.tcti(), &[7], None).expect_err("PCR 16 in place of PCR 7");
    // Swallowed: the TPM is asked for the digest instead, and the driver is told that all is well.
    let no_pin: Meddle = |direction, code, message| {
        if direction == Direction::Command && code == POLICY_AUTH_VALUE {
            message[6..10].copy_from_slice(&POLICY_GET_DIGEST.to_be_bytes());
        }
    };
    let bus = Bus::meddle(&tpm, no_pin);
    enroll(&bus.tcti(), &[], Some(&pin(PIN))).expect_err("the PIN is not demanded");
}
