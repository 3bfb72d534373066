use std::path::Path;

use super::{Directory, Untrusted};

#[test]
fn a_mount_point_is_not_entered() {
    let root = Directory::at(Path::new("/"), 0).unwrap();
    assert!(Path::new("/proc/version").is_file(), "proc is mounted here");
    let error = root.directory("proc", &[0]).unwrap_err();
    assert!(matches!(error, Untrusted::Elsewhere { .. }), "{error}");
}

#[test]
fn no_name_leads_out() {
    let dir = tempfile::tempdir().unwrap();
    let uid = nix::unistd::getuid().as_raw();
    let directory = Directory::at(dir.path(), uid).unwrap();
    for name in [".", "..", "/etc/passwd", "../../etc/passwd", "a/b"] {
        let error = directory.directory(name, &[0, uid]).unwrap_err();
        assert!(matches!(error, Untrusted::Elsewhere { .. }), "{error}");
    }
}

#[test]
fn a_name_that_is_not_there_is_an_absence_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let uid = nix::unistd::getuid().as_raw();
    let directory = Directory::at(dir.path(), uid).unwrap();
    assert!(directory.file("none", uid).unwrap_err().is_absence());
    std::os::unix::fs::symlink("none", dir.path().join("link")).unwrap();
    assert!(!directory.file("link", uid).unwrap_err().is_absence());
}

#[test]
fn a_name_does_not_reach_the_terminal_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let uid = nix::unistd::getuid().as_raw();
    let name = "\u{1b}[2J";
    std::os::unix::fs::symlink("/", dir.path().join(name)).unwrap();
    let directory = Directory::at(dir.path(), uid).unwrap();
    let error = directory.is_all_of(uid).unwrap_err();
    assert!(matches!(error, Untrusted::Elsewhere { .. }));
    assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
}
