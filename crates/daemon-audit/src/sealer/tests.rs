//! When a seal is due, and what a failing disk leaves.

use super::*;
use audit_log::{Genesis, HashAlgorithm};
use std::fs;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(3600);

struct Scene {
    dir: TempDir,
    commit: Commit,
    sealer: Sealer,
}

impl Scene {
    fn new(entries: u64, interval: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let installation = "00000000-0000-4000-8000-000000000000".to_owned();
        let name = audit_log::origin(&installation).parse().unwrap();
        let keys = SigningKeys::generate(name, Role::Log).unwrap();
        let files = SigningKeyFiles::new(dir.path().to_owned());
        files.write(&keys).unwrap();
        let genesis = Genesis {
            hash: HashAlgorithm::Blake3,
            installation,
            org: None,
            machine_binding: None,
            keys: keys.public().clone(),
        };
        let path = dir.path().join("trail");
        let mut writer = Writer::create(&path, &genesis, None, 1 << 20, &keys).unwrap();
        let sealer = Sealer::open(files, Some(&mut writer), entries, interval).unwrap();
        Self { dir, commit: Commit::new(Some(writer)), sealer }
    }

    fn append(&self, entries: u64) {
        for _ in 0..entries {
            let draft = Draft::new(Operation::SecretGet, Outcome::Authorised);
            self.commit.append(draft).unwrap();
        }
    }

    fn seal_if_free(&self) -> bool {
        let sealed = self.sealer.seal_if_free(&self.commit, draft("entries"));
        sealed.transpose().unwrap().is_some()
    }
}

#[test]
fn after_some_time_it_is_due_if_anything_is_new() {
    let scene = Scene::new(1000, Duration::from_millis(200));
    let is_due = || scene.sealer.is_due_by_time(&scene.commit);
    std::thread::sleep(Duration::from_millis(250));
    assert!(!is_due(), "there is nothing new");
    scene.append(1);
    assert!(is_due());
    scene.sealer.seal(&scene.commit, draft("time")).unwrap();
    std::thread::sleep(Duration::from_millis(250));
    assert!(!is_due(), "the seal itself is not new");
    let scene = Scene::new(1000, LONG);
    scene.append(1);
    assert!(!scene.sealer.is_due_by_time(&scene.commit), "it is not long ago");
}

#[test]
fn after_some_entries_it_is_due_and_one_thread_sees_to_it() {
    let scene = Scene::new(5, LONG);
    scene.append(4);
    assert!(!scene.sealer.is_due_by_number(&scene.commit));
    assert!(!scene.seal_if_free());
    scene.append(1);
    assert!(scene.sealer.is_due_by_number(&scene.commit));
    let held = scene.sealer.hold();
    assert!(!scene.seal_if_free(), "somebody is at it");
    drop(held);
    assert!(scene.seal_if_free());
    assert_eq!(scene.commit.unsealed(), 0);
    assert!(!scene.seal_if_free(), "it was just done");
}

/// A second rotation would overwrite the only copy of the keys that the first one made.
#[test]
fn a_key_that_could_not_take_its_place_is_not_lost_and_takes_it_later() {
    let scene = Scene::new(1000, LONG);
    let Scene { dir, commit, sealer } = &scene;
    let [current, next] = ["signing.key", "signing.next"].map(|name| dir.path().join(name));
    let before = fs::read(&current).unwrap();
    // A rename cannot replace a directory.
    fs::remove_file(&current).unwrap();
    fs::create_dir(&current).unwrap();
    let rotate = || sealer.rotate(commit, Draft::new(Operation::AuditKeyRotate, Outcome::Done));
    assert!(matches!(rotate(), Err(Refused::Unfinished(_))));
    let made = fs::read(&next).unwrap();
    assert!(sealer.is_unfinished() && made != before);
    for _ in 0..2 {
        assert!(matches!(rotate(), Err(Refused::Unfinished(_))));
        assert!(matches!(sealer.seal(commit, draft("x")), Err(Refused::Unfinished(_))));
        assert_eq!(fs::read(&next).unwrap(), made, "the only copy");
    }
    fs::remove_dir(&current).unwrap();
    sealer.finish(commit).unwrap();
    assert!(!sealer.is_unfinished() && !next.exists());
    assert_eq!(fs::read(&current).unwrap(), made);
    sealer.seal(commit, draft("x")).unwrap();
    rotate().unwrap();
}

#[test]
fn a_rotated_trail_ends_under_the_key_that_is_shown() {
    let scene = Scene::new(1000, LONG);
    let draft = Draft::new(Operation::AuditKeyRotate, Outcome::Done);
    let shown = scene.sealer.rotate(&scene.commit, draft).unwrap();
    let expectation = audit_log::Expectation {
        key: Some(shown.parse().unwrap()),
        require_sealed: true,
        ..audit_log::Expectation::default()
    };
    let trail = scene.dir.path().join("trail");
    let report = audit_log::verify(&trail, &expectation).unwrap();
    assert_eq!(report.verdict, audit_log::Verdict::Sound, "{report}");
}

#[test]
fn when_twice_as_many_entries_are_new_everybody_waits_for_the_seal() {
    let scene = Scene::new(5, LONG);
    scene.append(10);
    std::thread::scope(|scope| {
        let held = scene.sealer.hold();
        let waiting = scope.spawn(|| scene.seal_if_free());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop(held);
        assert!(waiting.join().unwrap());
    });
}
