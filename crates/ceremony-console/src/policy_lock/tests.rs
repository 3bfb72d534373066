use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{chown, symlink};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::getuid;
use tempfile::TempDir;

use super::*;
use crate::scripted::Scripted;

const NUMBER: &str = "0123456789abcdef";
const FINE: &str = "0123456789abcdef\nCeremony script, section 4\ncrypto.kdf=argon2id\n";
const LOCK: &str = "sesame policy lock --source=Ceremony script, section 4 -- crypto.kdf=argon2id";

/// The directories of an appliance, and whoever waits for the answer.
struct Appliance {
    places: Places,
    dir: TempDir,
}

impl Appliance {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let requests = dir.path().join("request");
        fs::create_dir(&requests).unwrap();
        fs::set_permissions(&requests, Permissions::from_mode(0o700)).unwrap();
        let places = Places {
            requests,
            owner: getuid().as_raw(),
            taken: dir.path().join("policy-taken"),
            root: getuid().as_raw(),
            answer: dir.path().join("policy-answer"),
            policy: dir.path().join("policy.toml"),
        };
        Self { places, dir }
    }

    fn request(&self) -> PathBuf {
        self.places.requests.join(REQUEST)
    }

    /// A request that its writer holds the lock of.
    fn ask(&self, text: &str) -> File {
        let file = OpenOptions::new().write(true).create_new(true).open(self.request()).unwrap();
        file.lock().unwrap();
        fs::write(self.request(), text).unwrap();
        fs::set_permissions(self.request(), Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// What is done with whatever is there: how it ended, and the room where it was asked, if it was.
    fn run(&self, host: Scripted) -> (Result<(), PolicyLockError>, Option<Scripted>) {
        let mut room = None;
        let given = Shared(&mut room);
        let done = run(&self.places, move |_| {
            *given.0 = Some(host);
            Ok(given)
        });
        for path in [self.request(), self.places.taken.clone()] {
            assert!(path.symlink_metadata().is_err(), "the request is gone, whatever it was");
        }
        (done, room)
    }

    fn answer(&self) -> String {
        fs::read_to_string(&self.places.answer).unwrap_or_default()
    }

    /// What is no request is neither shown nor answered.
    fn refuses(&self, said: &str) {
        let (done, room) = self.run(Scripted::typing(&["lock"]));
        let error = done.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(room.is_none() && self.answer().is_empty());
    }

    /// What nobody could judge on a screen is answered, and not shown.
    fn does_not_ask(&self, said: &str) {
        let (done, room) = self.run(Scripted::typing(&["lock"]));
        done.unwrap();
        assert!(room.is_none());
        let answer = self.answer();
        assert!(answer.starts_with(&format!("{NUMBER} 1\n")), "{answer}");
        assert!(answer.contains(said), "{answer}");
    }

    /// In the place of what `sesame policy lock` writes once people were asked.
    fn locking(&self, host: Scripted) -> Scripted {
        let policy = self.places.policy.clone();
        let written = move || fs::write(&policy, "").unwrap();
        Scripted { after_answer: Some(Box::new(written)), ..host }
    }
}

/// A scripted room that outlives its question.
struct Shared<'a>(&'a mut Option<Scripted>);

impl Shared<'_> {
    fn room(&mut self) -> &mut Scripted {
        self.0.as_mut().unwrap()
    }
}

impl Host for Shared<'_> {
    fn run(&mut self, command: &[&str]) -> io::Result<Ended> {
        self.room().run(command)
    }
    fn capture(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        self.room().capture(command)
    }
    fn hear(&mut self, command: &[&str]) -> io::Result<(Ended, String)> {
        self.room().hear(command)
    }
    fn bind(&mut self, source: std::os::fd::BorrowedFd<'_>, target: &Path) -> io::Result<()> {
        self.room().bind(source, target)
    }
    fn say(&mut self, text: &str) {
        self.room().say(text);
    }
    fn ask(&mut self, prompt: &str) -> io::Result<String> {
        self.room().ask(prompt)
    }
}

