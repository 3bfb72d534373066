//! `cargo xtask ceremony`: a whole key ceremony with the real daemons and the real command, each
//! command shown as an operator types it and with the output that it really had.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::prerequisites;
use crate::step::{Failed, cargo, step, target};

pub fn run() -> Result<(), Failed> {
    prerequisites::ensure()?;
    let binaries = ["-p", "sesame", "-p", "daemon-audit", "-p", "daemon-secrets"];
    let mut build = cargo(&["build", "--release", "--quiet", "--locked"]);
    build.args(binaries);
    step("release binaries", build)?;
    let start = Instant::now();
    let room = Room::prepare()?;
    let held = hold(&room);
    if held.is_err() {
        // Whatever went wrong, no daemon stays behind.
        let _ = room.shell("sesame down >/dev/null 2>&1").status();
    }
    held?;
    println!("\nThe ceremony took {:.1} s.", start.elapsed().as_secs_f64());
    println!("The export is in {}", room.export.display());
    Ok(())
}

/// The script. `#` lines are for the witnesses.
fn hold(room: &Room) -> Result<(), Failed> {
    let binding = if has_machine_id() { "machine-id" } else { "none" };

    room.say("The daemons start, each confined, and an installation is made.");
    room.run("sesame up")?;
    room.run(&format!(
        "sesame init --org example.org --machine-binding {binding} --password-stdin < officer.pass"
    ))?;

    room.say("Posture gate: nothing is enrolled on a machine below the floor.");
    room.run("sesame status --security-posture")?;

    room.say("Enrolment: a second profile, with a password of its own.");
    room.run("sesame profile create signing --password-stdin < custodian.pass")?;
    room.run("sesame profile list")?;

    room.say("A second factor, and recovery shares. Each custodian proves theirs, alone.");
    room.run(
        "(cat officer.pass; echo; cat custodian.pass) | \
         sesame factor enroll password --label custodian --password-stdin",
    )?;
    room.run(
        "sesame share split --threshold 2 --shares 3 --label board --show-all --password-stdin \
         < officer.pass | grep ^SHARE > shares.txt",
    )?;
    room.run("sed -n 2p shares.txt | sesame share verify --share-stdin")?;

    room.say("The unlock policy: two factors of three. With one there is no key.");
    room.run("sesame factor policy policy --additional 2 --password-stdin < officer.pass")?;
    room.run("sesame factor list")?;

    room.say("Policy lock: from here on no configuration can weaken these settings.");
    // `require` wants Argon2id's working memory locked too, for which a session's limit is too low.
    let protection = if locked_memory_limit() >= 25 << 20 { "require" } else { "prefer" };
    room.run(&format!(
        "sesame policy lock crypto.kdf unlock.minimum_password_length=12 \
         memory.protection={protection} --source 'Ceremony script, section 4'"
    ))?;
    room.run("sesame policy show")?;
    room.run("sesame down && sesame up")?;

    room.say("Unlock. A wrong password is refused, recorded, and slows down those that follow.");
    room.run_expecting(6, "sesame unlock --password-stdin < wrong.pass")?;
    room.run_expecting(29, "sesame unlock --password-stdin < officer.pass")?;
    room.run("sesame unlock --password-stdin < custodian.pass")?;
    room.run("sesame status")?;

    room.say("Secrets: written, listed, read to a pipe, and handed to a program.");
    room.run("sesame secret set ca/passphrase < value")?;
    room.run("sesame secret set db/password < value")?;
    room.run("sesame secret list")?;
    room.run("sesame secret get ca/passphrase | cmp - value && echo the same bytes")?;
    room.run(
        "sesame run --secret DB_PASSWORD=db/password --secret-fd 3=ca/passphrase -- \
         sh -c 'echo ${#DB_PASSWORD} characters in the environment, $(wc -c <&3) in descriptor 3'",
    )?;

    room.say("Lock: the keys are gone, and with them every value.");
    room.run("sesame lock")?;
    room.run_expecting(5, "sesame secret get db/password | cat")?;

    room.say("The trail: verified here, sealed, and its head for paper. The words are read aloud.");
    room.run("sesame audit tail -n 6")?;
    room.run("sesame audit verify")?;
    room.run("sesame audit key > trail-key.txt")?;
    room.run("sesame audit head")?;
    let words =
        room.output("sesame --json audit head | sed 's/.*\"words\":\"\\([a-z ]*\\)\".*/\\1/'")?;

    room.say("The export, onto a stick for instance.");
    let export = room.export.display();
    room.run(&format!("sesame audit export '{export}'"))?;
    room.run("sesame audit prove 4")?;
    room.run("sesame down")?;

    room.say("On another machine, with nothing but the binary, the key, and the words from paper:");
    let receiver = Receiver::prepare(room)?;
    receiver.run(&format!(
        "./sesame audit verify --path '{export}' --key trail-key.txt --require-sealed --expect-head {}",
        words.trim()
    ))?;
    receiver.run("./sesame audit verify-proof entry-4.tlog-proof --key trail-key.txt")?;

    room.say("A witness cosigns it there, and from then on can tell whoever rewrites it.");
    receiver.run("./sesame --dir w audit witness example.org/alice > alice.txt")?;
    receiver.run(&format!("./sesame --dir w audit cosign '{export}' --key trail-key.txt"))?;
    receiver.run(&format!(
        "./sesame audit verify --path '{export}' --key trail-key.txt --witness alice.txt"
    ))
}

