//! Our trails under another implementation, and its cosignatures under ours: the rules of C2SP and
//! RFC 6962 written again in Python (`../python`), with the signatures of OpenSSL.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use audit_log::HashAlgorithm;
use nix::unistd::Uid;
use serde_json::Value;
use testbed::{Host, Sesame};

/// What `sesame` ends with when a signature is wrong or missing.
const SIGNATURE: i32 = 17;

/// The signatures of a checkpoint: the trail's two, and below them the witness's.
const SIGNATURES: [&str; 4] = [
    "the Ed25519 signature of sesame-audit/",
    "the ML-DSA-44 signature of sesame-audit/",
    "the Ed25519 signature of example.org/alice",
    "the ML-DSA-44 signature of example.org/alice",
];

#[test]
fn another_implementation_finds_in_a_trail_of_either_hash_what_we_find() {
    let Some(python) = python_or_skip() else { return };
    for hash in HashAlgorithm::ALL {
        let exported = Exported::new(hash);
        let found = exported.bundle.check(&python).unwrap();
        let ours = verify(&exported.host, &exported.bundle).succeed();
        let ours: Value = serde_json::from_str(&ours).unwrap();
        assert_eq!(found["hash"], hash.as_str());
        let checkpoints = found["checkpoints"].as_array().unwrap();
        assert_eq!(
            (&found["entries"], &found["root"], checkpoints.last().unwrap(), &found["cosigners"]),
            (&ours["entries"], &ours["root"], &ours["sealed"], &ours["cosigners"])
        );
        assert_eq!(found["signers"], 3, "the key was rotated twice: {found}");
        assert_eq!(found["proven"].as_array().unwrap().len(), exported.bundle.proofs().len());
    }
}

#[test]
fn another_implementation_refuses_what_was_changed() {
    let Some(python) = python_or_skip() else { return };
    let Exported { host, bundle } = Exported::new(HashAlgorithm::Sha256);
    let refuses = |reason: &str, change: &dyn Fn(&Bundle)| {
        let damaged = bundle.copy(&host);
        change(&damaged);
        let said = damaged.check(&python).expect_err(reason);
        assert!(said.contains(reason), "it should say {reason:?}, and it says {said:?}");
    };
    refuses("entry 9 does not match its hash", &|copy| {
        edit(&copy.segment(), |text| {
            let line = text.lines().nth(9).unwrap();
            text.replace(line, &line.replacen("\"uid\":", "\"uid\":1", 1))
        });
    });
    refuses("the root of another tree", &|copy| {
        edit(&copy.segment(), |text| with_another_end(&text));
    });
    refuses("announces a checkpoint that is not there", &|copy| {
        fs::remove_file(&copy.checkpoints()[1]).unwrap();
    });
    refuses("is over", &|copy| {
        let checkpoints = copy.checkpoints();
        fs::copy(&checkpoints[0], &checkpoints[1]).unwrap();
    });
    for (line, signature) in SIGNATURES.into_iter().enumerate() {
        refuses(signature, &|copy| {
            edit(copy.checkpoints().last().unwrap(), |text| with_another_signature(&text, line));
        });
    }
    refuses("leads to another root", &|copy| {
        edit(&copy.proofs()[2], |text| text.replace("\nindex 7\n", "\nindex 6\n"));
    });
    bundle.check(&python).unwrap();
}

#[test]
fn a_witness_of_another_implementation_counts() {
    let Some(python) = python_or_skip() else { return };
    let Exported { host, bundle } = Exported::new(HashAlgorithm::Blake3);
    let cosigned = bundle.copy(&host);
    let name = "example.org/another-implementation";
    let key = cosigned.0.join("another-witness.txt");
    let done = run(&python, "cosign.py", |command| {
        command.arg(&cosigned.0).arg(name).arg(&key);
    });
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let verify = |bundle: &Bundle| verify(&host, bundle).args(["--witness"]).args([&key]);
    let report: Value = serde_json::from_str(&verify(&cosigned).succeed()).unwrap();
    assert!(report["cosigners"].as_array().unwrap().iter().any(|who| who == name), "{report}");
    verify(&bundle).fail(SIGNATURE);
    for line in [4, 5] {
        let damaged = cosigned.copy(&host);
        edit(damaged.checkpoints().last().unwrap(), |text| with_another_signature(&text, line));
        verify(&damaged).fail(SIGNATURE);
    }
}

/// The Python that `cargo xtask test` has put the packages for; without it, CI fails.
fn python_or_skip() -> Option<PathBuf> {
    let python = std::env::var_os("SESAME_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        let reason = "it needs Python with packages, which `cargo xtask test` installs";
        assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "{reason}");
        // Past the test harness, which keeps to itself what a test prints that passes.
        let _ =
            writeln!(std::io::stderr(), "skipped: trails under another implementation; {reason}");
    }
    python
}

/// A host with a trail, and what an auditor has of it.
struct Exported {
    host: Host,
    bundle: Bundle,
}

