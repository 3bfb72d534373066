//! Forgeries as somebody meets them who has nothing but `sesame` and a bundle: each with its exit
//! code and one sentence. (audit-log has all of them; here are the main ones, through the command.)
//!
//! `INSTA_UPDATE=always cargo test -p testbed --test forgery` writes the snapshots anew.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may")]

#[path = "../../audit-log/tests/common/forged.rs"]
#[allow(dead_code, reason = "helpers of tests, of which we use a part")]
mod forged;
#[path = "common/redact.rs"]
mod redact;
#[path = "common/stick.rs"]
mod stick;

use std::fs;
use std::path::{Path, PathBuf};

use audit_log::{HashAlgorithm, Manifest, Operation, parse_line};
use forged::Forged;
use redact::redact;
use stick::Stick;
use testbed::{Host, Outcome};
use tlog::{PublicKeys, Role, SigningKeys};

/// A bundle, what is known of it from elsewhere, and a forger's own keys.
struct Scene {
    host: Host,
    stick: Stick,
    bundle: PathBuf,
    manifest: Manifest,
    key: PathBuf,
    public: PublicKeys,
    hash: HashAlgorithm,
    forger: SigningKeys,
}

fn scene(hash: HashAlgorithm) -> Scene {
    let config = format!("crypto.audit_hash = \"{hash}\"\n");
    let mut host = Host::builder().config(&config).provision();
    host.start();
    host.init();
    host.unlock();
    for name in ["a", "b", "c"] {
        host.sesame(["secret", "set", name]).stdin("value").succeed();
    }
    let stick = Stick::new(&host);
    let key = stick.path("key");
    fs::copy(host.save_key("key"), &key).unwrap();
    let public: PublicKeys = fs::read_to_string(&key).unwrap().parse().unwrap();
    host.sesame(["lock"]).succeed();
    host.sesame(["audit", "rotate-key"]).succeed();
    host.unlock();
    host.sesame(["secret", "get", "a"]).succeed();
    let bundle = stick.export(&host, "bundle");
    let manifest = serde_json::from_slice(&fs::read(bundle.join("manifest.json")).unwrap());
    let forger = SigningKeys::generate(public.name().clone(), Role::Log).unwrap();
    Scene { host, stick, bundle, manifest: manifest.unwrap(), key, public, hash, forger }
}

impl Scene {
    /// A bundle of the forger's files; its manifest fits them if `and_manifest`.
    fn store(&self, forged: &Forged, and_manifest: bool) -> PathBuf {
        let path = self.stick.path("forged");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("trail")).unwrap();
        forged.store(&path.join("trail"));
        let manifest =
            if and_manifest { forged.manifest(&self.manifest) } else { self.manifest.clone() };
        fs::write(path.join("manifest.json"), serde_json::to_vec_pretty(&manifest).unwrap())
            .unwrap();
        let genesis = forged.lines.first().map(|(_, line)| parse_line(line));
        let key = match genesis {
            Some(Ok(entry)) if and_manifest => {
                format!("{}\n{}\n", entry.detail["key_ed25519"], entry.detail["key_ml_dsa_44"])
            }
            _ => self.public.to_string(),
        };
        fs::write(path.join("public-key.txt"), key).unwrap();
        path
    }

    /// What the command says: exit code, verdict, and the sentence.
    fn told(&self, path: &Path, more: &[&str]) -> String {
        let outcome = self.stick.verify(path, more);
        assert_ne!(outcome.code, 1, "{}", outcome.error());
        let shown = redact(&self.host, &outcome.text());
        assert_eq!(shown.lines().count() > 1, outcome.code == 0, "one line of what is wrong");
        format!("{:>2} {}", outcome.code, shown.lines().next().unwrap_or_default())
    }

    /// The first entry of a kind, from the front or from the end.
    fn position(forged: &Forged, operation: Operation, last: bool) -> usize {
        let is_it = |(_, line): &(usize, Vec<u8>)| parse_line(line).unwrap().operation == operation;
        let found = if last {
            forged.lines.iter().rposition(is_it)
        } else {
            forged.lines.iter().position(is_it)
        };
        found.unwrap()
    }

    /// All entries without those that `keep` rejects, in a chain of the forger's, with his
    /// checkpoints.
    fn rewritten(&self, forged: &mut Forged) {
        forged.replace_keys(0, &self.public, &self.forger.public().clone());
        let rotation = Self::position(forged, Operation::AuditKeyRotate, false);
        forged.delete(rotation..=rotation);
        forged.hash_anew(self.hash, 0);
        forged.checkpoints.clear();
        for n in 0..forged.lines.len() {
            let operation = parse_line(forged.line(n)).unwrap().operation;
            if operation.announces_checkpoint() {
                forged.sign(n as u64 + 1, &self.forger);
            }
        }
    }
}

