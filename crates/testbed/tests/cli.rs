//! The command line as people and programs meet it: help, errors, JSON, and the session's daemons.
//!
//! `INSTA_UPDATE=always cargo test -p testbed --test cli` writes the snapshots anew.

#[path = "common/redact.rs"]
mod redact;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;
use redact::redact;
use serde_json::{Value, json};
use site_config::{Daemon, Role};
use testbed::{Host, Outcome, PASSWORD, Sesame, binary};

/// `sesame ARGS` with no directory, no daemons and an empty environment.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(binary("sesame"));
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    command.stdin(Stdio::null());
    command
}

fn outcome(mut command: Command) -> Outcome {
    let output = command.output().expect("sesame starts");
    let code = output.status.code().unwrap_or(-1);
    Outcome { code, stdout: output.stdout, stderr: output.stderr }
}

/// The help of a command, and of all commands below it.
fn helps(path: &[String]) -> Vec<(Vec<String>, String)> {
    let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let shown = outcome(bare(&args));
    assert_eq!((shown.code, shown.error().as_str()), (0, ""), "{path:?}");
    let text = shown.text();
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // Lines of a wrapped description are indented further.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split_once(' '));
    let below: Vec<Vec<String>> = names
        .filter(|(name, _)| !name.is_empty() && *name != "help")
        .map(|(name, _)| path.iter().cloned().chain([name.to_owned()]).collect())
        .collect();
    let mut all = vec![(path.to_vec(), text)];
    all.extend(below.iter().flat_map(|path| helps(path)));
    all
}

/// Exactly one JSON object, on one line.
#[track_caller]
fn one_object(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    let value: Value = serde_json::from_str(text).expect("JSON");
    assert!(value.is_object(), "{text}");
    value
}

#[test]
fn every_command_has_its_help() {
    let all = helps(&[]);
    assert!(all.len() > 30, "the walk found the commands: {}", all.len());
    let shown: Vec<String> = all
        .iter()
        .map(|(path, text)| {
            format!(
                "$ sesame {}--help\n{text}",
                path.iter().fold(String::new(), |all, word| all + word + " ")
            )
        })
        .collect();
    insta::assert_snapshot!("help", shown.join("\n"));
}

#[test]
fn the_exit_codes_are_these() {
    let help = outcome(bare(&["--help"])).text();
    let table = help.split_once("Exit codes:\n").expect("the table").1;
    insta::assert_snapshot!("exit_codes", table);
}

/// Nothing on a command line or in an environment is a password: others can read both.
#[test]
fn no_option_takes_a_password() {
    let mut seen = 0;
    for (path, text) in helps(&[]) {
        for line in text.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
            let lower = line.to_lowercase();
            if ["password", "passphrase", "pin", "value", "token"]
                .iter()
                .any(|word| lower.contains(word))
            {
                seen += 1;
                let known = line == "--password-stdin"
                    || line == "--password-credential <NAME>"
                    || line.starts_with("--password-stdin  ")
                    || line.starts_with("--password-credential <NAME>  ");
                assert!(known, "{path:?}: {line}");
            }
        }
    }
    assert!(seen >= 6, "{seen}");
    for args in
        [["unlock", "hunter22"], ["unlock", "--password=hunter22"], ["init", "--password-stdin=x"]]
    {
        assert_eq!(outcome(bare(&args)).code, 2, "{args:?}");
    }
}

#[test]
fn no_variable_is_taken_for_a_password() {
    let host = Host::initialised();
    // In a session of its own there is no terminal to ask on, wherever this test runs.
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(binary("sesame")).arg("unlock").env_clear();
    command.env("PATH", "/usr/bin:/bin").env("SESAME_DIR", host.dir()).stdin(Stdio::null());
    for name in ["SESAME_PASSWORD", "PASSWORD", "SESAME_PASSPHRASE", "PASSPHRASE"] {
        command.env(name, PASSWORD);
    }
    as_operator(&mut command, host.users.operator);
    let refused = outcome(command);
    assert_eq!(refused.code, 2, "{}", refused.error());
    assert!(refused.error().contains("--password-stdin"), "it says what to do instead");
}