impl Exported {
    /// Secrets were written and read, the keys were rotated twice, and a witness of ours has seen it.
    fn new(hash: HashAlgorithm) -> Self {
        let config = format!("[crypto]\naudit_hash = \"{hash}\"\n");
        let mut host = Host::builder().config(&config).provision();
        host.start();
        host.init();
        host.unlock();
        // Characters that JSON escapes, and some that it does not.
        for name in ["ca", r#"a "quote""#, r"a\slash/", "schlüssel", "\u{1f511}"] {
            host.sesame(["secret", "set", name]).stdin("value").succeed();
            host.sesame(["secret", "get", name]).succeed();
        }
        let audit = |args: &[&str]| host.sesame(["audit"]).args(args).succeed();
        audit(&["rotate-key"]);
        host.sesame(["lock"]).succeed();
        audit(&["seal"]);
        audit(&["rotate-key"]);
        let directory = host.layout.operator_state().unwrap().join("export");
        let path = directory.to_str().unwrap();
        audit(&["export", path]);
        let bundle = Bundle(directory.clone());
        fs::write(bundle.witness(), audit(&["witness", "example.org/alice"])).unwrap();
        audit(&["cosign", path, "--key", &format!("{path}/public-key.txt")]);
        for entry in ["0", "7", "17"] {
            let proof = format!("{path}/entry-{entry}.tlog-proof");
            audit(&["prove", entry, "--path", path, "--output", &proof]);
        }
        Self { host, bundle }
    }
}

/// An export, and beside its manifest the proofs and the key of the witness.
struct Bundle(PathBuf);

impl Bundle {
    /// What the other implementation finds; or what it does not agree with.
    fn check(&self, python: &Path) -> Result<Value, String> {
        let output = run(python, "check.py", |command| {
            command.arg(&self.0).arg("--witness").arg(self.witness());
            for proof in self.proofs() {
                command.arg("--proof").arg(proof);
            }
        });
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(output.status.success(), said["disagreement"].is_null(), "{said}");
        match said["disagreement"].as_str() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(said),
        }
    }

    fn copy(&self, host: &Host) -> Self {
        let mut builder = tempfile::Builder::new();
        builder.permissions(fs::Permissions::from_mode(0o755)).prefix("copy-");
        let to = builder.tempdir_in(host.dir()).unwrap().keep();
        for part in ["", "trail"] {
            fs::create_dir_all(to.join(part)).unwrap();
            for file in files(&self.0.join(part)) {
                fs::copy(&file, to.join(part).join(file.file_name().unwrap())).unwrap();
            }
        }
        Self(to)
    }

    fn witness(&self) -> PathBuf {
        self.0.join("witness.txt")
    }

    fn proofs(&self) -> Vec<PathBuf> {
        self.files_with("", "tlog-proof")
    }

    fn checkpoints(&self) -> Vec<PathBuf> {
        self.files_with("trail", "note")
    }

    /// The only one.
    fn segment(&self) -> PathBuf {
        let [segment] = self.files_with("trail", "jsonl").try_into().unwrap();
        segment
    }

    fn files_with(&self, directory: &str, extension: &str) -> Vec<PathBuf> {
        let mut files = files(&self.0.join(directory));
        files.retain(|file| file.extension().is_some_and(|end| end == extension));
        files
    }
}

/// The files of a directory, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Runs a script of the other implementation.
fn run(python: &Path, script: &str, arguments: impl FnOnce(&mut Command)) -> Output {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let mut command = Command::new(python);
    command.arg(scripts.join(script)).env_clear();
    arguments(&mut command);
    command.output().unwrap()
}

/// `sesame audit verify`, with the witness of ours, by whoever runs the test.
fn verify(host: &Host, bundle: &Bundle) -> Sesame {
    let command = host.sesame(["--json", "audit", "verify"]).user(Uid::effective().as_raw());
    let (key, witness) = (bundle.0.join("public-key.txt"), bundle.witness());
    command
        .args([Path::new("--path"), &bundle.0, Path::new("--key"), &key])
        .args([Path::new("--witness"), &witness])
}

#[track_caller]
fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "the edit changed nothing");
    fs::write(path, changed).unwrap();
}

/// The chain as it should be, with another last entry.
fn with_another_end(segment: &str) -> String {
    let last = segment.lines().last().unwrap();
    let (covered, _) = last.rsplit_once(",\"hash\":\"").unwrap();
    let covered = covered.replace("\"outcome\":\"done\"", "\"outcome\":\"failed\"");
    let hash = HashAlgorithm::Sha256.hash(covered.as_bytes());
    segment.replace(last, &format!("{covered},\"hash\":\"{hash}\"}}"))
}

/// The note with other bits in one of its signatures.
fn with_another_signature(note: &str, line: usize) -> String {
    let line = note.lines().filter(|line| line.starts_with('\u{2014}')).nth(line).unwrap();
    let at = line.rfind(' ').unwrap() + 60;
    let other = if line.as_bytes()[at] == b'A' { "B" } else { "A" };
    note.replace(line, &[&line[..at], other, &line[at + 1..]].concat())
}
