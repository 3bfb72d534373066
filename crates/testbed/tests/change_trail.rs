//! Factors and changes in the trail: an entry before each try and each change, another before anybody
//! learns how it ended, and nothing without them.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/trouble.rs"]
mod trouble;

use audit_log::{Operation, Outcome};
use ipc::factors::{Cause, Change, Source};
use ipc::secrets::{ProfileState, SecretsRequest};
use ipc::{Client, FaultKind};
use site_config::{AuthMode, Daemon};
use testbed::ask::{self, Refused, ask};
use testbed::factors::{
    self, PATIENT, auth, authorised, authorised_split, enroll_password, give, mode, password,
    stage, submit, unlock_with, verify_share,
};
use testbed::{Host, snapshot};
use trouble::{TROUBLES, Trouble, Victim};

const A: (u32, &str) = (1, "the first password");
const B: (u32, &str) = (2, "the second password");
const TWO: [(&str, &str); 2] = [("alice", A.1), ("bob", B.1)];
const WRONG: &str = "not the password";

type Told = (Operation, Outcome);

/// What `work` brings into the trail.
fn told(host: &Host, work: impl FnOnce(&mut Client)) -> Vec<Told> {
    let before = host.entries().len();
    work(&mut host.client());
    host.entries()[before..].iter().map(|entry| (entry.operation, entry.outcome)).collect()
}

#[test]
fn each_try_and_each_change_has_an_entry_before_and_one_after() {
    use Operation as O;
    use Outcome::{Authorised, Done, Failed};
    let config = format!("{PATIENT}{}", auth(&mode(AuthMode::Any)));
    let host = Host::builder().config(&config).with_passwords(&TWO);
    let tried = [(O::FactorTry, Authorised), (O::FactorTry, Done)];
    let changed =
        |operation: O| [&tried[..], &[(operation, Authorised), (operation, Done)]].concat();
    assert_eq!(told(&host, |client| unlock_with(client, &[A]).unwrap()), changed(O::Unlock));
    assert_eq!(
        told(&host, |client| drop(submit(client, Cause::Unlock, 1, WRONG).unwrap_err())),
        [(O::FactorTry, Authorised), (O::FactorTry, Failed)]
    );
    assert_eq!(
        told(&host, |client| assert_eq!(factors::test(client, 1, A.1).unwrap(), 1)),
        [(O::FactorTest, Authorised), (O::FactorTest, Done)]
    );
    assert_eq!(
        told(&host, |client| drop(factors::test(client, 1, WRONG).unwrap_err())),
        [(O::FactorTest, Authorised), (O::FactorTest, Failed)]
    );
    let mut shares = Vec::new();
    let split = |client: &mut Client| {
        shares = authorised_split(client, "recovery", (2, 3), &[A]).unwrap();
    };
    assert_eq!(told(&host, split), changed(O::ShareSplit));
    assert_eq!(
        told(&host, |client| assert_eq!(verify_share(client, &shares[0], None).unwrap(), (3, 1))),
        [(O::ShareVerify, Authorised), (O::ShareVerify, Done)]
    );
    let enrol = |client: &mut Client| {
        assert_eq!(enroll_password(client, "carol", "the third password", &[A]).unwrap(), 4);
    };
    assert_eq!(told(&host, enrol), changed(O::FactorEnroll));
    for (which, operation) in [
        (Change::Rename { factor: 4, label: "caroline" }, O::FactorRename),
        (Change::Revoke { factor: 4 }, O::FactorRevoke),
        (Change::RotateKey, O::KeyRotate),
        (Change::Policy(mode(AuthMode::Any)), O::FactorPolicy),
    ] {
        let told = told(&host, |client| authorised(client, &which, &[A]).unwrap());
        assert_eq!(told, changed(operation), "{which}");
        let last = host.entries().pop().unwrap();
        assert_eq!(last.profile.as_deref(), Some("default"), "{which}");
        let tries = host.entries_of(O::FactorTry, Done);
        assert_eq!(tries.last().unwrap().detail["for"], which.to_string());
    }
    let mut backup = Vec::new();
    let back_up = |client: &mut Client| backup = factors::backup(client, None).unwrap();
    let backed_up = [(O::VaultBackup, Authorised), (O::VaultBackup, Done)];
    assert_eq!(told(&host, back_up), backed_up);
    let restore = |client: &mut Client| factors::restore(client, "copy", &backup, &[B]).unwrap();
    let restored = [&[(O::VaultRestore, Authorised)][..], &changed(O::VaultRestore)].concat();
    assert_eq!(told(&host, restore), restored);
    host.sesame(["audit", "verify"]).succeed();
}

/// The changes, each on a profile of its own, where it was authorised.
const CHANGED: [&str; 6] = ["enrol", "revoke", "rename", "policy", "split", "rotate"];

fn change_of(profile: &str) -> Change<'static> {
    match profile {
        "enrol" => factors::enrolment("carol"),
        "revoke" => Change::Revoke { factor: 2 },
        "rename" => Change::Rename { factor: 2, label: "robert" },
        "policy" => Change::Policy(mode(AuthMode::All)),
        "split" => Change::Split { label: "recovery", threshold: 2, shares: 3 },
        _ => Change::RotateKey,
    }
}