fn as_operator(command: &mut Command, uid: u32) {
    use std::os::unix::process::CommandExt;
    if uid != Uid::effective().as_raw() {
        command.uid(uid).gid(uid);
    }
}

/// Situations in which a command fails: each in text, and again with `--json`.
#[derive(Default)]
struct Errors {
    shown: String,
    codes: BTreeSet<i32>,
}

impl Errors {
    #[track_caller]
    fn case(&mut self, host: &Host, code: i32, make: impl Fn() -> Sesame) {
        let text = make().run();
        let args: Vec<String> = make()
            .into_command()
            .get_args()
            .skip(2)
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        assert_eq!(text.code, code, "{args:?}: {}{}", text.text(), text.error());
        let json = make().args(["--json"]).run();
        assert_eq!(json.code, code, "{args:?} --json: {}", json.error());
        let error = one_object(&json.stderr);
        let error = &error["error"];
        assert_eq!(error["exit_code"], code, "{args:?}");
        let name = error["code"].as_str().expect("a word");
        assert!(!error["message"].as_str().expect("a sentence").is_empty());
        assert!(json.stdout.is_empty() || one_object(&json.stdout).is_object());
        let said = redact(host, &text.error());
        self.shown.push_str(&format!("$ sesame {}\n", redact(host, &args.join(" "))));
        self.shown.push_str(&redact(host, &text.text()));
        self.shown.push_str(&format!("{said}[{code} {name}]\n\n"));
        self.codes.insert(code);
    }
}

