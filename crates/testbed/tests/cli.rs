//! The command line as people and programs meet it: help, JSON, pipes, completions, man pages.
//!
//! `INSTA_UPDATE=always cargo test -p testbed --test cli` writes the snapshots anew.

#[path = "common/bare.rs"]
mod bare;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use bare::{as_operator, bare, one_object, outcome};
use ipc::factors::Change;
use serde_json::{Value, json};
use testbed::{Host, Outcome, PASSWORD, binary, factors};

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
                // Where one is read from, or that one is to be asked for; and a touch of a device.
                let known = [
                    "--password-stdin",
                    "--password-credential <NAME>",
                    "--passphrases",
                    "--passphrases-stdin",
                    "--tpm-pin",
                    "--fido2-pin",
                ];
                let option = line.split("  ").next().unwrap_or_default();
                let is_about = |word: &str| option.to_lowercase().contains(word);
                let names_one = ["password", "passphrase", "pin", "value", "token"];
                let is_known = known.contains(&option) || !names_one.into_iter().any(is_about);
                assert!(is_known, "{path:?}: {line}");
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

/// Every command that prints prints one JSON object when asked to, and the list of commands is the
/// help's own.
#[test]
fn every_command_prints_one_json_object() {
    let mut host = Host::started();
    let place = tempfile::tempdir_in("/tmp").expect("a directory");
    chown(place.path(), Some(host.users.operator), None).expect("chown");
    let [bundle, man, file, proof, backup] = ["bundle", "man", "key", "proof", "backup"]
        .map(|name| place.path().join(name).to_str().expect("UTF-8").to_owned());
    fs::create_dir(&man).expect("mkdir");
    chown(&man, Some(host.users.operator), None).expect("chown");
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
    let two = format!("{PASSWORD}\nanother password\n");
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
        ("factor list", b""),
        ("factor policy", b""),
        ("factor enroll password --label second --password-stdin", two.as_bytes()),
        ("factor test second --password-stdin", b"another password"),
        ("factor rename second other --password-stdin", password),
        ("factor revoke other --password-stdin", password),
        ("factor cancel", b""),
        ("key rotate --password-stdin", password),
        ("secret set key", b"\x00\xffvalue\n"),
        ("secret list", b""),
        ("secret get key", b""),
        ("secret delete key", b""),
        ("audit tail", b""),
        ("audit head", b""),
        ("audit seal", b""),
        ("audit key", b""),
        ("audit rotate-key", b""),
        ("audit verify", b""),
        ("config show", b""),
        ("config check", b""),
        ("config keys", b""),
        ("policy show", b""),
        ("key", b""),
        ("peer list", b""),
        ("completions bash", b""),
    ]
    .map(|(line, stdin): (&str, &[u8])| (line.to_owned(), stdin))
    .into();
    let more = [
        format!("audit export {bundle}"),
        format!("audit verify --path {bundle} --key {file}"),
        format!("audit prove 1 --output {proof}"),
        format!("audit verify-proof {proof} --key {file}"),
        "audit witness example.org/alice".to_owned(),
        format!("audit cosign {bundle} --key {file}"),
        format!("man {man}"),
        format!("vault backup {backup}"),
    ];
    let more = more.into_iter().map(|line| (line, b"".as_slice()));
    for (line, stdin) in lines.into_iter().chain(more) {
        let value = run(&host, &line, stdin, &[0]);
        if line == "audit rotate-key" {
            // The one that signs what is made from now on.
            fs::write(&file, host.sesame(["audit", "key"]).succeed()).expect("a key file");
        }
        if line == "secret get key" {
            assert_eq!(value, json!({ "name": "key", "value": "AP92YWx1ZQo=" }));
        }
        done.insert(line);
    }
    let line = format!("vault restore {backup} --profile copy --password-stdin");
    run(&host, &line, password, &[0]);
    let split = "share split --threshold 2 --shares 2 --show-all --password-stdin";
    let shares = run(&host, split, password, &[0]);
    let words = shares["shares"][0]["words"].as_str().expect("words").as_bytes();
    run(&host, "share verify --share-stdin", words, &[0]);
    let change = Change::RotateKey;
    factors::authorise(&mut host.client(), &change, &[(1, PASSWORD)]).expect("it is the password");
    run(&host, "factor approve --yes --password-stdin", password, &[0]);
    run(&host, "lock", b"", &[0]);
    run(&host, "status", b"", &[0]);
    let others =
        ["vault restore", "share split", "share verify", "factor approve", "lock", "status"];
    done.extend(others.map(str::to_owned));
    // 21 where this machine is below the floor.
    let posture = run(&host, "status --security-posture", b"", &[0, 21]);
    check_posture(&posture);
    run(&host, "media attest", b"", &[0, 21]);
    run(&host, &format!("wipe --i-understand {id}"), b"", &[0]);
    done.extend([format!("wipe {id}"), "init".to_owned()]);

    // Files of the host are root's; in a session they are the user's own.
    chown(host.dir(), Some(host.users.operator), None).expect("chown");
    run(&host, &format!("peer add eve --uid 7 --key {key}"), b"", &[0]);
    run(&host, "policy lock crypto.kdf --source board", b"", &[0]);
    done.extend(["peer add".to_owned(), "policy lock".to_owned()]);
    host.stop();

    // `up`, `down`, `cicada` and `media`, which reads disks, have tests of their own, and `provision` is root's on a real system;
    // `run` prints nothing.
    done.extend(["up", "down", "provision", "run"].map(str::to_owned));
    for (path, text) in helps(&[]) {
        let line = path.join(" ");
        let leaf = !text.contains("\nCommands:\n");
        let is_elsewhere = line.starts_with("cicada ") || line.starts_with("media ");
        assert!(
            !leaf || is_elsewhere || done.iter().any(|done| done.starts_with(&line)),
            "{line} is not tried"
        );
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
