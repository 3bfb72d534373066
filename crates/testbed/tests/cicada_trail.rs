//! cicada and the trail: no key, signature or secret leaves before its entry is durable, and whoever has
//! cicada's key can put nothing into the trail but what cicada does.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::io::Read;
use std::time::Duration;

use audit_log::{Operation, Outcome};
use ipc::audit::{AuditRequest, Record};
use ipc::{Client, FaultKind, Identity, Suite};
use nix::unistd::Uid;
use site_config::{Daemon, Role};
use testbed::cicada::{
    OPERATIONS, Program, UNLOCK_KEY, about, allow, allow_me_everything, code, sign, text, with_key,
};
use testbed::{Host, Users, audit, snapshot};
use uuid::Uuid;

fn host() -> Host {
    Host::with_identities(&allow_me_everything(), &["cloud-sync"])
}

fn decapsulate(ciphertext: &str) -> String {
    format!(r#"{{"op":"decapsulate","identity":"cloud-sync","ciphertext":"{ciphertext}"}}"#)
}

/// Every request whose answer tells or changes something.
fn requests(program: &mut Program) -> Vec<String> {
    let ciphertext = text(&program.ask(about("encapsulate", "cloud-sync")), "ciphertext");
    vec![
        about("get_key", "cloud-sync"),
        sign("cloud-sync", b"data"),
        about("encapsulate", "cloud-sync"),
        decapsulate(&ciphertext),
        about("public_key", "cloud-sync"),
        about("backup", "cloud-sync"),
        about("create", "new"),
        about("rotate", "cloud-sync"),
        about("revoke", "cloud-sync"),
        with_key("unlock", &UNLOCK_KEY),
        r#"{"op":"identities"}"#.to_owned(),
    ]
}

#[test]
fn no_answer_leaves_while_its_entry_is_not_durable() {
    let host = host();
    let requests = requests(&mut host.program());
    host.warm_up("cloud-sync");
    let before = host.entries().len();
    host.hang_audit();
    let mut programs: Vec<Program> = requests.iter().map(|_| host.program()).collect();
    for (program, request) in programs.iter_mut().zip(&requests) {
        program.send(request).unwrap();
    }
    std::thread::sleep(Duration::from_secs(2));
    for (program, request) in programs.iter_mut().zip(&requests) {
        program.stream.set_nonblocking(true).unwrap();
        let read = program.stream.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(read, Err(std::io::ErrorKind::WouldBlock), "{request}");
        program.stream.set_nonblocking(false).unwrap();
    }
    assert_eq!(host.entries().len(), before);
    host.resume_audit();
    for (program, request) in programs.iter_mut().zip(&requests) {
        let reply = program.receive().unwrap();
        // One of them may come after the revocation.
        assert!(matches!(code(&reply).as_deref(), None | Some("revoked")), "{request}: {reply}");
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn a_trail_that_hangs_is_a_trail_that_can_not_be_written() {
    let mut all_but_lock = OPERATIONS.to_vec();
    all_but_lock.retain(|operation| *operation != "lock");
    let rules = allow(&format!("uid = {}", Uid::effective()), "*", &all_but_lock)
        + &allow("uid = 54201", "*", &["lock"]);
    let host = Host::with_identities(&rules, &["cloud-sync"]);
    let mut requests = requests(&mut host.program());
    // Changes wait for each other: one of them is enough.
    requests.retain(|request| {
        let changes = ["backup", "rotate", "revoke", "unlock"];
        !changes.iter().any(|change| request.contains(&format!(r#""op":"{change}""#)))
    });
    assert_eq!(requests.len(), 7);
    let mut brake = Uid::effective().is_root().then(|| host.program_of(54_201, 54_201, &[]));
    let before = snapshot(&host.cicada_keys());
    host.hang_audit();
    let mut programs: Vec<Program> = requests.iter().map(|_| host.program()).collect();
    for (program, request) in programs.iter_mut().zip(&requests) {
        program.send(request).unwrap();
    }
    std::thread::sleep(Duration::from_secs(1));
    if let Some(brake) = &mut brake {
        assert_eq!(brake.ask(r#"{"op":"lock"}"#), r#"{"state":"locked"}"#);
    }
    for (program, request) in programs.iter_mut().zip(&requests) {
        let reply = program.receive().unwrap();
        assert_eq!(code(&reply).as_deref(), Some("audit_unavailable"), "{request}: {reply}");
    }
    host.resume_audit();
    assert!(snapshot(&host.cicada_keys()) == before, "something was changed");
    let mut program = host.program();
    if brake.is_some() {
        assert_eq!(code(&program.ask(&requests[0])).as_deref(), Some("locked"));
    }
    program.ask(with_key("unlock", &UNLOCK_KEY));
    assert_eq!(code(&program.ask(&requests[0])), None);
}

#[test]
fn without_daemon_audit_nothing_is_done_and_lock_still_works() {
    let mut host = host();
    let mut program = host.program();
    let requests = requests(&mut program);
    let before = snapshot(&host.cicada_keys());
    host.kill(Daemon::Audit);
    for request in &requests {
        let reply = program.ask(request);
        assert_eq!(code(&reply).as_deref(), Some("audit_unavailable"), "{request}: {reply}");
        assert!(reply.contains("nothing was done"), "{reply}");
    }
    assert_eq!(text(&program.ask(r#"{"op":"status"}"#), "state"), "unlocked");
    assert_eq!(program.ask(r#"{"op":"lock"}"#), r#"{"state":"locked"}"#);
    let reply = program.ask(with_key("unlock", &UNLOCK_KEY));
    assert_eq!(code(&reply).as_deref(), Some("audit_unavailable"), "{reply}");
    assert_eq!(code(&program.ask(&requests[0])).as_deref(), Some("locked"));
    assert!(snapshot(&host.cicada_keys()) == before, "something was changed");
    host.try_start(Daemon::Audit).unwrap();
    program.ask(with_key("unlock", &UNLOCK_KEY));
    assert_eq!(code(&program.ask(&requests[0])), None);
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn cicada_does_not_start_without_a_trail_to_record_its_start_in() {
    let mut host = host();
    host.kill(Daemon::Cicada);
    host.kill(Daemon::Audit);
    let said = host.try_start(Daemon::Cicada).unwrap_err();
    assert!(said.starts_with("75: ") && said.contains("could not be recorded"), "{said}");
    host.try_start(Daemon::Audit).unwrap();
    host.start_cicada();
    let starts = host.entries_of(Operation::DaemonStart, Outcome::Done);
    let ours = starts.iter().filter(|entry| entry.subject.as_deref() == Some("cicada"));
    assert_eq!(ours.count(), 2);
}

/// All of one user, so that this process can be any of the daemons; cicada itself isn't running.
fn with_the_keys_of_all_daemons() -> Host {
    Host::builder().cicada(&allow_me_everything()).with_a_trail()
}

fn cicada(host: &Host) -> Client {
    let key = Identity::load(&host.layout.daemon_key(Daemon::Cicada)).unwrap();
    host.connect_as(Daemon::Audit, &key, Suite::ALL[0]).unwrap()
}

const OUTCOMES: [Outcome; 4] =
    [Outcome::Authorised, Outcome::Done, Outcome::Failed, Outcome::Refused];

fn is_common(operation: Operation) -> bool {
    [Operation::DaemonStart, Operation::DaemonStop, Operation::PeerRefused].contains(&operation)
}

#[test]
fn whoever_has_cicadas_key_can_record_only_what_cicada_does() {
    let host = with_the_keys_of_all_daemons();
    let mut client = cicada(&host);
    for operation in Operation::ALL.iter().copied() {
        let family = operation.as_str().split('.').next().unwrap();
        let own = ["cicada", "identity"].contains(&family) || is_common(operation);
        for outcome in OUTCOMES {
            let before = host.entries().len();
            let mut record = Record::new(operation, outcome);
            record.subject = Some("cicada".to_owned());
            let reported = audit::report(&mut client, record);
            assert_eq!(reported.is_ok(), own, "{operation}: {reported:?}");
            assert_eq!(host.entries().len() - before, usize::from(own), "{operation}");
            if let Err(refused) = reported {
                assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{operation}");
            }
        }
    }
    // What it may record says who recorded it.
    let entries = host.entries();
    let reported = entries.iter().filter(|entry| entry.operation == Operation::IdentitySign);
    for entry in reported {
        assert_eq!(entry.reporter.as_ref().unwrap().name.as_deref(), Some("cicada"));
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn whoever_has_cicadas_key_can_only_append_and_ask_how_the_trail_stands() {
    let host = with_the_keys_of_all_daemons();
    let mut client = cicada(&host);
    let genesis = AuditRequest::Genesis {
        installation: Uuid::from_u128(7),
        org: None,
        machine_binding: None,
    };
    for request in [
        AuditRequest::Read { from: 0 },
        AuditRequest::Checkpoint { size: 0 },
        AuditRequest::Seal,
        AuditRequest::BeginExport { destination: "a stick" },
        AuditRequest::PublicKey,
        AuditRequest::RotateKey,
        AuditRequest::Posture,
        genesis,
    ] {
        let refused = audit::ask(&mut client, &request, |_| Some(())).unwrap_err();
        assert_eq!(refused.kind(), Some(FaultKind::NotCleared), "{request:?}");
    }
    assert_eq!(host.refusals().len(), 8);
    assert!(audit::status(&mut client).unwrap().is_some());
}

/// One key without its uid is nobody, and daemon-secrets has nothing for cicada.
#[test]
fn cicadas_key_opens_no_other_door() {
    let host = Host::builder().cicada(&allow_me_everything()).users(Users::available());
    let mut host = host.provision();
    host.start();
    host.init();
    let key = Identity::load(&host.layout.daemon_key(Daemon::Cicada)).unwrap();
    let ask = |mut client: Client| {
        let status = ipc::secrets::SecretsRequest::Status;
        testbed::ask::ask(&mut client, &status, |_| Some(())).err().and_then(|it| it.kind())
    };
    match host.connect_as(Daemon::Secrets, &key, Suite::ALL[0]) {
        Err(_) => {}
        Ok(client) => assert_ne!(ask(client), None),
    }
    if host.users.are_separate() {
        assert!(host.connect_as(Daemon::Audit, &key, Suite::ALL[0]).is_err(), "another uid");
    }
}

#[test]
fn daemon_secrets_can_not_record_what_cicada_does() {
    let mut host =
        Host::builder().cicada(&allow_me_everything()).users(Users::only_me()).provision();
    let own = Uid::effective().as_raw();
    let operator = Identity::generate().unwrap();
    host.add_peer("eve", Role::Operator, own, *operator.public());
    host.begin_trail();
    let mut reporter = host.reporter().unwrap();
    let before = host.entries().len();
    let is_cicadas = |it: &&Operation| {
        ["cicada.", "identity."].iter().any(|family| it.as_str().starts_with(family))
    };
    let cicadas: Vec<_> = Operation::ALL.iter().filter(is_cicadas).collect();
    assert!(cicadas.len() >= 15, "{cicadas:?}");
    for operation in cicadas {
        for outcome in OUTCOMES {
            let refused =
                audit::report(&mut reporter, Record::new(*operation, outcome)).unwrap_err();
            assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{operation}");
        }
    }
    assert_eq!(host.entries().len(), before);
}
