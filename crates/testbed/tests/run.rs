//! `sesame run`: a program with its secrets, and with nothing else.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use testbed::{Host, Outcome, binary};

/// Every byte there is, no line feed at the end.
fn binary_value() -> Vec<u8> {
    (0..=255).rev().collect()
}

fn host() -> Host {
    let host = Host::unlocked();
    for (name, value) in [
        ("db/password", b"p w\"$'\xc3\xa9\n".to_vec()),
        ("binary", binary_value()),
        ("empty", Vec::new()),
        ("other", b"never-asked-for".to_vec()),
    ] {
        host.sesame(["secret", "set", name]).stdin(value).succeed();
    }
    host
}

/// `sesame run ARGS`.
fn run(host: &Host, args: &[&str]) -> Outcome {
    host.sesame(["run"].iter().chain(args)).run()
}

/// `sh -c SCRIPT` as the operator, in which `"$@"` is `sesame run ARGS`.
fn shell(host: &Host, script: &str, args: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh"]).arg(binary("sesame")).arg("--dir").arg(host.dir());
    command.arg("run").args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    let operator = host.users.operator;
    if operator != Uid::effective().as_raw() {
        command.uid(operator).gid(operator);
    }
    command
}

#[test]
fn a_variable_holds_the_exact_bytes() {
    let host = host();
    let outcome =
        run(&host, &["--secret", "DB=db/password", "--", "sh", "-c", "printf %s \"$DB\""]);
    assert_eq!(outcome.code, 0, "{}", outcome.error());
    assert_eq!(outcome.stdout, b"p w\"$'\xc3\xa9\n");
    assert_eq!(outcome.error(), "");
}

#[test]
fn a_descriptor_holds_the_exact_bytes_and_then_ends() {
    let host = host();
    let outcome = run(&host, &["--secret-fd", "9=binary", "--", "sh", "-c", "cat <&9; cat <&9"]);
    assert_eq!(outcome.stdout, binary_value());
    let outcome = run(&host, &["--secret-fd", "3=empty", "--", "sh", "-c", "cat <&3; echo end"]);
    assert_eq!(outcome.stdout, b"end\n");
    // To be read like any pipe: it blocks, and the program's own children inherit it.
    let outcome = run(&host, &["--secret-fd", "9=binary", "--", "cat", "/proc/self/fdinfo/9"]);
    assert!(outcome.text().contains("flags:\t00\n"), "{}{}", outcome.text(), outcome.error());
}

#[test]
fn the_largest_value_fits_a_descriptor() {
    let host = host();
    let value: Vec<u8> = (0_u32..64 * 1024).map(|n| (n % 251) as u8).collect();
    host.sesame(["secret", "set", "large"]).stdin(value.clone()).succeed();
    let outcome = run(&host, &["--secret-fd", "3=large", "--", "sh", "-c", "cat <&3"]);
    assert!(outcome.stdout == value, "{} bytes, {}", outcome.stdout.len(), outcome.error());
}

#[test]
fn a_zero_byte_is_refused_in_a_variable_and_nothing_runs() {
    let host = host();
    let outcome = run(&host, &["--secret", "B=binary", "--", "echo", "ran"]);
    assert_eq!((outcome.code, outcome.text().as_str()), (24, ""));
    assert!(outcome.error().contains("use --secret-fd"), "{}", outcome.error());
}

#[test]
fn many_secrets_at_once_each_arrive_at_their_place() {
    let host = host();
    // Numbers that the pipes themselves would be given, in an order that makes them collide.
    let script = "cat <&5 | od -An -tx1 | head -1; cat <&3; cat <&4; printf %s \"$A$B\"";
    let outcome = run(
        &host,
        &[
            "--secret-fd",
            "5=binary",
            "--secret-fd",
            "3=other",
            "--secret-fd",
            "4=other",
            "--secret",
            "A=other",
            "--secret",
            "B=empty",
            "--",
            "sh",
            "-c",
            script,
        ],
    );
    let expected =
        format!(" ff fe fd fc fb fa f9 f8 f7 f6 f5 f4 f3 f2 f1 f0\n{0}{0}{0}", "never-asked-for");
    assert_eq!(outcome.text(), expected, "{}", outcome.error());
}

#[test]
fn the_program_s_exit_code_passes_through() {
    let host = host();
    for code in [0, 1, 5, 77, 255] {
        let script = format!("exit {code}");
        assert_eq!(run(&host, &["--", "sh", "-c", &script]).code, code);
    }
    assert_eq!(run(&host, &["--", "sh", "-c", "kill -9 $$"]).code, -1, "a signal is a signal");
}

#[test]
fn a_program_that_is_not_there_or_no_program_is_told_apart() {
    let host = host();
    let outcome = run(&host, &["--", "no-such-program"]);
    assert_eq!(outcome.code, 127);
    assert!(outcome.error().starts_with("sesame: cannot run no-such-program: "));
    let plain_file = host.dir().join("config.toml");
    for program in ["/etc", plain_file.to_str().expect("UTF-8")] {
        assert_eq!(run(&host, &["--", program]).code, 126, "{program}");
    }
    let outcome = host.sesame(["--json", "run", "--", "no-such-program"]).run();
    assert!(outcome.error().contains("\"exit_code\":127"), "{}", outcome.error());
}

#[test]
fn nothing_runs_without_every_secret() {
    let host = host();
    let missing = ["--secret", "A=other", "--secret-fd", "3=missing", "--", "echo", "ran"];
    let outcome = run(&host, &missing);
    assert_eq!((outcome.code, outcome.text().as_str()), (8, ""));
    host.sesame(["lock"]).succeed();
    let outcome = run(&host, &["--secret", "A=other", "--", "echo", "ran"]);
    assert_eq!((outcome.code, outcome.text().as_str()), (5, ""));
}

