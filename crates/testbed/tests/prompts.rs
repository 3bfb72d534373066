//! What is asked on a real pseudo-terminal.

use std::fs;

use testbed::terminal::Terminal;
use testbed::{Host, PASSWORD, binary};

#[test]
fn a_password_is_asked_without_echo_and_unlocks() {
    let host = Host::initialised();
    let mut terminal = Terminal::sesame(&host, ["unlock"]);
    terminal.expect_prompt("Password for the default profile: ");
    terminal.press(PASSWORD);
    terminal.press("\r");
    terminal.expect("The default profile is unlocked.");
    assert_eq!(terminal.finish(), 0);
    assert!(!terminal.screen().contains("correct"), "{:?}", terminal.screen());
    assert!(terminal.echoes());
    assert!(terminal.is_as_before());
}

#[test]
fn a_new_password_is_asked_twice_and_a_mismatch_does_nothing() {
    let host = Host::started();
    let mut terminal = Terminal::sesame(&host, ["init"]);
    terminal.expect_prompt("New password for profile default: ");
    terminal.press("first password\r");
    terminal.expect_prompt("The same again: ");
    terminal.press("other password\r");
    terminal.expect("the two passwords differ; nothing was done");
    assert_eq!(terminal.finish(), 24);
    assert!(terminal.echoes());
    assert!(!terminal.screen().contains("word\r") && !terminal.screen().contains("other"));
    assert!(host.sesame(["status"]).succeed().contains("none yet"));

    let mut terminal = Terminal::sesame(&host, ["init"]);
    for prompt in ["New password for profile default: ", "The same again: "] {
        terminal.expect_prompt(prompt);
        terminal.press(format!("{PASSWORD}\r"));
    }
    terminal.expect("is ready");
    assert_eq!(terminal.finish(), 0);
    host.unlock();
}

#[test]
fn a_prompt_can_be_cancelled_and_leaves_the_terminal_as_it_was() {
    let host = Host::initialised();
    for keys in ["\x03", "\x04", "half a pass\x03"] {
        let mut terminal = Terminal::sesame(&host, ["unlock"]);
        terminal.expect_prompt("Password for the default profile: ");
        terminal.press(keys);
        terminal.expect("cancelled; nothing was done");
        assert_eq!(terminal.finish(), 28, "{keys:?}");
        assert!(terminal.echoes(), "{keys:?}");
        assert!(terminal.is_as_before(), "{keys:?}");
    }
    assert!(!host.sesame(["status"]).succeed().contains("wrong tries"));
    let tail = host.sesame(["audit", "tail", "-n", "50"]).succeed();
    assert!(!tail.contains("unlock"), "{tail}");
}

#[test]
fn backspace_takes_a_whole_character_and_ctrl_u_the_whole_line() {
    let host = Host::initialised();
    let typed = [
        format!("x\x7f{PASSWORD}"),
        format!("é漢🗝\x7f\x08\x7f{PASSWORD}"),
        format!("\x7f\x7f{PASSWORD}ä\x7f"),
        format!("something else\x15{PASSWORD}"),
    ];
    for keys in typed {
        let mut terminal = Terminal::sesame(&host, ["unlock"]);
        terminal.expect_prompt("Password for the default profile: ");
        terminal.press(&keys);
        terminal.press("\n");
        assert_eq!(terminal.finish(), 0, "{keys:?}: {:?}", terminal.screen());
        host.sesame(["lock"]).succeed();
    }
}

/// Pasting must not cut a value short in silence, nor hand its further lines to the shell.
#[test]
fn what_is_pasted_at_a_prompt_is_taken_whole_or_refused() {
    let host = Host::unlocked();
    let longest = "p".repeat(1024);
    let mut terminal = Terminal::sesame(&host, ["secret", "set", "long"]);
    terminal.expect_prompt("Value of long: ");
    terminal.press(format!("{longest}\r"));
    assert_eq!(terminal.finish(), 0, "{:?}", terminal.screen());
    assert_eq!(host.sesame(["secret", "get", "long"]).run().stdout, longest.as_bytes());

    let mut terminal = Terminal::sesame(&host, ["secret", "set", "longer"]);
    terminal.expect_prompt("Value of longer: ");
    terminal.press(format!("{longest}q\r"));
    terminal.expect("at most 1024 bytes");
    assert_eq!(terminal.finish(), 24);
    host.sesame(["secret", "get", "longer"]).fail(8);

    let mut terminal = Terminal::sesame(&host, ["unlock"]);
    terminal.expect_prompt("Password for the default profile: ");
    terminal.press(format!("{PASSWORD}{}\x15{PASSWORD}\r", "p".repeat(2000)));
    assert_eq!(terminal.finish(), 0, "^U forgets that the line was too long");
}