#[test]
fn what_people_confirm_is_locked_and_the_daemons_start_anew() {
    let appliance = Appliance::new();
    let _waiting = appliance.ask(FINE);
    let shown = "crypto.kdf = \"argon2id\"  # Ceremony script, section 4\n";
    let host = Scripted::typing(&["lock"]).with("sesame policy show", Ended::Exit(0), shown).with(
        "systemctl --no-ask-password is-active",
        Ended::Exit(3),
        "inactive\n",
    );
    let (done, room) = appliance.run(appliance.locking(host));
    done.unwrap();
    let room = room.unwrap();
    insta::assert_snapshot!("question", room.heard);
    let systemctl = |rest: &str| format!("systemctl --no-ask-password {rest}");
    let expected = [
        LOCK.to_owned(),
        systemctl("is-active cicada.service"),
        systemctl("reset-failed sesame-audit.service sesame-secrets.service"),
        systemctl("restart sesame-audit.service"),
        systemctl("start sesame-secrets.service"),
        "sesame policy show".to_owned(),
    ];
    assert_eq!(room.run, expected);
    assert!(appliance.places.policy.exists() && !trial::is_on(&appliance.places.policy));
    insta::assert_snapshot!("done", appliance.answer());
    let mode = fs::metadata(&appliance.places.answer).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "the ceremony user reads it");
}

#[test]
fn without_the_word_nothing_is_locked() {
    for typed in ["", "yes", "lock it", "LOCK"] {
        let appliance = Appliance::new();
        let _waiting = appliance.ask(FINE);
        let (_, room) = appliance.run(Scripted::typing(&[typed]));
        assert!(room.unwrap().run.is_empty());
        assert!(
            appliance.answer().starts_with(&format!("{NUMBER} 28\n")),
            "{}",
            appliance.answer()
        );
    }
    let appliance = Appliance::new();
    let _waiting = appliance.ask(FINE);
    let (_, room) = appliance.run(Scripted::default());
    assert!(room.unwrap().run.is_empty(), "nobody is there");
}

#[test]
fn nobody_is_asked_when_nobody_waits() {
    let appliance = Appliance::new();
    drop(appliance.ask(FINE));
    let (_, room) = appliance.run(Scripted::typing(&["lock"]));
    assert!(room.is_none());
    assert!(appliance.answer().contains("did not wait"), "{}", appliance.answer());
}

#[test]
fn locked_is_locked() {
    for there in [true, false] {
        let appliance = Appliance::new();
        if there {
            fs::write(&appliance.places.policy, "as it was").unwrap();
        } else {
            symlink("nowhere", &appliance.places.policy).unwrap();
        }
        let _waiting = appliance.ask(FINE);
        let (_, room) = appliance.run(Scripted::typing(&["lock"]));
        assert!(room.is_none(), "nobody is asked");
        assert!(appliance.answer().starts_with(&format!("{NUMBER} 9\n")), "{}", appliance.answer());
        assert!(appliance.places.policy.symlink_metadata().is_ok());
    }
}

#[test]
fn what_sesame_says_against_it_is_the_answer() {
    let appliance = Appliance::new();
    let _waiting = appliance.ask(FINE);
    let said = "sesame: config.toml:1: crypto.kdf is set to another. Nothing was locked\n";
    let host = Scripted::typing(&["lock"]).with("sesame policy lock", Ended::Exit(20), said);
    let (_, room) = appliance.run(host);
    let room = room.unwrap();
    assert!(!room.has_run("systemctl"));
    assert!(room.heard.ends_with(said.trim_start_matches("sesame: ")), "{}", room.heard);
    assert!(!trial::is_on(&appliance.places.policy));
    let expected = format!("{NUMBER} 20\n{}", said.trim_start_matches("sesame: "));
    assert_eq!(appliance.answer(), expected);
}

#[test]
fn a_policy_that_the_daemons_do_not_start_with_is_taken_back() {
    for failing in [
        "systemctl --no-ask-password restart sesame-audit",
        "systemctl --no-ask-password start sesame-secrets.service cicada.service",
    ] {
        let appliance = Appliance::new();
        let _waiting = appliance.ask(FINE);
        let host = Scripted::typing(&["lock"]).with(failing, Ended::Exit(1), "");
        let (_, room) = appliance.run(appliance.locking(host));
        let room = room.unwrap();
        let tries = room.run.iter().filter(|line| line.starts_with(failing)).count();
        assert_eq!(tries, 2, "with the policy and without");
        assert!(room.heard.contains("taken back, and nothing is locked"), "{}", room.heard);
        assert!(!appliance.places.policy.exists() && !trial::is_on(&appliance.places.policy));
        let answer = appliance.answer();
        assert!(answer.starts_with(&format!("{NUMBER} 20\n")), "{answer}");
        assert!(answer.contains("taken back, and nothing is locked"), "{answer}");
    }
}