#[test]
fn an_injection_that_cannot_be_is_a_usage_error_before_anything_is_read() {
    let host = host();
    for wrong in [
        ["--secret", "db/password"],
        ["--secret", "1A=other"],
        ["--secret", "A-B=other"],
        ["--secret", "=other"],
        ["--secret-fd", "2=other"],
        ["--secret-fd", "256=other"],
        ["--secret-fd", "x=other"],
        ["--secret-fd", "-1=other"],
    ] {
        let outcome = run(&host, &[wrong[0], wrong[1], "--", "echo", "ran"]);
        assert_eq!((outcome.code, outcome.text().as_str()), (2, ""), "{wrong:?}");
    }
    assert!(!host.sesame(["audit", "tail"]).succeed().contains("secret.get"));
}

#[test]
fn a_descriptor_in_use_is_not_taken_away() {
    let host = host();
    let args = ["--secret-fd", "5=other", "--", "echo", "ran"];
    let output = shell(&host, "exec 5</dev/null; exec \"$@\"", &args).output().expect("sh");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("descriptor 5 is in use already"), "{error}");
    assert_eq!(output.stdout, b"");
    let args = ["--secret-fd", "5=other", "--secret-fd", "5=empty", "--", "echo", "ran"];
    assert_ne!(run(&host, &args).code, 0, "the same number twice");
}

#[test]
fn the_program_inherits_no_descriptor_of_sesame() {
    let host = host();
    let list = ["ls", "-l", "/proc/self/fd"];
    let open = |mut command: Command| -> BTreeSet<String> {
        let output = command.output().expect("sh");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let named = text.lines().filter_map(|line| line.split_once(" -> ")?.0.rsplit(' ').next());
        // ls(1) itself reads the directory, by the first number that is free.
        let own = text.lines().find(|line| line.ends_with("/fd")).expect("ls opens it");
        let own = own.split_once(" -> ").and_then(|(left, _)| left.rsplit(' ').next());
        named.filter(|name| Some(*name) != own).map(str::to_owned).collect()
    };
    let with = |args: &[&str]| {
        let args: Vec<&str> = args.iter().chain(&["--"]).chain(&list).copied().collect();
        open(shell(&host, "exec 5</dev/null; exec \"$@\"", &args))
    };
    // Whoever runs this test may have left some open; 5 is meant to be passed on.
    let mut expected = open(shell(&host, "exec 5</dev/null; exec ls -l /proc/self/fd", &[]));
    assert!(expected.contains("5"), "{expected:?}");
    assert_eq!(with(&[]), expected);
    assert_eq!(with(&["--secret", "A=other"]), expected);
    expected.extend(["77".to_owned(), "78".to_owned()]);
    assert_eq!(with(&["--secret-fd", "77=other", "--secret-fd", "78=empty"]), expected);
}

#[test]
fn the_program_s_environment_is_the_caller_s_and_the_secrets_asked_for() {
    let host = host();
    let outcome = host
        .sesame(["run", "--secret", "A=empty", "--secret", "KEPT=other", "--", "env"])
        .env("KEPT", "replaced")
        .env("LANG", "C")
        .run();
    let mut lines: Vec<String> = outcome.text().lines().map(str::to_owned).collect();
    lines.sort();
    let expected =
        ["A=", "HOME=/nonexistent", "KEPT=never-asked-for", "LANG=C", "PATH=/usr/bin:/bin"];
    assert_eq!(lines, expected);
}

#[test]
fn the_program_starts_with_the_caller_s_limits_and_no_signal_blocked() {
    let host = host();
    let script = "ulimit -a; grep -E '^Sig(Blk|Ign|Cgt)|^NoNewPrivs|^Seccomp:' /proc/self/status";
    let inside = shell(&host, "exec \"$@\"", &["--secret", "A=other", "--", "sh", "-c", script]);
    let outside = shell(&host, "exec sh -c \"$8\"", &["--secret", "A=other", "--", script]);
    let [inside, outside] = [inside, outside].map(|mut command| {
        let output = command.output().expect("sh");
        String::from_utf8(output.stdout).expect("UTF-8")
    });
    assert!(outside.contains("SigIgn") && outside.contains("coredump"), "{outside}");
    assert_eq!(inside, outside);
}

#[test]
fn a_signal_belongs_to_the_program() {
    let host = host();
    for (signal, code) in [(Signal::SIGINT, 41), (Signal::SIGTERM, 42), (Signal::SIGHUP, 43)] {
        let script = "trap 'exit 41' INT; trap 'exit 42' TERM; trap 'exit 43' HUP; echo $$ ready; \
                      for n in $(seq 500); do sleep 0.02; done";
        let mut command =
            shell(&host, "exec \"$@\"", &["--secret", "A=other", "--", "sh", "-c", script]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("sh");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        // The program has become the process that the caller started: there is nothing in between.
        assert_eq!(line, format!("{} ready\n", child.id()));
        kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), signal).expect("it runs");
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            match child.try_wait().expect("a child") {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "{signal} did not arrive"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(code), "{signal}");
    }
}

#[test]
fn the_trail_says_which_secrets_were_handed_to_a_program() {
    let host = host();
    run(&host, &["--secret", "A=other", "--secret-fd", "3=binary", "--", "true"]);
    let tail = host.sesame(["audit", "tail", "-n", "2"]).succeed();
    for name in ["other", "binary"] {
        let line = tail.lines().find(|line| line.contains(name)).expect(name);
        assert!(line.contains("secret.get") && line.contains("purpose=run"), "{line}");
    }
    assert!(!tail.contains("never-asked-for"));
}
