use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::unistd::{getgid, getuid};
use tempfile::TempDir;

use super::{Directory, Places, VolumeError, is_machine_id, make, mounts_of, use_existing};
use crate::devices::DeviceName;
use crate::host::Ended;
use crate::scripted::Scripted;

const MACHINE_ID: &str = "6be0a9b5361f4a43ac17f5ec24c19785\n";

fn places(dir: &TempDir) -> Places {
    let root = dir.path();
    fs::write(root.join("machine-id"), MACHINE_ID).unwrap();
    let directory = |name: &'static str, mode, personal| Directory {
        name,
        target: root.join(name),
        mode,
        personal,
    };
    Places {
        volume: root.join("volume"),
        directories: vec![directory("etc-pds", 0o755, false), directory("home", 0o700, true)],
        machine_id: root.join("machine-id"),
        owner: (getuid().as_raw(), getgid().as_raw()),
    }
}

fn sdb() -> DeviceName {
    DeviceName::parse("sdb").unwrap()
}

fn opened(filesystem: &str) -> Scripted {
    Scripted::default().with("blkid", Ended::Exit(0), filesystem)
}

/// A volume as [`make`] leaves it, in the directory where it would be mounted.
fn finished(dir: &TempDir) -> Places {
    let places = places(dir);
    make(&mut Scripted::default(), &sdb(), &places).unwrap();
    places
}

fn touched(host: &Scripted) -> bool {
    ["mkfs", "wipefs", "cryptsetup luksFormat"].iter().any(|command| host.has_run(command))
}

#[test]
fn a_new_volume_is_encrypted_first_and_marked_last() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    let mut host = Scripted::default();
    make(&mut host, &sdb(), &places).unwrap();
    let run: Vec<String> =
        host.run.iter().map(|line| line.replace(&dir.path().display().to_string(), "")).collect();
    assert_eq!(
        run,
        [
            "cryptsetup luksFormat --type luks2 --batch-mode --verify-passphrase --label sesame-state /dev/sdb",
            "cryptsetup open --type luks2 --tries 3 /dev/sdb sesame-state",
            "mkfs.ext4 -q -m 0 -L sesame-state /dev/mapper/sesame-state",
            "mount -t ext4 -o nodev,nosuid,noexec,noatime /dev/mapper/sesame-state /volume",
            "mount --bind /volume/etc-pds /etc-pds",
            "mount --bind /volume/home /home",
            "mount --bind /volume/machine-id /machine-id",
        ]
    );
    assert_eq!(fs::read_to_string(places.volume.join("machine-id")).unwrap(), MACHINE_ID);
    let mode =
        |name: &str| fs::metadata(places.volume.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("etc-pds"), mode("home"), mode("machine-id")), (0o755, 0o700, 0o444));
}

#[test]
fn two_passphrases_that_differ_erase_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Scripted::default().with("cryptsetup luksFormat", Ended::Exit(2), "");
    let error = make(&mut host, &sdb(), &places(&dir)).unwrap_err();
    assert!(matches!(error, VolumeError::NoPassphrase { .. }), "{error}");
    assert_eq!(host.run.len(), 1, "{:?}", host.run);
}

#[test]
fn each_step_that_fails_ends_the_making() {
    for failing in ["cryptsetup luksFormat", "cryptsetup open", "mkfs", "mount -t", "mount --bind"]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Scripted::default().with(failing, Ended::Signal, "");
        let error = make(&mut host, &sdb(), &places(&dir)).unwrap_err();
        assert!(
            matches!(error, VolumeError::Step { ended: Ended::Signal, .. }),
            "{failing}: {error}"
        );
        assert!(host.run.last().unwrap().starts_with(failing), "{:?}", host.run);
    }
}

#[test]
fn an_interrupted_making_leaves_no_marker() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    fs::remove_file(&places.machine_id).unwrap();
    make(&mut Scripted::default(), &sdb(), &places).unwrap_err();
    assert!(!places.volume.join("sesame-state").exists());
}

#[test]
fn a_finished_volume_is_checked_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let places = finished(&dir);
    let mut host = opened("ext4\n");
    use_existing(&mut host, &sdb(), &places).unwrap();
    let programs: Vec<&str> = host.run.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(programs, ["cryptsetup", "blkid", "e2fsck", "mount", "mount", "mount", "mount"]);
    assert!(!touched(&host));
}

#[test]
fn a_wrong_passphrase_is_told_apart_from_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let places = finished(&dir);
    let open = |ended| {
        let mut host = Scripted::default().with("cryptsetup open", ended, "");
        let error = use_existing(&mut host, &sdb(), &places).unwrap_err();
        assert_eq!(host.run.len(), 1, "{:?}", host.run);
        error
    };
    assert!(matches!(open(Ended::Exit(2)), VolumeError::WrongPassphrase { .. }));
    assert!(matches!(open(Ended::Exit(3)), VolumeError::Memory { .. }));
    assert!(matches!(open(Ended::Exit(1)), VolumeError::Step { .. }));
    assert!(matches!(open(Ended::Signal), VolumeError::Step { .. }));
}