#[test]
fn every_error_has_its_code_and_a_sentence_with_the_next_step() {
    let mut errors = Errors::default();

    let mut host = Host::builder().config("[unlock]\nfree_attempts = 10\n").provision();
    errors.case(&host, 3, || host.sesame(["status"]));
    host.start();
    errors.case(&host, 2, || host.sesame(["secret", "get"]));
    errors.case(&host, 2, || host.sesame(["unlock", "--password-credential", "x"]));
    errors.case(&host, 23, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));
    errors.case(&host, 23, || host.sesame(["audit", "head"]));
    errors.case(&host, 24, || host.sesame(["init", "--password-stdin"]).stdin("short"));
    errors.case(&host, 24, || host.sesame(["init", "--password-stdin"]).stdin(""));
    errors.case(&host, 24, || {
        host.sesame(["init", "--profile", "no/slash", "--password-stdin"]).stdin(PASSWORD)
    });
    host.init();
    errors.case(&host, 9, || host.sesame(["init", "--password-stdin"]).stdin(PASSWORD));
    errors.case(&host, 5, || host.sesame(["secret", "get", "db/password"]));
    errors.case(&host, 5, || host.sesame(["profile", "activate", "default"]));
    errors.case(&host, 6, || host.sesame(["unlock", "--password-stdin"]).stdin("wrong password"));
    host.unlock();
    errors.case(&host, 8, || host.sesame(["secret", "get", "missing"]));
    errors.case(&host, 8, || host.sesame(["secret", "delete", "missing"]));
    errors.case(&host, 8, || host.sesame(["unlock", "--profile", "missing", "--password-stdin"]));
    errors.case(&host, 24, || host.sesame(["secret", "set", ""]).stdin("value"));
    errors.case(&host, 24, || host.sesame(["secret", "set", "big"]).stdin(vec![b'x'; 65537]));
    errors.case(&host, 9, || {
        host.sesame(["profile", "create", "default", "--password-stdin"]).stdin(PASSWORD)
    });
    errors.case(&host, 2, || host.sesame(["audit", "verify", "--expect-head", "12"]));
    errors.case(&host, 14, || host.sesame(["audit", "verify", "--expect-size", "9999"]));
    let other = format!("3:{}", "0".repeat(64));
    errors.case(&host, 15, || host.sesame(["audit", "verify", "--expect-head", &other]));
    errors.case(&host, 24, || {
        host.sesame(["peer", "add", "x", "--uid", "1", "--key", "not hexadecimal"])
    });
    errors.case(&host, 25, || host.sesame(["man", "/proc/none"]));
    let unreadable = host.dir().join("closed");
    fs::create_dir(&unreadable).expect("mkdir");
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).expect("chmod");
    if host.users.are_separate() {
        errors.case(&host, 1, || host.sesame(["audit", "verify", "--path"]).args([&unreadable]));
        errors.case(&host, 4, || host.sesame(["status"]).user(host.users.stranger));
    }
    errors.case(&host, 2, || host.sesame(["policy", "lock", "crypto.kfd", "--source", "board"]));
    errors.case(&host, 2, || host.sesame(["policy", "lock", "crypto.kdf=md5", "--source", "x"]));
    host.kill(Daemon::Audit);
    errors.case(&host, 22, || host.sesame(["secret", "get", "db/password"]));
    errors.case(&host, 3, || host.sesame(["audit", "tail"]));

    let host = Host::builder().config("[unlock]\nfree_attempts = 0\nbackoff_base_seconds = 60\n");
    let mut host = host.provision();
    host.start();
    host.init();
    host.sesame(["unlock", "--password-stdin"]).stdin("wrong password").fail(6);
    errors.case(&host, 7, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));
    let waiting = host.sesame(["--json", "unlock", "--password-stdin"]).stdin(PASSWORD).run();
    let seconds = &one_object(&waiting.stderr)["error"]["retry_after_seconds"];
    assert!((1..=61).contains(&seconds.as_u64().expect("seconds")), "{seconds}");
    // The sentence counts the seconds down.
    errors.shown = without_seconds(&errors.shown);

    let mut host = Host::builder().config("[memory]\nprotection = \"off\"\n").provision();
    host.start();
    errors.case(&host, 21, || host.sesame(["init", "--password-stdin"]).stdin(PASSWORD));

    let host = Host::builder().config("[crypto]\nkfd = \"argon2id\"\n").provision();
    errors.case(&host, 20, || host.sesame(["config", "check"]));
    fs::write(host.layout.config_file(), "[crypto]\nkdf = \"argon2id\"\n").expect("config.toml");
    let policy = "[[policy]]\nkey = \"crypto.kdf\"\nvalue = \"pbkdf2-sha256\"\nsource = \"NIST\"\n";
    fs::write(host.layout.policy_file(), policy).expect("policy.toml");
    errors.case(&host, 20, || host.sesame(["status"]));

    let mut host = Host::initialised();
    host.stop();
    damage_metadata(&host);
    host.start();
    errors.case(&host, 26, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));

    let mut host = Host::initialised();
    host.stop();
    let auditor = ipc::Identity::generate().expect("random bytes");
    let key = host.layout.operator_key().expect("an operator");
    fs::write(key, auditor.private().expose()).expect("a key");
    host.start();
    errors.case(&host, 4, || host.sesame(["status"]));
    host.stop();
    host.add_peer("eve", Role::Auditor, host.users.operator, *auditor.public());
    host.start();
    errors.case(&host, 4, || host.sesame(["unlock", "--password-stdin"]).stdin(PASSWORD));

    let met: Vec<i32> = errors.codes.iter().copied().collect();
    let expected = [1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 20, 21, 22, 23, 24, 25, 26];
    if host.users.are_separate() {
        assert_eq!(met, expected);
        insta::assert_snapshot!("errors", errors.shown);
    }
}

