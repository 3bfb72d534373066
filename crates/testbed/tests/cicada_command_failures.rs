//! `sesame cicada …`: keys are kept and never replaced, and whatever goes wrong has its exit code and
//! says what to do.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "common/bare.rs"]
mod bare;
#[path = "common/cicada_operator.rs"]
mod cicada_operator;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use bare::{as_operator, bare, one_object, outcome};
use cicada_operator::{Place, host, json_of, operator_may, state};
use data_encoding::{BASE64, HEXLOWER};
use nix::unistd::Uid;
use serde_json::json;
use site_config::Daemon;
use testbed::cicada::OPERATIONS;
use testbed::{Host, Outcome, Users, is_root_or_skip};

#[test]
fn the_key_is_kept_for_its_owner_only_and_never_printed() {
    let (host, place) = (host(), Place::new());
    let path = place.path("key");
    let made = host.sesame(["cicada", "init", "--json", "--key-file"]).args([&path]).succeed();
    let key = fs::read(&path).unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    for form in [BASE64.encode(&key), HEXLOWER.encode(&key)] {
        assert!(!made.contains(&form));
    }
    let trail = host.trail_lines().join("\n");
    assert!(trail.contains("cicada.init") && !trail.contains(&HEXLOWER.encode(&key)));
    // The same key unlocks from a file, and from a pipe.
    for args in [["--key-file", path.to_str().unwrap()], ["--key-file", "-"]] {
        host.sesame(["cicada", "lock"]).succeed();
        assert_eq!(state(&host), "locked");
        host.sesame(["cicada", "unlock"]).args(args).stdin(key.clone()).succeed();
        assert_eq!(state(&host), "unlocked");
    }
    host.sesame(["cicada", "lock"]).succeed();
    for (wrong, code) in [(vec![0; 32], 6), (key[..31].to_vec(), 24), (Vec::new(), 24)] {
        host.sesame(["cicada", "unlock", "--key-file", "-"]).stdin(wrong).fail(code);
        assert_eq!(state(&host), "locked");
    }
}

#[test]
fn what_is_there_is_never_replaced_by_a_new_key() {
    let (host, place) = (host(), Place::new());
    host.unlock();
    let path = place.path("key");
    fs::write(&path, "mine").unwrap();
    host.sesame(["cicada", "init", "--key-file"]).args([&path]).fail(9);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    host.sesame(["secret", "set", "cicada/unlock-key"]).stdin("mine").succeed();
    host.sesame(["cicada", "init"]).fail(9);
    assert_eq!(host.sesame(["secret", "get", "cicada/unlock-key"]).succeed(), "mine");
    assert_eq!(state(&host), "uninitialised", "and no store was made without a key");
    host.sesame(["cicada", "init", "--key-file", "-"]).fail(2);

    host.sesame(["cicada", "init", "--secret", "cicada/other"]).succeed();
    // There is a store now, so that a key would open nothing.
    host.sesame(["cicada", "init", "--secret", "cicada/third"]).fail(9);
    host.sesame(["cicada", "init", "--key-file"]).args([place.path("third")]).fail(9);
    assert_eq!(host.sesame(["secret", "list"]).succeed(), "cicada/other\ncicada/unlock-key\n");
    assert_eq!(place.names(), ["key"]);
    host.sesame(["cicada", "lock"]).succeed();
    let said = host.sesame(["cicada", "unlock"]).fail(24);
    assert!(said.contains("has 4 bytes"), "{said}");
    host.sesame(["cicada", "unlock", "--secret", "cicada/other"]).succeed();
}

#[test]
fn a_secret_is_found_behind_many_others() {
    let host = host();
    host.unlock();
    // More names before it than one reply has room for.
    for number in 0..240 {
        let name = format!("a{number:0>255}");
        host.sesame(["secret", "set", &name]).stdin("x").succeed();
    }
    host.sesame(["secret", "set", "cicada/unlock-key"]).stdin("mine").succeed();
    host.sesame(["cicada", "init"]).fail(9);
    assert_eq!(host.sesame(["secret", "get", "cicada/unlock-key"]).succeed(), "mine");
}