fn request_of(name: &str) -> SecretsRequest<'_> {
    let profile = Some(name);
    match name {
        "enrol" => {
            let factor = password("carol", "the third password");
            SecretsRequest::FactorEnroll { profile, factor }
        }
        "revoke" => SecretsRequest::FactorRevoke { profile, factor: 2 },
        "rename" => SecretsRequest::FactorRename { profile, factor: 2, label: "robert" },
        "policy" => SecretsRequest::FactorPolicy { profile, policy: mode(AuthMode::All) },
        "split" => SecretsRequest::ShareSplit {
            profile,
            label: "recovery",
            threshold: 2,
            shares: 3,
            passphrases: vec![],
        },
        _ => SecretsRequest::KeyRotate { profile },
    }
}

fn authorise_all(client: &mut Client) {
    for profile in CHANGED {
        let text = change_of(profile).to_string();
        give(client, Source::Profile(Some(profile)), Cause::Change(&text), &[A]).unwrap();
    }
    let text = factors::restoration(client, "copy").unwrap();
    give(client, Source::Restore("copy"), Cause::Change(&text), &[A]).unwrap();
}

#[test]
fn without_the_trail_no_factor_is_tried_and_nothing_is_changed() {
    for trouble in TROUBLES {
        let Some(mut victim) = Victim::started(trouble) else { continue };
        let mut client = victim.host.client();
        let passwords = || TWO.map(|(label, text)| password(label, text)).into();
        factors::init(&mut client, passwords()).unwrap();
        unlock_with(&mut client, &[A]).unwrap();
        for profile in CHANGED {
            let request = SecretsRequest::ProfileCreate { profile, factors: passwords() };
            ask::done(&mut client, &request).unwrap();
        }
        let share = authorised_split(&mut client, "shares", (2, 3), &[A]).unwrap().remove(0);
        let backup = factors::backup(&mut client, None).unwrap();
        stage(&mut client, "copy", &backup).unwrap();
        authorise_all(&mut client);

        victim.begin();
        victim.use_up();
        let files = || snapshot(victim.host.layout.secrets_state());
        let before = files();
        let submission = |text: &'static str| SecretsRequest::FactorSubmit {
            source: Source::Profile(Some("rotate")),
            cause: Cause::Change("rotate the master key"),
            factors: vec![2],
            evidence: text.as_bytes(),
            passphrase: None,
        };
        let test = |text: &'static str| SecretsRequest::FactorTest {
            profile: None,
            factors: vec![2],
            evidence: text.as_bytes(),
        };
        let mut requests: Vec<SecretsRequest<'_>> = vec![
            submission(B.1),
            submission(WRONG),
            test(B.1),
            test(WRONG),
            SecretsRequest::ShareVerify { profile: None, share: &share, passphrase: None },
            SecretsRequest::VaultBackup { profile: None, offset: 0 },
            SecretsRequest::VaultRestoreWrite { profile: "new", offset: 0, bytes: b"x" },
            SecretsRequest::VaultRestore { profile: "copy" },
        ];
        requests.extend(CHANGED.map(request_of));
        // One after the other where a daemon that hangs does not make that long.
        let one = |request: &SecretsRequest<'_>| {
            let mut client = victim.host.client();
            let refused = ask(&mut client, request, |_| Some(())).unwrap_err();
            let operation = request.operation();
            assert_eq!(
                refused.kind(),
                Some(FaultKind::AuditUnavailable),
                "{trouble:?} {operation:?}: {refused:?}"
            );
        };
        if trouble == Trouble::Hung {
            requests.truncate(3);
        }
        requests.iter().for_each(one);
        assert!(files() == before, "{trouble:?}: something was done");

        victim.end();
        let mut client = victim.host.client();
        for factor in factors::list(&mut client).unwrap().factors {
            assert_eq!(factor.failures, 0, "{trouble:?}: nothing was tried");
        }
        factors::lock(&mut client).unwrap();
        authorise_all(&mut client);
        for profile in CHANGED {
            ask(&mut client, &request_of(profile), |_| Some(())).unwrap();
        }
        ask::done(&mut client, &SecretsRequest::VaultRestore { profile: "copy" }).unwrap();
        unlock_with(&mut client, &[B]).unwrap();
        victim.host.sesame(["audit", "verify"]).succeed();
    }
}

/// The trail ends between the entry of a change and the change: then the change came to nothing, or
/// it is there and its entry says that it was allowed.
#[test]
fn a_change_that_is_there_has_its_entry() {
    let mut host = Host::builder().config(PATIENT).with_passwords(&TWO);
    for _ in 0..10 {
        let mut client = host.client();
        let before = factors::list(&mut client).unwrap().generation;
        let result = authorised(&mut client, &Change::RotateKey, &[A]);
        host.kill(Daemon::Audit);
        host.try_start(Daemon::Audit).unwrap();
        assert!(result.is_ok());
        let entries = host.entries_of(Operation::KeyRotate, Outcome::Authorised);
        let last = entries.last().unwrap();
        assert_eq!(last.detail["generation"], (before + 1).to_string());
    }
    let mut client = host.client();
    assert_eq!(ask::status(&mut client).unwrap().profiles[0].state, ProfileState::Locked);
    let refused: Result<(), Refused> = unlock_with(&mut client, &[(1, WRONG)]);
    assert_eq!(refused.unwrap_err().kind(), Some(FaultKind::WrongFactor));
}