fn without_seconds(text: &str) -> String {
    let number = |word: &str| word.chars().all(|c| c.is_ascii_digit()) && !word.is_empty();
    let words: Vec<&str> = text.split(' ').collect();
    let shown = words.iter().enumerate().map(|(at, word)| {
        let before = at.checked_sub(1).map(|at| words[at]);
        if before == Some("in") && number(word) { "[n]" } else { word }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Another salt in a profile's `unlock.json`, found wherever it lies.
fn damage_metadata(host: &Host) {
    let mut places = vec![host.layout.secrets_state().to_owned()];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(fs::read_dir(&place).expect("a directory").flatten().map(|e| e.path()));
        } else if place.file_name().is_some_and(|name| name == "unlock.json") {
            let text = fs::read_to_string(&place).expect("metadata");
            let damaged = text.replacen("\"mac\": \"", "\"mac\": \"0", 1);
            let end = damaged.rfind("\"\n").expect("the MAC comes last");
            fs::write(&place, format!("{}{}", &damaged[..end - 1], &damaged[end..]))
                .expect("write");
            return;
        }
    }
    panic!("no unlock.json");
}

/// Each verdict on a trail has its own code, in text and in JSON.
#[test]
fn a_forged_bundle_is_told_apart_by_its_exit_code() {
    let host = Host::unlocked();
    for name in ["a", "b", "c"] {
        host.sesame(["secret", "set", name]).stdin("value").succeed();
    }
    let place = tempfile::tempdir_in("/tmp").expect("a directory");
    chown(place.path(), Some(host.users.operator), None).expect("chown");
    let bundle = place.path().join("bundle");
    host.sesame(["audit", "export"]).args([&bundle]).succeed();
    let head = host.sesame(["audit", "head"]).succeed();
    let verify = |more: &[&str]| {
        let path = bundle.to_str().expect("UTF-8");
        outcome(bare(&[&["audit", "verify", "--path", path], more].concat()))
    };
    let sound = verify(&["--expect-head", head.trim()]);
    assert_eq!(sound.code, 0, "{}", sound.error());

    let trail = bundle.join("trail");
    let segment = fs::read_dir(&trail).expect("trail").flatten().next().expect("a segment").path();
    let text = fs::read_to_string(&segment).expect("readable");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without = |at: usize| {
        let mut lines = lines.clone();
        lines.remove(at);
        lines.concat()
    };
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    let edited = text.replacen("\"subject\":\"b\"", "\"subject\":\"x\"", 1);
    for (code, word, forged) in [
        (10, "edited", edited),
        (11, "deleted", without(4)),
        (12, "reordered", swapped.concat()),
        (13, "truncated", without(lines.len() - 1)),
        (16, "absent", String::new()),
        (18, "malformed", text.replacen("{\"seq\":4", "{ \"seq\":4", 1)),
    ] {
        fs::write(&segment, forged).expect("write");
        let plain = verify(&[]);
        assert_eq!(plain.code, code, "{word}: {}{}", plain.text(), plain.error());
        let json = verify(&["--json"]);
        assert_eq!(json.code, code);
        let (result, error) = (one_object(&json.stdout), one_object(&json.stderr));
        assert_eq!((&result["verdict"], &error["error"]["code"]), (&json!(word), &json!(word)));
        assert!(plain.text().contains(result["sentence"].as_str().expect("a sentence")));
    }
    fs::write(&segment, &text).expect("write");
    assert_eq!(verify(&["--expect-size", "999"]).code, 14);
    assert_eq!(verify(&["--expect-head", &format!("2:{}", "1".repeat(64))]).code, 15);
    assert_eq!(verify(&[]).code, 0);
}

/// Every command that prints prints one JSON object when asked to, and the list of commands is the
/// help's own.
#[test]
fn every_command_prints_one_json_object() {
    let mut host = Host::started();
    let place = tempfile::tempdir_in("/tmp").expect("a directory");
    chown(place.path(), Some(host.users.operator), None).expect("chown");
    let (bundle, man) = (place.path().join("bundle"), place.path().join("man"));
    let (bundle, man) = (bundle.to_str().expect("UTF-8"), man.to_str().expect("UTF-8"));
    fs::create_dir(man).expect("mkdir");
    chown(man, Some(host.users.operator), None).expect("chown");
    let key = "ab".repeat(32);
    let mut done = BTreeSet::new();
    let run = |host: &Host, line: &str, stdin: &[u8], codes: &[i32]| -> Value {
        let args = line.split(' ');
        let outcome = host.sesame(args.chain(["--json"])).stdin(stdin).run();
        assert!(codes.contains(&outcome.code), "{line}: {}: {}", outcome.code, outcome.error());
        if outcome.code == 0 {
            assert_eq!(outcome.error(), "", "{line}");
        } else {
            one_object(&outcome.stderr);
        }
        one_object(&outcome.stdout)
    };
    let password = PASSWORD.as_bytes();
    let status = run(&host, "status", b"", &[0]);
    assert_eq!(status["installation"], Value::Null);
    let made = run(&host, "init --org org.example --password-stdin", password, &[0]);
    let id = made["installation"].as_str().expect("an id").to_owned();
    let lines: Vec<(String, &[u8])> = [
        ("unlock --password-stdin", password),
        ("profile create work --password-stdin", password),
        ("profile list", b""),
        ("profile default work", b""),
        ("profile default default", b""),
        ("profile deactivate default", b""),
        ("profile activate default", b""),
        ("secret set key", b"\x00\xffvalue\n"),
        ("secret list", b""),
        ("secret get key", b""),
        ("secret delete key", b""),
        ("audit tail", b""),
        ("audit head", b""),
        ("audit verify", b""),
        ("config show", b""),
        ("config check", b""),
        ("config keys", b""),
        ("policy show", b""),
        ("key", b""),
        ("peer list", b""),
        ("completions bash", b""),
        ("lock", b""),
        ("status", b""),
    ]
    .map(|(line, stdin): (&str, &[u8])| (line.to_owned(), stdin))
    .into();
    let more: [(String, &[u8]); 3] = [
        (format!("audit export {bundle}"), b""),
        (format!("audit verify --path {bundle}"), b""),
        (format!("man {man}"), b""),
    ];
    for (line, stdin) in lines.into_iter().chain(more) {
        let value = run(&host, &line, stdin, &[0]);
        if line == "secret get key" {
            assert_eq!(value, json!({ "name": "key", "value": "AP92YWx1ZQo=" }));
        }
        done.insert(line);
    }
    // 21 where this machine is below the floor.
    let posture = run(&host, "status --security-posture", b"", &[0, 21]);
    check_posture(&posture);
    run(&host, &format!("wipe --i-understand {id}"), b"", &[0]);
    done.extend([format!("wipe {id}"), "init".to_owned()]);

    // Files of the host are root's; in a session they are the user's own.
    chown(host.dir(), Some(host.users.operator), None).expect("chown");
    run(&host, &format!("peer add eve --uid 7 --key {key}"), b"", &[0]);
    run(&host, "policy lock crypto.kdf --source board", b"", &[0]);
    done.extend(["peer add".to_owned(), "policy lock".to_owned()]);
    host.stop();

    // `up` and `down` have a test of their own, and `provision` is root's on a real system; `run`
    // prints nothing.
    done.extend(["up", "down", "provision", "run"].map(str::to_owned));
    for (path, text) in helps(&[]) {
        let line = path.join(" ");
        let leaf = !text.contains("\nCommands:\n");
        assert!(!leaf || done.iter().any(|done| done.starts_with(&line)), "{line} is not tried");
    }
}

/// What a check says depends on the machine; how it says it does not.
fn check_posture(posture: &Value) {
    let checks = posture["checks"].as_array().expect("a list");
    let subjects: BTreeSet<&str> = checks.iter().filter_map(|c| c["subject"].as_str()).collect();
    assert!(subjects.contains("daemon-audit") && subjects.contains("daemon-secrets"));
    assert_eq!(subjects.len(), 3, "and the kernel: {subjects:?}");
    let mut holds = true;
    for check in checks {
        let object = check.as_object().expect("an object");
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        assert_eq!(keys, ["controls", "floor", "found", "id", "status", "subject"], "{check}");
        let status = check["status"].as_str().expect("a word");
        assert!(["pass", "warn", "fail"].contains(&status), "{check}");
        assert!(check["controls"].is_array() && check["id"].is_string(), "{check}");
        assert!(!check["found"].as_str().expect("text").is_empty(), "{check}");
        holds &= !(check["floor"].as_bool().expect("a bool") && status == "fail");
    }
    assert_eq!(posture["floor_holds"], holds);
}

#[test]
fn a_command_line_that_cannot_be_is_json_too() {
    for args in [
        &["--json"][..],
        &["--json", "bogus"],
        &["secret", "get", "--json"],
        &["wipe", "--i-understand", "x", "--json"],
    ] {
        let outcome = outcome(bare(args));
        assert_eq!((outcome.code, outcome.text().as_str()), (2, ""), "{args:?}");
        let error = one_object(&outcome.stderr);
        assert_eq!(error["error"]["code"], "usage", "{args:?}");
        assert_eq!(error["error"]["exit_code"], 2);
    }
    // What stands behind -- belongs to the program.
    let outcome = outcome(bare(&["run", "--bogus", "--", "prog", "--json"]));
    assert!(outcome.error().starts_with("error: unexpected argument"), "{}", outcome.error());
}

#[test]
fn a_secret_keeps_its_exact_bytes() {
    let host = Host::unlocked();
    let every: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"\n", b"line\n", b"no line feed", b"\r\n\0\xff", &every] {
        host.sesame(["secret", "set", "exact"]).stdin(value).succeed();
        assert_eq!(host.sesame(["secret", "get", "exact"]).run().stdout, value);
        // To a file as to a pipe.
        let path = host.dir().join("value");
        let mut command = host.sesame(["secret", "get", "exact"]).into_command();
        command.stdout(fs::File::create(&path).expect("a file"));
        assert_eq!(outcome_of_status(command), 0);
        assert_eq!(fs::read(&path).expect("the file"), value);
    }
}

