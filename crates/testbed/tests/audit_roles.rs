//! Who may write what into the trail, seal it and change its key.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use audit_log::{Operation, Outcome};
use ipc::audit::{AuditRequest, Record};
use ipc::{ClientError, FaultKind, Identity, Suite};
use nix::unistd::Uid;
use site_config::{Daemon, Role};
use testbed::{Host, Users, audit};
use uuid::Uuid;

fn append() -> AuditRequest<'static> {
    AuditRequest::Append(Record::new(Operation::Unlock, Outcome::Done))
}

fn genesis() -> AuditRequest<'static> {
    AuditRequest::Genesis { installation: Uuid::from_u128(7), org: None, machine_binding: None }
}

/// What daemon-audit makes of a request; none is good.
fn refusal(client: &mut ipc::Client, request: &AuditRequest<'_>) -> Option<FaultKind> {
    audit::ask(client, request, |_| Some(())).err().and_then(|refused| refused.kind())
}

/// The entries that announce checkpoints or repairs are the writer's own.
#[test]
fn daemon_secrets_can_not_report_what_only_the_trail_itself_does() {
    let host = Host::builder().with_a_trail();
    let mut reporter = host.reporter().unwrap();
    let before = host.entries().len();
    let reserved: Vec<Operation> =
        Operation::ALL.iter().copied().filter(|it| it.is_the_writers_own()).collect();
    assert_eq!(reserved.len(), 5, "genesis, repair, clock.step and two more: {reserved:?}");
    for operation in reserved {
        for outcome in [Outcome::Authorised, Outcome::Done, Outcome::Failed, Outcome::Refused] {
            let refused = audit::report(&mut reporter, Record::new(operation, outcome));
            let refused = refused.expect_err("it is refused");
            assert_eq!(refused.kind(), Some(FaultKind::InvalidInput), "{operation}: {refused:?}");
        }
    }
    assert_eq!(host.entries().len(), before);
    // It goes on, and everything else can be reported that daemon-audit doesn't know by itself, and
    // that isn't another daemon's.
    for operation in Operation::ALL.iter().filter(|it| !it.is_the_writers_own()) {
        let reported = audit::report(&mut reporter, Record::new(*operation, Outcome::Done));
        let is_others = operation.is_cicadas()
            || matches!(operation, Operation::AuditExport | Operation::SiteChange);
        assert_eq!(reported.is_err(), is_others, "{operation}: {reported:?}");
    }
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn each_role_may_do_what_the_table_says_and_what_it_may_not_is_recorded() {
    let mut host = Host::builder().users(Users::only_me()).provision();
    let own = Uid::effective().as_raw();
    let auditor = Identity::generate().unwrap();
    host.add_peer("eve", Role::Auditor, own, *auditor.public());
    host.begin_trail();
    let connect = |key: &Identity| host.connect_as(Daemon::Audit, key, Suite::ALL[0]).unwrap();
    let export = || AuditRequest::BeginExport { destination: "a stick" };
    let no = Some(FaultKind::NotCleared);
    let mut auditor = connect(&auditor);
    for (request, expected) in [
        (AuditRequest::RotateKey, no),
        (append(), no),
        (genesis(), no),
        (AuditRequest::Seal, None),
        (export(), None),
        (AuditRequest::PublicKey, None),
    ] {
        assert_eq!(refusal(&mut auditor, &request), expected, "auditor: {request:?}");
    }
    let mut operator = host.connect(Daemon::Audit).unwrap();
    for (request, expected) in
        [(append(), no), (genesis(), no), (AuditRequest::RotateKey, None), (export(), None)]
    {
        assert_eq!(refusal(&mut operator, &request), expected, "operator: {request:?}");
    }
    let mut reporter = host.reporter().unwrap();
    for (request, expected) in [
        (AuditRequest::RotateKey, no),
        (AuditRequest::Seal, no),
        (export(), no),
        (AuditRequest::PublicKey, no),
        (AuditRequest::Checkpoint { size: 0 }, no),
        (AuditRequest::Read { from: 0 }, no),
        (append(), None),
    ] {
        assert_eq!(refusal(&mut reporter, &request), expected, "daemon-secrets: {request:?}");
    }
    assert_eq!(host.refusals().len(), 3 + 2 + 6);
    assert_eq!(host.entries_of(Operation::AuditKeyRotate, Outcome::Done).len(), 1);
    host.sesame(["audit", "verify"]).succeed();
}

#[test]
fn nobody_unknown_gets_as_far_as_a_request() {
    let host = Host::builder().with_a_trail();
    let unknown = Identity::generate().unwrap();
    let refused = host.connect_as(Daemon::Audit, &unknown, Suite::ALL[0]);
    assert!(matches!(refused, Err(ClientError::Refused)), "the door is shut");
    assert_eq!(host.checkpoints(), [1]);
    assert_eq!(host.entries_of(Operation::AuditKeyRotate, Outcome::Done), []);
}