#[test]
fn a_failed_init_keeps_the_key_and_says_what_to_do() {
    let (mut host, place) = (host(), Place::new());
    let key = place.path("key");
    host.kill(Daemon::Audit);
    let init = || host.sesame(["cicada", "init", "--key-file"]).args([&key]);
    let said = init().fail(22);
    assert_eq!(fs::read(&key).unwrap().len(), 32);
    for part in [key.to_str().unwrap(), "sesame cicada status", "rm "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    host.try_start(Daemon::Audit).unwrap();
    assert_eq!(state(&host), "uninitialised");
    // As it says: there is no store, so remove the key, and again.
    fs::remove_file(&key).unwrap();
    let init = host.sesame(["cicada", "init", "--key-file"]).args([&key]);
    init.succeed();
    assert_eq!(state(&host), "unlocked");
}

#[test]
fn what_cicada_toml_does_not_give_is_refused() {
    let place = Place::new();
    let host = Host::with_cicada(&operator_may(&["status", "init"]));
    host.sesame(["cicada", "status"]).succeed();
    host.sesame(["cicada", "init", "--key-file"]).args([place.path("key")]).succeed();
    for line in ["identity create a", "identity list", "lock", "identity revoke a --yes"] {
        let said = host.sesame(["cicada"].into_iter().chain(line.split(' '))).fail(4);
        assert!(said.contains("no rule in cicada.toml"), "{line}: {said}");
    }
    assert_eq!(state(&host), "unlocked", "lock was refused, too");
    if host.users.are_separate() {
        host.sesame(["cicada", "status"]).user(host.users.stranger).fail(4);
    }

    // Without a rule for `status` an init goes on; without one for `init` nothing is made.
    let blind = Host::with_cicada(&operator_may(&["init"]));
    blind.sesame(["cicada", "init", "--key-file"]).args([place.path("blind")]).succeed();
    let powerless = Host::with_cicada(&operator_may(&["status"]));
    let init = powerless.sesame(["cicada", "init", "--key-file"]).args([place.path("useless")]);
    let said = init.fail(4);
    assert!(said.contains("opens nothing") && said.contains("useless"), "{said}");
    assert_eq!(state(&powerless), "uninitialised");
}

#[test]
fn a_mistake_in_cicada_toml_is_found_without_the_daemon() {
    let host = Host::builder().cicada(&operator_may(&["status"])).provision();
    let rules = || host.sesame(["cicada", "rules", "--json"]);
    let shown = json_of(&rules().succeed());
    let rule = json!({ "uid": host.users.operator, "identity": "*", "operations": ["status"] });
    assert_eq!(shown["rules"], json!([rule]));
    let path = host.layout.cicada_config();
    fs::write(path, operator_may(&["status", "sing"])).unwrap();
    let said = rules().fail(20);
    assert!(said.contains(":4: the operation is one of"), "{said}");
    fs::write(path, "").unwrap();
    assert!(host.sesame(["cicada", "rules"]).succeed().contains("nobody may ask"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    rules().fail(20);
    fs::remove_file(path).unwrap();
    rules().fail(8);
}

/// A host whose peers.toml gives cicada this test's own uid, so that a mock can be it.
fn impersonated() -> Host {
    let users = Users { cicada: Uid::effective().as_raw(), ..Users::available() };
    Host::builder().users(users).cicada("").provision()
}

#[test]
fn an_unlock_key_goes_to_cicadas_uid_and_to_nobody_else() {
    if !is_root_or_skip("cicada as another user") {
        return;
    }
    let (host, place) = (Host::builder().cicada("").provision(), Place::new());
    let path = place.path("cicada.sock");
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let heard = std::thread::spawn(move || {
        let mut heard = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut heard).unwrap();
        heard
    });
    let unlock = ["cicada", "unlock", "--key-file", "-", "--socket"];
    let refused = host.sesame(unlock).args([path]).stdin([7; 32]).run();
    assert_eq!(refused.code, 4, "{}", refused.error());
    assert!(refused.error().contains("nothing was sent"), "{}", refused.error());
    assert_eq!(heard.join().unwrap(), b"");
}

/// Something that listens like cicada, says this once, and ends.
fn impostor(place: &Place, says: &'static str) -> PathBuf {
    let path = place.path("cicada.sock");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(says.as_bytes());
    });
    path
}