fn outcome_of_status(mut command: Command) -> i32 {
    command.status().expect("sesame starts").code().unwrap_or(-1)
}

#[test]
fn the_directory_comes_from_the_environment_unless_it_is_named() {
    let host = Host::started();
    let run = |dir: &Path, more: &[&str]| {
        let mut command = bare(&[&["status", "--json"], more].concat());
        command.env("SESAME_DIR", dir);
        as_operator(&mut command, host.users.operator);
        outcome(command)
    };
    let found = run(host.dir(), &[]);
    assert_eq!(found.code, 0, "{}", found.error());
    assert_eq!(run(Path::new("/nonexistent"), &[]).code, 3);
    let named = run(Path::new("/nonexistent"), &["--dir", host.dir().to_str().expect("UTF-8")]);
    assert_eq!(named.code, 0, "{}", named.error());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "x"]).stdin("value").succeed();
    for args in [
        &["audit", "tail", "-n", "1000"][..],
        &["config", "keys"],
        &["completions", "zsh"],
        &["--help"],
        &["status", "--json"],
        &["secret", "get", "x"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = host.sesame(args).into_command();
        command.stdout(writer).stderr(Stdio::piped());
        let outcome = outcome_with_stdout(command);
        assert_eq!((outcome.code, outcome.error().as_str()), (0, ""), "{args:?}");
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = host.sesame(["secret", "get", "missing"]).into_command();
    command.stderr(writer);
    assert_eq!(outcome_of_status(command), 8, "nobody reads the error either");
}

fn outcome_with_stdout(command: Command) -> Outcome {
    let mut command = command;
    let child = command.stdin(Stdio::null()).spawn().expect("sesame starts");
    // Closes this end of the pipe as well.
    drop(command);
    let output = child.wait_with_output().expect("sesame ends");
    let code = output.status.code().unwrap_or(-1);
    Outcome { code, stdout: output.stdout, stderr: output.stderr }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "x"]).stdin("value").succeed();
    for args in [&["secret", "get", "x"][..], &["status"], &["audit", "head", "--json"]] {
        let mut command = host.sesame(args).into_command();
        command.stdout(fs::File::options().write(true).open("/dev/full").expect("/dev/full"));
        command.stderr(Stdio::piped());
        let outcome = outcome_with_stdout(command);
        assert_eq!(outcome.code, 1, "{args:?}");
        assert!(outcome.error().contains("cannot write"), "{}", outcome.error());
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, check) in [
        ("bash", Some(["bash", "-n"])),
        ("zsh", Some(["zsh", "-n"])),
        ("fish", Some(["fish", "-n"])),
        ("elvish", None),
        ("powershell", None),
    ] {
        let script = outcome(bare(&["completions", shell]));
        assert_eq!(script.code, 0, "{shell}");
        assert!(script.text().contains("security-posture"), "{shell}");
        let Some([program, option]) = check else { continue };
        if !Path::new("/usr/bin").join(program).exists() {
            eprintln!("skipped, for it is not installed: {program} -n");
            continue;
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), &script.stdout).expect("write");
        let parsed = Command::new(program).arg(option).arg(file.path()).output().expect(program);
        assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    }
}

