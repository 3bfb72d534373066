//! Fault 3: the sandbox as seen from outside, on every thread of the running daemons; and a daemon
//! that was taken over, in that sandbox, against the rest of the host.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ipc::Credentials;
use site_config::Daemon;
use testbed::{Host, Users, binary, is_root_or_skip};

const DAEMONS: [Daemon; 2] = [Daemon::Audit, Daemon::Secrets];

/// `/proc/PID/task/*/status` of every thread.
fn threads(pid: i32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("root lists threads").flatten();
    tasks.map(|task| fs::read_to_string(task.path().join("status")).expect("a status")).collect()
}

fn field<'s>(status: &'s str, key: &str) -> &'s str {
    let value = |line: &'s str| line.strip_prefix(key)?.strip_prefix(":\t");
    status.lines().find_map(value).unwrap_or_else(|| panic!("no {key} in {status}"))
}

fn interfaces(pid: &str) -> Vec<String> {
    let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).expect("root reads it");
    let name = |line: &str| Some(line.split_once(':')?.0.trim().to_owned());
    devices.lines().skip(2).filter_map(name).collect()
}

fn assert_confined(pid: i32, what: &str) {
    let threads = threads(pid);
    assert!(threads.len() > 4, "{what} has {} threads", threads.len());
    for status in &threads {
        assert_eq!(field(status, "Seccomp"), "2", "{what}: {status}");
        assert_eq!(field(status, "NoNewPrivs"), "1", "{what}: {status}");
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(field(status, set), "0000000000000000", "{what}, {set}: {status}");
        }
        assert_eq!(field(status, "Umask"), "0077", "{what}: {status}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("root reads it");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{what}: {core}");
}

#[test]
fn every_thread_of_both_daemons_is_confined() {
    if !is_root_or_skip("looking at the processes of other users") {
        return;
    }
    let host = Host::unlocked();
    let mut clients: Vec<_> =
        (0..40).map(|_| host.connect(Daemon::Secrets).expect("a connection")).collect();
    testbed::ask::set(&mut clients[39], "name", b"value").expect("written");
    for daemon in DAEMONS {
        let pid = host.pid(daemon);
        assert_confined(pid, daemon.as_str());
        // A process that can't be dumped belongs to root, whoever runs it.
        let owner = fs::metadata(format!("/proc/{pid}/environ")).expect("it is there").st_uid();
        assert_eq!(owner, 0, "{daemon:?} is dumpable");
        let program = fs::read_link(format!("/proc/{pid}/exe")).expect("root reads it");
        assert_eq!(program, binary(daemon.as_str()));
    }
}

/// What [`every_thread_of_both_daemons_is_confined`] sees of a process that nobody confined.
#[test]
fn an_ordinary_process_looks_different() {
    if !is_root_or_skip("running as another user") {
        return;
    }
    let uid = Users::available().stranger;
    let mut sleep = Command::new("sleep").arg("60").uid(uid).gid(uid).spawn().expect("it starts");
    let place = format!("/proc/{}", sleep.id());
    // Until it has become `sleep`.
    while fs::read_to_string(format!("{place}/comm")).expect("root reads it") != "sleep\n" {
        std::thread::yield_now();
    }
    let status = fs::read_to_string(format!("{place}/status")).expect("root reads it");
    let owner = fs::metadata(format!("{place}/environ")).expect("it is there").st_uid();
    let _ = sleep.kill();
    let _ = sleep.wait();
    assert_eq!((field(&status, "NoNewPrivs"), owner), ("0", uid));
}

#[test]
fn a_daemon_that_root_starts_has_no_privileges_and_no_network_left() {
    if !is_root_or_skip("starting a daemon as root") {
        return;
    }
    let mut host = Host::builder().users(Users::only_me()).provision();
    host.start();
    host.init();
    host.unlock();
    for daemon in DAEMONS {
        let pid = host.pid(daemon);
        assert_confined(pid, daemon.as_str());
        for status in threads(pid) {
            assert_eq!(field(&status, "CapBnd"), "0000000000000000", "{status}");
        }
        assert_eq!(interfaces(&pid.to_string()), ["lo"]);
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).expect("it reads");
        assert_ne!(namespace(&pid.to_string()), namespace("self"));
    }
    if interfaces("self") == ["lo"] {
        eprintln!("this test has no other interface itself, so that its half about them is moot");
    }
}