/// The entry about the secret `b`.
const B: usize = 10;

type Forge = fn(&Scene, &mut Forged);

/// What the forger does, and whether he makes the manifest fit.
const FORGERIES: &[(&str, bool, Forge)] = &[
    ("nothing", false, |_, _| ()),
    ("an entry says something else", false, |_, it| it.edit(B, "\"b\"", "\"x\"")),
    ("and its hash is made to fit", true, |scene, it| {
        it.edit(B, "\"b\"", "\"x\"");
        let mut whole = it.clone();
        whole.hash_anew(scene.hash, B);
        it.lines[B] = whole.lines[B].clone();
    }),
    ("and all later hashes too", true, |scene, it| {
        it.edit(B, "\"b\"", "\"x\"");
        it.hash_anew(scene.hash, B);
    }),
    ("an entry is deleted", false, |_, it| it.delete(B..=B)),
    ("and all later ones are numbered and hashed anew", true, |scene, it| {
        it.delete(B..=B);
        it.hash_anew(scene.hash, B);
    }),
    ("two entries are exchanged", false, |_, it| it.swap(B, B + 1)),
    ("an entry is repeated", false, |_, it| it.repeat(B, B + 1)),
    ("the end is cut off", false, |_, it| it.delete(B + 2..)),
    ("the end is cut off, and the manifest fits", true, |_, it| it.delete(it.lines.len() - 2..)),
    ("all is cut off after a checkpoint", true, |_, it| {
        let seal = Scene::position(it, Operation::AuditSeal, false);
        it.delete(seal + 1..);
        it.checkpoints.retain(|size, _| *size <= seal as u64 + 1);
    }),
    ("nothing is left", false, |_, it| {
        it.delete(..);
        it.checkpoints.clear();
    }),
    ("a checkpoint in the middle is taken away", true, |_, it| {
        let seal = Scene::position(it, Operation::AuditSeal, false);
        it.checkpoints.remove(&(seal as u64 + 1));
    }),
    ("the last checkpoint is taken away", true, |_, it| drop(it.checkpoints.pop_last())),
    ("and the entry that announces it", true, |_, it| {
        it.checkpoints.pop_last();
        it.delete(it.lines.len() - 1..);
    }),
    ("a signature is changed", true, |_, it| {
        let last = *it.checkpoints.keys().next_back().unwrap();
        it.flip(last, 0);
    }),
    ("the post-quantum signature is left out", true, |_, it| {
        let last = *it.checkpoints.keys().next_back().unwrap();
        let (text, signatures) = it.note(last);
        it.set_note(last, &text, &signatures[..1]);
    }),
    ("the last checkpoint is signed by another key", true, |scene, it| {
        let last = *it.checkpoints.keys().next_back().unwrap();
        it.sign(last, &scene.forger);
    }),
    ("a rotation to the forger's key", true, |scene, it| {
        let rotation = Scene::position(it, Operation::AuditKeyRotate, false);
        let entry = parse_line(it.line(rotation)).unwrap();
        let [old, new] = [entry.detail["key_ed25519"].clone(), scene.forger.public().to_string()];
        it.edit(rotation, &old, new.lines().next().unwrap());
        let old = entry.detail["key_ml_dsa_44"].clone();
        it.edit(rotation, &old, new.lines().nth(1).unwrap());
        it.hash_anew(scene.hash, rotation);
        it.sign_anew(rotation as u64 + 1, &scene.forger);
    }),
    ("all of it is written anew, under the forger's key", true, |scene, it| scene.rewritten(it)),
    ("and without an entry", true, |scene, it| {
        it.delete(B..=B);
        scene.rewritten(it);
    }),
    ("a line of something else", false, |_, it| it.lines[B].1 = b"nothing of ours\n".to_vec()),
    ("a checkpoint of something else", true, |_, it| {
        drop(it.checkpoints.insert(4, b"nothing of ours\n".to_vec()));
    }),
];