#[test]
fn every_command_has_a_man_page_without_a_warning() {
    let place = tempfile::tempdir().expect("a directory");
    let made = outcome(bare(&["man", place.path().to_str().expect("UTF-8")]));
    assert_eq!(made.code, 0, "{}", made.error());
    for (path, _) in helps(&[]) {
        let name = ["sesame".to_owned()].iter().chain(&path).cloned().collect::<Vec<_>>().join("-");
        let page = place.path().join(format!("{name}.1"));
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(".SH NAME"), "{name}");
        if !Path::new("/usr/bin/groff").exists() {
            eprintln!("skipped, for it is not installed: groff -man -ww");
            continue;
        }
        let lint = Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(&page).output();
        let lint = lint.expect("groff");
        assert_eq!(String::from_utf8_lossy(&lint.stderr), "", "{name}");
    }
}

/// An ordinary user's directories, with nothing in them.
struct Home {
    place: tempfile::TempDir,
    uid: u32,
}

impl Home {
    fn new() -> Self {
        let uid = testbed::Users::available().operator;
        let place = tempfile::Builder::new().prefix("home-").tempdir_in("/tmp").expect("a home");
        for name in ["", "run", "state", "config"] {
            let path = place.path().join(name);
            fs::create_dir_all(&path).expect("mkdir");
            chown(&path, Some(uid), Some(uid)).expect("chown");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
        }
        Self { place, uid }
    }