#[test]
fn the_daemons_of_a_session_have_no_network() {
    if !is_root_or_skip("becoming another user") {
        return;
    }
    let uid = Users::available().operator;
    let home = tempfile::tempdir_in("/tmp").expect("a home");
    std::os::unix::fs::chown(home.path(), Some(uid), Some(uid)).expect("chown");
    let as_user = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).uid(uid).gid(uid).env_clear().env("HOME", home.path());
        command.env("XDG_RUNTIME_DIR", home.path()).current_dir("/").stdin(Stdio::null());
        command.output().expect("it runs")
    };
    if !as_user(Path::new("/usr/bin/unshare"), &["--user", "--net", "true"]).status.success() {
        eprintln!("skipped, for users may not have namespaces here");
        return;
    }
    let sesame = binary("sesame");
    let up = as_user(&sesame, &["up"]);
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let found = ["audit/audit.sock", "secrets/secrets.sock"].map(|socket| {
        let socket = home.path().join("sesame").join(socket);
        let pid = Credentials::of(&UnixStream::connect(&socket).expect("it listens"));
        let pid = pid.expect("who it is").pid;
        (pid, interfaces(&pid.to_string()))
    });
    for (pid, interfaces) in &found {
        assert_confined(*pid, "a daemon of a session");
        assert_eq!(interfaces, &["lo"]);
    }
    assert!(as_user(&sesame, &["down"]).status.success());
}

/// Runs the `hostile` program as a daemon's user, in its directory, against the other daemon.
fn attack(host: &Host, mode: &str, daemon: Daemon, uid: u32, attempts: &[String]) -> Output {
    let other = if daemon == Daemon::Audit { Daemon::Secrets } else { Daemon::Audit };
    let outside = host.layout.state(other);
    fs::write(outside.join("there"), "x").expect("a file to attack");
    let name = format!("hostile-{}", host.dir().display());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _listener = UnixListener::bind_addr(&address).expect("an abstract socket");
    let mut command = Command::new(binary("hostile"));
    command.arg(mode).arg(host.layout.state(daemon)).arg(host.pid(other).to_string());
    command.arg(outside).arg(&name).args(attempts).uid(uid).gid(uid).env_clear();
    let output = command.output().expect("it runs");
    assert!(outside.join("there").exists(), "it was removed");
    output
}

/// What a daemon has no business with.
fn forbidden(host: &Host, daemon: Daemon) -> Vec<String> {
    let other = if daemon == Daemon::Audit { Daemon::Secrets } else { Daemon::Audit };
    let state = host.layout.state(other).display().to_string();
    let operator = host.layout.operator_key().expect("a key").display();
    vec![
        format!("list:{state}"),
        format!("create:{state}/new"),
        format!("append:{state}/there"),
        format!("read:{}", host.layout.daemon_key(other).display()),
        format!("read:{operator}"),
        format!("append:{}", host.layout.peers_file().display()),
        format!("read:{}", host.layout.config_file().display()),
        format!("create:{}", host.layout.policy_file().display()),
        format!("list:{}", host.dir().display()),
        format!("remove:{}", host.layout.socket(other).display()),
        format!("read:/proc/{}/maps", host.pid(other)),
        "read:/etc/passwd".to_owned(),
        "create:/tmp/hostile-was-here".to_owned(),
    ]
}

#[test]
fn a_daemon_that_was_taken_over_reaches_nothing() {
    if !is_root_or_skip("running as the daemons' users") {
        return;
    }
    let host = Host::initialised();
    let users = [(Daemon::Audit, host.users.audit), (Daemon::Secrets, host.users.secrets)];
    for (daemon, uid) in users {
        let output = attack(&host, "confined", daemon, uid, &forbidden(&host, daemon));
        assert!(output.status.success(), "as {daemon:?}: {output:?}");
    }
    host.unlock();
}

/// The same where one user owns everything, as in a session: file modes forbid nothing then.
#[test]
fn the_sandbox_holds_where_file_modes_do_not() {
    if !is_root_or_skip("owning everything") {
        return;
    }
    let mut host = Host::builder().users(Users::only_me()).provision();
    host.start();
    host.init();
    for daemon in DAEMONS {
        let attempts = forbidden(&host, daemon);
        let output = attack(&host, "confined", daemon, 0, &attempts);
        assert!(output.status.success(), "as {daemon:?}: {output:?}");
        // Each of the attempts gets somewhere without the sandbox. The last ones do damage.
        let output = attack(&host, "free", daemon, 0, &attempts);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.lines().count(), attempts.len(), "denied anyway: {text}");
        assert!(text.lines().all(|line| line.ends_with(": Ok(())")), "{text}");
        let _ = fs::remove_file("/tmp/hostile-was-here");
        let _ = fs::remove_file(host.layout.policy_file());
        fs::remove_file(host.layout.state(Daemon::Audit).join("new")).ok();
        fs::remove_file(host.layout.state(Daemon::Secrets).join("new")).ok();
    }
}