#[test]
fn a_half_made_volume_is_never_formatted_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(&dir);
    fs::create_dir(&places.volume).unwrap();
    let no_file_system = || Scripted::default().with("blkid", Ended::Exit(2), "");
    let cases = [
        ("no file system", no_file_system()),
        ("another one", opened("vfat\n")),
        ("no marker", opened("ext4\n")),
    ];
    for (case, mut host) in cases {
        let error = use_existing(&mut host, &sdb(), &places).unwrap_err();
        assert!(matches!(error, VolumeError::Unfinished { .. }), "{case}: {error}");
        assert!(!touched(&host) && !host.has_run("mount --bind"), "{case}: {:?}", host.run);
        let looked_further = host.has_run("e2fsck") || host.has_run("mount");
        assert_eq!(looked_further, case == "no marker", "{case}: {:?}", host.run);
    }
}

#[test]
fn a_volume_of_a_later_kind_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let places = finished(&dir);
    fs::remove_file(places.volume.join("sesame-state")).unwrap();
    fs::write(places.volume.join("sesame-state"), "sesame-state 2\n").unwrap();
    let error = use_existing(&mut opened("ext4\n"), &sdb(), &places).unwrap_err();
    assert!(matches!(error, VolumeError::OtherKind { .. }), "{error}");
}

#[test]
fn a_damaged_file_system_is_not_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let places = finished(&dir);
    let mut corrected = opened("ext4\n").with("e2fsck", Ended::Exit(1), "");
    use_existing(&mut corrected, &sdb(), &places).unwrap();
    for status in [2, 4, 8] {
        let mut host = opened("ext4\n").with("e2fsck", Ended::Exit(status), "");
        let error = use_existing(&mut host, &sdb(), &places).unwrap_err();
        assert!(matches!(error, VolumeError::Damaged { .. }), "{error}");
        assert!(!host.has_run("mount"), "{:?}", host.run);
    }
}

#[test]
fn what_is_no_machine_id_is_not_put_in_the_place_of_one() {
    for text in
        ["", "\n", "uninitialized\n", &MACHINE_ID.to_uppercase(), &"0".repeat(32), &"a".repeat(33)]
    {
        assert!(!is_machine_id(text), "{text:?}");
        let dir = tempfile::tempdir().unwrap();
        let places = finished(&dir);
        fs::remove_file(places.volume.join("machine-id")).unwrap();
        fs::write(places.volume.join("machine-id"), text).unwrap();
        let mut host = opened("ext4\n");
        let error = use_existing(&mut host, &sdb(), &places).unwrap_err();
        assert!(matches!(error, VolumeError::MachineId { .. }), "{error}");
        assert!(!host.has_run("mount --bind"), "{:?}", host.run);
    }
    assert!(is_machine_id(MACHINE_ID));
}

#[test]
fn mounts_are_found_by_what_is_mounted_and_undone_in_reverse() {
    let mountinfo = "\
22 1 254:0 / / ro,relatime - erofs /dev/mapper/root ro
40 22 253:1 / /run/ceremony/volume rw,nosuid shared:1 - ext4 /dev/mapper/sesame-state rw
41 22 253:1 /etc-pds /etc/pds rw,nosuid shared:2 master:1 - ext4 /dev/mapper/sesame-state rw
42 22 0:30 / /tmp rw - tmpfs /dev/mapper/sesame-state-2 rw
not a line of mountinfo
43 22 0:31 / /x rw - tmpfs";
    let found = mounts_of(mountinfo, "/dev/mapper/sesame-state");
    assert_eq!(found, ["/etc/pds", "/run/ceremony/volume"]);
}

#[test]
fn the_appliance_keeps_all_of_its_state_on_the_volume() {
    let places = Places::of_the_appliance();
    let targets: Vec<&Path> =
        places.directories.iter().map(|directory| directory.target.as_path()).collect();
    let expected = ["/etc/pds", "/var/lib/pds", "/var/lib/cicada", "/home/ceremony"];
    assert_eq!(targets, expected.map(Path::new));
}

#[test]
fn what_went_wrong_is_said_with_what_to_do() {
    let device = sdb;
    let errors = [
        VolumeError::WrongPassphrase { device: device() },
        VolumeError::NoPassphrase { device: device() },
        VolumeError::Memory { device: device() },
        VolumeError::Unfinished { device: device() },
        VolumeError::OtherKind { device: device() },
        VolumeError::Damaged { device: device(), ended: Ended::Exit(4) },
        VolumeError::MachineId { device: device() },
        VolumeError::Step { step: "Mounting the volume", ended: Ended::Signal },
    ];
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"));
}