/// A machine that has the binary, the trail's public key and a proof, and nothing else.
struct Receiver(PathBuf);

impl Receiver {
    fn prepare(room: &Room) -> Result<Self, Failed> {
        let dir = room.dir.join("receiver");
        fs::create_dir(&dir).map_err(|error| cannot("make the receiver's directory", &error))?;
        for (from, name) in [
            (room.bin.join("sesame"), "sesame"),
            (room.dir.join("trail-key.txt"), "trail-key.txt"),
            (room.dir.join("entry-4.tlog-proof"), "entry-4.tlog-proof"),
        ] {
            fs::copy(from, dir.join(name))
                .map_err(|error| cannot(&format!("copy {name}"), &error))?;
        }
        Ok(Self(dir))
    }

    fn run(&self, line: &str) -> Result<(), Failed> {
        println!("$ {line}");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(&self.0).env_clear();
        expect_code(line, 0, command)
    }
}

/// The scratch directory of one ceremony. It goes away at the end; the export stays.
struct Room {
    dir: PathBuf,
    bin: PathBuf,
    export: PathBuf,
}

impl Room {
    fn prepare() -> Result<Self, Failed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        // In /tmp, because the path of a socket has 107 bytes at most.
        let dir = PathBuf::from(format!("/tmp/sesame-ceremony-{now}-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| cannot("make the scratch directory", &error))?;
        for (name, length) in [("officer", 24), ("custodian", 24), ("wrong", 24)] {
            write(&dir.join(format!("{name}.pass")), &random_text(length)?)?;
        }
        write(&dir.join("value"), &random_text(40)?)?;
        let exports = target().join("ceremony");
        fs::create_dir_all(&exports).map_err(|error| cannot("make target/ceremony", &error))?;
        let export = exports.join(format!("export-{now}"));
        Ok(Self { dir, bin: target().join("release"), export })
    }

    fn say(&self, text: &str) {
        println!("\n# {text}");
    }

    fn shell(&self, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["-o", "pipefail", "-c", line])
            .current_dir(&self.dir)
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .env("SESAME_DIR", self.dir.join("site"));
        command
    }

    fn run(&self, line: &str) -> Result<(), Failed> {
        self.run_expecting(0, line)
    }

    fn run_expecting(&self, code: i32, line: &str) -> Result<(), Failed> {
        println!("$ {line}");
        expect_code(line, code, self.shell(&format!("exec 2>&1; {line}")))
    }

    fn output(&self, line: &str) -> Result<String, Failed> {
        let output =
            self.shell(line).output().map_err(|error| cannot(&format!("run {line}"), &error))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn expect_code(line: &str, code: i32, mut command: Command) -> Result<(), Failed> {
    let status = command.status().map_err(|error| cannot(&format!("run {line}"), &error))?;
    if status.code() == Some(code) {
        return Ok(());
    }
    Err(Failed(format!("{line}: ended with {status} instead of {code}")))
}

fn random_text(length: usize) -> Result<String, Failed> {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = vec![0; length];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| cannot("read /dev/urandom", &error))?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

fn write(path: &Path, text: &str) -> Result<(), Failed> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| cannot(&format!("write {}", path.display()), &error))
}

/// The hard limit, in bytes, from proc(5).
fn locked_memory_limit() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max locked memory"));
    match line.and_then(|line| line.split_whitespace().nth(4)) {
        Some("unlimited") => u64::MAX,
        Some(bytes) => bytes.parse().unwrap_or(0),
        None => 0,
    }
}

fn has_machine_id() -> bool {
    fs::read_to_string("/etc/machine-id").is_ok_and(|text| text.trim().len() == 32)
}

fn cannot(what: &str, error: &std::io::Error) -> Failed {
    Failed(format!("cannot {what}: {error}"))
}