fn status_of(host: &Host, socket: &Path) -> Outcome {
    host.sesame(["cicada", "status", "--socket"]).args([socket]).run()
}

#[test]
fn a_check_that_fails_is_told_by_the_exit_code() {
    let (host, place) = (impersonated(), Place::new());
    let socket = impostor(
        &place,
        r#"{"state":"locked","version":"1","identities":0,"types":{},"algorithms":{},"isolation":[
            {"check":"threads","status":"pass","found":"all"},
            {"check":"families","status":"fail","found":"VSOCK"}]}"#,
    );
    let failed = host.sesame(["--json", "cicada", "status", "--socket"]).args([socket]).run();
    assert_eq!(failed.code, 21, "{}", failed.error());
    assert_eq!(one_object(&failed.stdout)["isolation_holds"], false);
    assert!(failed.error().contains("1 of cicada's isolation checks"), "{}", failed.error());
}

#[test]
fn what_is_not_cicada_is_an_error_and_moves_no_cursor() {
    let (host, place) = (impersonated(), Place::new());
    for (says, code) in [
        ("", 3),
        ("HTTP/1.1 400\r\n\r\n", 3),
        ("{}", 3),
        (r#"{"error":{"code":"internal","message":"\u001b[2Jgone"}}"#, 1),
        (r#"{"error":{"code":"busy","message":"later"}}"#, 27),
        (r#"{"error":{"code":"audit_unavailable","message":"no"}}"#, 22),
    ] {
        let socket = impostor(&place, says);
        let refused = status_of(&host, &socket);
        assert_eq!(refused.code, code, "{says}: {}", refused.error());
        assert!(!refused.error().contains('\u{1b}'), "{}", refused.error());
    }
    let absent = status_of(&host, Path::new("/nonexistent/cicada.sock"));
    assert_eq!(absent.code, 3);
    assert!(absent.error().contains("sesame up"), "{}", absent.error());
    let socket = impostor(&place, "");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    if host.users.are_separate() {
        assert_eq!(status_of(&host, &socket).code, 4, "a socket that is not ours to use");
    }
}

/// A directory whose daemons are `sesame up`'s; they end with the test, however that ends.
struct Site(PathBuf);

impl Site {
    fn sesame(&self, args: &[&str]) -> Outcome {
        let mut command = bare(args);
        command.env("SESAME_DIR", &self.0);
        as_operator(&mut command, Users::available().operator);
        outcome(command)
    }

    #[track_caller]
    fn succeed(&self, args: &[&str]) -> String {
        let outcome = self.sesame(args);
        assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.error());
        outcome.text()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.sesame(&["down"]);
    }
}

#[test]
fn up_starts_cicada_where_it_has_a_cicada_toml_and_down_stops_it() {
    let place = Place::new();
    let site = Site(place.path("site"));
    site.succeed(&["up"]);
    let config = place.path("site/cicada.toml");
    fs::write(&config, operator_may(&OPERATIONS)).unwrap();
    chown(&config, Some(Users::available().operator), None).unwrap();
    // daemon-audit doesn't know it yet.
    for _ in 0..2 {
        let refused = site.sesame(&["up"]);
        assert_eq!(refused.code, 3);
        assert!(refused.error().contains("`sesame down`"), "{}", refused.error());
    }
    site.succeed(&["down"]);
    let all = "daemon-audit is ready.\ndaemon-secrets is ready.\ncicada is ready.\n";
    assert_eq!(site.succeed(&["up"]), all);
    let status = site.succeed(&["cicada", "status", "--json"]);
    assert_eq!(json_of(&status)["state"], "uninitialised", "before `sesame init` as well");
    assert!(site.succeed(&["up"]).contains("cicada is running already."));
    let all = "cicada has stopped.\ndaemon-secrets has stopped.\ndaemon-audit has stopped.\n";
    assert_eq!(site.succeed(&["down"]), all);
    assert_eq!(site.sesame(&["cicada", "status"]).code, 3);
}