    /// `sesame ARGS` of this user, with that program.
    fn with(&self, program: &Path, args: &[&str], stdin: &str) -> Outcome {
        let mut command = Command::new(program);
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.env("HOME", self.place.path());
        for (name, below) in
            [("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")]
        {
            command.env(name, self.place.path().join(below));
        }
        as_operator(&mut command, self.uid);
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), stdin).expect("write");
        command.stdin(fs::File::open(file.path()).expect("open"));
        outcome(command)
    }

    fn sesame(&self, args: &[&str]) -> Outcome {
        self.with(&binary("sesame"), args, "")
    }

    #[track_caller]
    fn succeed(&self, args: &[&str]) -> String {
        let outcome = self.sesame(args);
        assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.error());
        outcome.text()
    }

    /// Every key file and peers.toml.
    fn keys(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = [
            "state/sesame/audit/noise.key",
            "state/sesame/secrets/noise.key",
            "state/sesame/operator/noise.key",
            "config/sesame/peers.toml",
        ];
        files
            .iter()
            .map(|name| {
                let path = self.place.path().join(name);
                let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
                (path, bytes)
            })
            .collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.sesame(&["down"]);
    }
}

#[test]
fn a_session_goes_up_and_down_and_keeps_its_keys() {
    let home = Home::new();
    assert_eq!(home.sesame(&["status"]).code, 3);
    assert_eq!(home.succeed(&["up"]), "daemon-audit is ready.\ndaemon-secrets is ready.\n");
    let keys = home.keys();
    for (path, bytes) in &keys {
        let mode = fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        let is_key = path.ends_with("noise.key");
        assert_eq!(mode, if is_key { 0o600 } else { 0o644 }, "{}", path.display());
        assert!(!is_key || bytes.len() == 32);
    }
    let again = "daemon-audit is running already.\ndaemon-secrets is running already.\n";
    assert_eq!(home.succeed(&["up"]), again);
    let nothing = one_object(home.succeed(&["up", "--json"]).as_bytes());
    assert_eq!(nothing, json!({ "started": [] }));

    assert!(home.succeed(&["status"]).contains("none yet"));
    let sesame = binary("sesame");
    let made = home.with(&sesame, &["init", "--password-stdin"], PASSWORD);
    assert_eq!(made.code, 0, "{}", made.error());
    assert_eq!(home.with(&sesame, &["unlock", "--password-stdin"], PASSWORD).code, 0);
    assert_eq!(home.with(&sesame, &["secret", "set", "x"], "value\n").code, 0);
    assert_eq!(home.succeed(&["secret", "get", "x"]), "value\n");

    let down = "daemon-secrets has stopped.\ndaemon-audit has stopped.\n";
    assert_eq!(home.succeed(&["down"]), down);
    assert_eq!(home.sesame(&["status"]).code, 3);
    let down = "daemon-secrets was not running.\ndaemon-audit was not running.\n";
    assert_eq!(home.succeed(&["down"]), down);

    let started = one_object(home.succeed(&["up", "--json"]).as_bytes());
    assert_eq!(started, json!({ "started": ["daemon-audit", "daemon-secrets"] }));
    assert!(home.keys() == keys, "keys are made once");
    assert_eq!(home.with(&sesame, &["unlock", "--password-stdin"], PASSWORD).code, 0);
    assert_eq!(home.succeed(&["secret", "get", "x"]), "value\n");
    home.succeed(&["audit", "verify"]);
    let stopped = one_object(home.succeed(&["down", "--json"]).as_bytes());
    assert_eq!(stopped, json!({ "stopped": ["daemon-secrets", "daemon-audit"] }));
}