#[test]
fn each_forgery_has_its_exit_code_and_a_sentence_for_every_hash() {
    let tables = HashAlgorithm::ALL.map(|hash| {
        let scene = scene(hash);
        let head = scene.manifest.head().to_string();
        let key = scene.key.to_str().unwrap();
        let known: [(&str, &[&str]); 4] = [
            ("with nothing", &[]),
            ("with the key", &["--key", key]),
            ("with a head", &["--expect-head", &head]),
            ("sealed", &["--require-sealed"]),
        ];
        let original = Forged::load(&scene.bundle.join("trail"));
        let mut table = String::new();
        for (name, and_manifest, forge) in FORGERIES {
            let mut forged = original.clone();
            forge(&scene, &mut forged);
            let path = scene.store(&forged, *and_manifest);
            table.push_str(&format!("{name}\n"));
            let told = known.map(|(word, args)| (word, scene.told(&path, args)));
            if told.iter().all(|(_, said)| *said == told[0].1) {
                table.push_str(&format!("    {:<13} {}\n", "in any case", told[0].1));
            } else {
                for (word, said) in told {
                    table.push_str(&format!("    {word:<13} {said}\n"));
                }
            }
        }
        table
    });
    assert_eq!(tables[0], tables[1], "the hash makes no difference");
    insta::assert_snapshot!("forgeries", tables[0]);
}

fn words_of(scene: &Scene) -> Vec<String> {
    let outcome =
        scene.stick.verify(&scene.bundle, &["--json", "--key", scene.key.to_str().unwrap()]);
    assert_eq!(outcome.code, 0);
    let head = scene.manifest.head();
    let words = paper::head_words(head.size, &head.root.0).unwrap();
    words.map(str::to_owned).to_vec()
}

/// Types `text` where a head is asked for.
fn type_in(scene: &Scene, text: &str) -> Outcome {
    let path = scene.bundle.to_str().unwrap();
    let args = ["audit", "verify", "--path", path, "--expect-head", "-"];
    scene.host.sesame(args).stdin(text).run()
}

#[test]
fn a_head_is_taken_in_every_form_in_which_people_keep_one() {
    let scene = scene(HashAlgorithm::Blake3);
    let words = words_of(&scene);
    let as_text = scene.manifest.head().to_string();
    let expect = |given: &[&str]| {
        let outcome = scene.stick.verify(&scene.bundle, &[&["--expect-head"], given].concat());
        (outcome.code, outcome.error())
    };
    let each: Vec<&str> = words.iter().map(String::as_str).collect();
    let short: Vec<&str> = each.iter().map(|word| &word[..word.len().min(4)]).collect();
    let all = each.join(" ");
    let capitals = all.to_uppercase();
    let numbered: String = (1..).zip(&each).map(|(n, word)| format!("{n}. {word} ")).collect();
    let lines = each.chunks(5).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n");
    // What the QR code says.
    let code = as_text.to_uppercase();
    for given in [&each[..], &short, &[&all], &[&capitals], &[&numbered], &[&code], &[&as_text]] {
        let (exit, said) = expect(given);
        assert_eq!(exit, 0, "{given:?}: {said}");
    }
    for typed in [&lines, &format!("{all}\n"), &format!("{as_text}\n"), &numbered] {
        let outcome = type_in(&scene, typed);
        assert_eq!(outcome.code, 0, "{typed}: {}", outcome.error());
    }
    // The export shows them, and `audit head` does, for the trail as it is now.
    let shown = scene.host.sesame(["audit", "head"]).succeed();
    assert_eq!(shown.lines().next().unwrap().split_once(':').unwrap().1.len(), 64);
    assert!(shown.contains('█'), "the code is there");
}

#[test]
fn a_misread_word_is_named_and_nothing_is_verified() {
    let scene = scene(HashAlgorithm::Blake3);
    let words = words_of(&scene);
    let verify = |words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        scene.stick.verify(&scene.bundle, &[&["--expect-head"], &words[..]].concat())
    };
    // One letter wrong in the part that counts, so that it is no word of the list.
    let mut misread = words.clone();
    misread[11].insert(2, 'q');
    let outcome = verify(&misread);
    assert_eq!((outcome.code, outcome.text().as_str()), (2, ""));
    let said = outcome.error();
    for part in ["word 12", &misread[11], &words[11], "at the paper again", "nothing was verified"]
    {
        assert!(said.contains(part), "{part} in: {said}");
    }
    let mut swapped = words.clone();
    let other = (1..20).find(|n| words[*n] != words[0]).unwrap();
    swapped.swap(0, other);
    let mut one_other = words.clone();
    one_other[5] = if words[5] == "zoo" { "abandon" } else { "zoo" }.to_owned();
    for wrong in [&swapped, &one_other, &words[..19].to_vec()] {
        let outcome = verify(wrong);
        assert_eq!((outcome.code, outcome.text().as_str()), (2, ""), "{}", outcome.error());
        assert!(outcome.error().contains("nothing was verified"), "{}", outcome.error());
    }
    // Those of another head are well-formed, and contradict the trail.
    let mut root = scene.manifest.root.0;
    root[0] ^= 1;
    let others = paper::head_words(scene.manifest.entries, &root).unwrap();
    assert_eq!(verify(&others.map(str::to_owned)).code, 15);
}