#[test]
fn the_lines_after_a_pasted_one_do_not_reach_the_shell() {
    let host = Host::initialised();
    let shell = format!(
        "{} --dir {} unlock; IFS= read -r -t 1 rest; echo \"rest=[$rest]\"",
        binary("sesame").display(),
        host.dir().display()
    );
    let bash = std::path::Path::new("/bin/bash");
    let mut terminal = Terminal::start(bash, ["-c", &shell], host.users.operator, |_| {});
    terminal.expect_prompt("Password for the default profile: ");
    terminal.press(format!("{PASSWORD}\rsecond line\r"));
    terminal.expect("rest=[]");
    assert!(!terminal.screen().contains("second line"), "{:?}", terminal.screen());
}

#[test]
fn a_secret_is_shown_on_a_terminal_only_when_that_is_asked_for() {
    let host = Host::unlocked();
    host.sesame(["secret", "set", "pin"]).stdin("31415926").succeed();
    let mut terminal = Terminal::sesame(&host, ["secret", "get", "pin"]);
    terminal.expect("add --show; nothing was read");
    assert_eq!(terminal.finish(), 2);
    assert!(!terminal.screen().contains("31415926"));
    assert!(!host.sesame(["audit", "tail"]).succeed().contains("secret.get"));

    let mut terminal = Terminal::sesame(&host, ["secret", "get", "pin", "--show"]);
    assert_eq!(terminal.finish(), 0);
    assert_eq!(terminal.screen(), "31415926\r\n");
}

#[test]
fn a_secret_is_asked_for_without_echo() {
    let host = Host::unlocked();
    let mut terminal = Terminal::sesame(&host, ["secret", "set", "api/token"]);
    terminal.expect_prompt("Value of api/token: ");
    terminal.press("tok\u{e9}n-1234\r");
    terminal.expect("api/token is written (11 bytes).");
    assert_eq!(terminal.finish(), 0);
    assert!(!terminal.screen().contains("1234"));
    assert!(terminal.echoes());
    let value = host.sesame(["secret", "get", "api/token"]).run().stdout;
    assert_eq!(value, "tok\u{e9}n-1234".as_bytes());
}

#[test]
fn a_password_on_standard_input_is_not_typed_in_the_open() {
    let host = Host::initialised();
    let mut terminal = Terminal::sesame(&host, ["unlock", "--password-stdin"]);
    terminal.expect("standard input is a terminal");
    assert_eq!(terminal.finish(), 2);
}

#[test]
fn colour_is_for_terminals_and_not_for_everybody() {
    let host = Host::initialised();
    let posture = ["status", "--security-posture"];
    let mut plain = Terminal::sesame(&host, posture);
    plain.finish();
    assert!(plain.screen().contains("\x1b[3"), "{:?}", plain.screen());
    let start = |name: &str, value: &str| {
        let (program, dir) = (binary("sesame"), host.dir().to_str().expect("UTF-8"));
        let args = ["--dir", dir, posture[0], posture[1]];
        let mut terminal = Terminal::start(&program, args, host.users.operator, |command| {
            command.env(name, value);
        });
        terminal.finish();
        terminal.screen()
    };
    assert!(!start("NO_COLOR", "1").contains('\x1b'));
    assert!(start("NO_COLOR", "").contains("\x1b[3"), "empty counts as unset (no-color.org)");
    assert!(!host.sesame(posture).run().text().contains('\x1b'));
}

/// What `ps` would show to everybody, while a password is being typed.
#[test]
fn a_typed_password_is_in_neither_arguments_nor_environment() {
    let host = Host::initialised();
    let mut terminal = Terminal::sesame(&host, ["unlock"]);
    terminal.expect_prompt("Password for the default profile: ");
    terminal.press(PASSWORD);
    let proc = format!("/proc/{}", terminal.pid());
    let program = fs::read_link(format!("{proc}/exe")).expect("it waits");
    assert_eq!(program, binary("sesame"), "this is sesame itself");
    for file in ["cmdline", "environ", "comm", "status"] {
        let bytes = fs::read(format!("{proc}/{file}")).expect("readable");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("correct") && !text.contains("battery"), "{file}: {text}");
    }
    terminal.press("\x03");
    assert_eq!(terminal.finish(), 28);
}

/// A signal is no keystroke: it ends the program while the prompt stands.
#[test]
fn a_killed_prompt_gives_the_terminal_back() {
    use nix::sys::signal::{Signal, kill};
    let host = Host::initialised();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut terminal = Terminal::sesame(&host, ["unlock"]);
        terminal.expect_prompt("Password for the default profile: ");
        let pid = i32::try_from(terminal.pid()).expect("a process id");
        kill(nix::unistd::Pid::from_raw(pid), signal).expect("it waits");
        assert_eq!(terminal.finish(), -1, "{signal} ends it as it ends any program");
        assert!(terminal.is_as_before(), "{signal}");
    }
}
