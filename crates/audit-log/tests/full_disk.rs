//! A disk that is full: nothing is left of what wasn't written, and the writer goes on after.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::path::Path;

use audit_log::{AppendError, HashAlgorithm, OpenError, SealError, Verdict, Writer};
use common::{check, draft, keys, load, make, seal, segments};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

/// A file system of 64 KiB, gone with this value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None without the right to mount.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = Some("size=64k,mode=0700");
        match mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), options) {
            Ok(()) => Some(Self(dir)),
            Err(Errno::EPERM | Errno::EACCES) => None,
            Err(error) => panic!("cannot mount a tmpfs: {error}"),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is left of it.
    fn fill(&self) {
        let _ = fs::write(self.path().join("ballast"), vec![1; 1 << 17]);
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(self.0.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_the_batch_and_keeps_the_trail() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: needs the right to mount a tmpfs");
        return;
    };
    let trail = disk.path().join("trail");
    let mut writer = make(&trail, HashAlgorithm::Blake3, 5);
    disk.fill();
    let (head, before) = (writer.head(), load(&trail));
    // One entry fits the page that the segment has; a batch over many segments does not.
    let batch: Vec<_> = (5..30).map(draft).collect();
    for _ in 0..3 {
        let error = writer.append(&batch).unwrap_err();
        assert!(matches!(error, AppendError::NotWritten { .. }), "{error}");
        assert_eq!(writer.head(), head);
        assert_eq!(load(&trail), before);
        assert_eq!(check(&trail).verdict, Verdict::Sound);
    }
    assert_eq!(writer.read(0, 1 << 20).unwrap(), before.concat().concat());
    disk.make_room();
    writer.append(&batch).unwrap();
    assert_eq!((check(&trail).verdict, check(&trail).entries), (Verdict::Sound, 30));
}

#[test]
fn a_repair_on_a_full_disk_leaves_the_end_torn() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: needs the right to mount a tmpfs");
        return;
    };
    let trail = disk.path().join("trail");
    drop(make(&trail, HashAlgorithm::Blake3, 2));
    // The torn line ends with the page, so that the repair needs another one.
    let path = segments(&trail).remove(0);
    let length = fs::metadata(&path).unwrap().len() as usize;
    let mut text = fs::read(&path).unwrap();
    let mut writer = Writer::open(&trail, 1 << 20).unwrap().0;
    let room = 4096 - length - 10;
    writer.append(&[draft(2).detail("fill", "x".repeat(room - 700))]).unwrap();
    drop(writer);
    text = [text, fs::read(&path).unwrap().split_off(length)].concat();
    text.extend_from_slice(&vec![b'{'; 4096usize.saturating_sub(text.len())]);
    fs::write(&path, &text).unwrap();
    assert_eq!(text.len(), 4096);
    disk.fill();
    let error = Writer::open(&trail, 1 << 20).unwrap_err();
    assert!(matches!(error, OpenError::Repair { .. }), "{error}");
    assert_eq!(check(&trail).verdict, Verdict::Truncated);
    disk.make_room();
    assert!(Writer::open(&trail, 1 << 20).unwrap().1.is_some());
    assert_eq!(check(&trail).entries, 4);
}

/// The entry of a seal fits the page that the segment has, and its checkpoint does not.
#[test]
fn a_seal_on_a_full_disk_owes_its_checkpoint() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: needs the right to mount a tmpfs");
        return;
    };
    let trail = disk.path().join("trail");
    let mut writer = make(&trail, HashAlgorithm::Blake3, 2);
    disk.fill();
    for _ in 0..2 {
        let error = writer.seal(seal(), keys()).unwrap_err();
        assert!(matches!(error, SealError::NotWritten(_)), "{error}");
        assert!(writer.owes_checkpoint());
        assert_eq!((writer.size(), writer.sealed()), (3, 1));
    }
    assert_eq!(check(&trail).verdict, Verdict::Truncated);
    disk.make_room();
    writer.settle(keys()).unwrap();
    assert_eq!((check(&trail).verdict, check(&trail).sealed), (Verdict::Sound, Some(3)));
}

/// As above, where nobody may mount: the kernel refuses to let a file grow.
#[test]
fn a_file_size_limit_is_a_full_disk() {
    // Blocked, the signal stays pending and write(2) fails; it goes to the thread that wrote.
    SigSet::from_iter([Signal::SIGXFSZ]).thread_block().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("trail");
    let mut writer = make(&trail, HashAlgorithm::Sha256, 2);
    drop(writer);
    writer = Writer::open(&trail, 1 << 30).unwrap().0;
    let batch: Vec<_> = (2..1000).map(draft).collect();
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 200_000, hard).unwrap();
    let error = writer.append(&batch).unwrap_err();
    let small = writer.append(&[draft(2)]);
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).unwrap();
    assert!(matches!(error, AppendError::NotWritten { .. }), "{error}");
    assert_eq!(small.unwrap()[0].seq, 2);
    writer.append(&batch).unwrap();
    assert_eq!((check(&trail).verdict, check(&trail).entries), (Verdict::Sound, 1001));
}