#[test]
fn what_is_no_file_of_the_ceremony_users_is_not_read() {
    let appliance = Appliance::new();
    let elsewhere = appliance.dir.path().join("elsewhere");
    fs::write(&elsewhere, FINE).unwrap();
    symlink(&elsewhere, appliance.request()).unwrap();
    appliance.refuses("is a link");
    assert!(elsewhere.exists(), "the link is removed, not what it leads to");

    nix::unistd::mkfifo(&appliance.request(), Mode::S_IRUSR).unwrap();
    appliance.refuses("is not a regular file");

    fs::create_dir(appliance.request()).unwrap();
    fs::write(appliance.request().join("file"), "").unwrap();
    appliance.refuses("is not a regular file");

    let _waiting = appliance.ask(&"x".repeat(10 << 20));
    appliance.refuses("has more than 8192 bytes");

    let _waiting = appliance.ask(FINE);
    fs::set_permissions(appliance.request(), Permissions::from_mode(0o666)).unwrap();
    appliance.refuses("can be written");

    if getuid().is_root() {
        let _waiting = appliance.ask(FINE);
        chown(appliance.request(), Some(961), None).unwrap();
        appliance.refuses("belongs to uid 961");
    }
}

#[test]
fn cicada_is_started_and_looked_at_where_it_ran() {
    let appliance = Appliance::new();
    let _waiting = appliance.ask(FINE);
    let (_, room) = appliance.run(appliance.locking(Scripted::typing(&["lock"])));
    let others = "sesame-secrets.service cicada.service";
    let start = format!("systemctl --no-ask-password start {others}");
    assert!(room.unwrap().run.contains(&start));
    assert!(appliance.answer().starts_with(&format!("{NUMBER} 0\n")), "{}", appliance.answer());
}

/// Whatever is done to the directory, there is no second start for the same request.
#[test]
fn the_request_is_taken_whatever_its_directory_is_like() {
    for mode in [0o770, 0o777, 0o1777, 0o700] {
        let appliance = Appliance::new();
        let _waiting = appliance.ask(FINE);
        fs::set_permissions(&appliance.places.requests, Permissions::from_mode(mode)).unwrap();
        let (done, room) = appliance.run(Scripted::typing(&[""]));
        done.unwrap();
        assert!(room.is_some(), "{mode:o}");
    }
}

#[test]
fn a_tree_of_any_depth_is_removed() {
    let appliance = Appliance::new();
    let mut within: OwnedFd = File::open(&appliance.places.requests).unwrap().into();
    // More than a service may have open at once (systemd's DefaultLimitNOFILE=).
    const DEEPER: usize = 1500;
    for _ in 0..DEEPER {
        mkdirat(&within, REQUEST, Mode::S_IRWXU).unwrap();
        within = openat(&within, REQUEST, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    appliance.refuses("is not a regular file");
}

#[test]
fn what_was_left_behind_does_not_keep_the_next_request_away() {
    let appliance = Appliance::new();
    fs::create_dir_all(appliance.places.taken.join("x")).unwrap();
    let _waiting = appliance.ask(FINE);
    let (done, room) = appliance.run(Scripted::typing(&[""]));
    done.unwrap();
    assert!(room.is_some());
}

/// A session that goes on could write over the question.
#[test]
fn without_the_console_to_itself_root_asks_nothing() {
    let appliance = Appliance::new();
    let _waiting = appliance.ask(FINE);
    run(&appliance.places, |_| Err::<Scripted, _>(io::Error::other("it goes on"))).unwrap();
    let expected = "cannot ask on the console: it goes on; nothing was locked";
    assert_eq!(appliance.answer(), format!("{NUMBER} 1\n{expected}\n"));
    assert!(!appliance.places.policy.exists());
}

#[test]
fn a_command_that_was_ended_waits_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(REQUEST);
    let file = File::create(&path).unwrap();
    file.lock().unwrap();
    let seen = File::open(&path).unwrap();
    assert!(is_waited_for(&seen));
    drop(file);
    assert!(!is_waited_for(&seen));
}

mod interrupted;
mod shown;