#[test]
fn a_session_that_cannot_go_up_says_why_in_the_daemon_s_words() {
    let home = Home::new();
    // The program alone, without the daemons beside it.
    let alone = tempfile::Builder::new().prefix("alone-").tempdir_in("/tmp").expect("a directory");
    fs::set_permissions(alone.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let program = alone.path().join("sesame");
    fs::copy(binary("sesame"), &program).expect("copy");
    let missing = home.with(&program, &["up"], "");
    assert_eq!(missing.code, 3);
    let expected = format!("sesame: there is no daemon-audit beside {}\n", program.display());
    assert_eq!(missing.error(), expected);

    // A daemon that ends at once: its own words are passed on.
    let script = "#!/bin/sh\necho 'sesame: the state is on fire' >&2\nexit 9\n";
    fs::write(alone.path().join("daemon-audit"), script).expect("write");
    fs::set_permissions(alone.path().join("daemon-audit"), fs::Permissions::from_mode(0o755))
        .expect("chmod");
    let broken = home.with(&program, &["up"], "");
    assert_eq!(broken.code, 3);
    assert!(broken.error().contains("the state is on fire"), "{}", broken.error());
    assert!(broken.error().contains("exit status: 9"), "{}", broken.error());

    // A real one, whose key was damaged.
    home.succeed(&["up"]);
    home.succeed(&["down"]);
    let key = home.place.path().join("state/sesame/secrets/noise.key");
    fs::write(&key, b"short").expect("write");
    let damaged = home.sesame(&["up"]);
    assert_eq!(damaged.code, 3, "{}", damaged.error());
    assert!(damaged.error().contains("daemon-secrets did not start"), "{}", damaged.error());
    assert!(damaged.error().contains("noise.key"), "{}", damaged.error());
    assert_eq!(fs::read(&key).expect("the key"), b"short", "and it is not replaced");
    home.succeed(&["down"]);

    let config = home.place.path().join("config/sesame/config.toml");
    fs::write(&config, "[unlock]\nfree_atempts = 3\n").expect("write");
    let typo = home.sesame(&["up"]);
    assert_eq!(typo.code, 20);
    assert!(typo.error().contains("free_attempts"), "the nearest one: {}", typo.error());
}
