use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::{getgid, getuid, mkfifo};
use tempfile::TempDir;

use super::content::{Directory, Holds};
use super::{Places, VolumeError, is_machine_id, make, mounts_of, use_existing};
use crate::devices::DeviceName;
use crate::host::Ended;
use crate::printable::Printable;
use crate::scripted::Scripted;
use crate::untrusted::{self, Untrusted};

const MACHINE_ID: &str = "6be0a9b5361f4a43ac17f5ec24c19785\n";

fn places(dir: &TempDir) -> Places {
    let root = dir.path();
    fs::write(root.join("machine-id"), MACHINE_ID).unwrap();
    // Whatever the umask is.
    DirBuilder::new().mode(0o755).create(root.join("volume")).unwrap();
    let directory =
        |name: &'static str, mode, holds| Directory { name, target: root.join(name), mode, holds };
    const DAEMONS: &[(&str, u32)] = &[("audit", 961)];
    Places {
        volume: root.join("volume"),
        directories: vec![
            directory("etc-pds", 0o755, Holds::Settings),
            directory("pds", 0o755, Holds::Daemons(DAEMONS)),
            directory("home", 0o700, Holds::Home),
        ],
        machine_id: root.join("machine-id"),
        owner: (getuid().as_raw(), getgid().as_raw()),
        root: getuid().as_raw(),
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
            "mount -t ext4 -o nodev,nosuid,noexec,nosymfollow,noatime /dev/mapper/sesame-state /volume",
            "bind /volume/etc-pds /etc-pds",
            "bind /volume/pds /pds",
            "bind /volume/home /home",
            "bind /volume/machine-id /machine-id",
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
    for failing in ["cryptsetup luksFormat", "cryptsetup open", "mkfs", "mount -t", "bind"] {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Scripted::default().with(failing, Ended::Signal, "");
        let error = make(&mut host, &sdb(), &places(&dir)).unwrap_err();
        let expected = match failing {
            "bind" => matches!(error, VolumeError::Io { .. }),
            _ => matches!(error, VolumeError::Step { ended: Ended::Signal, .. }),
        };
        assert!(expected, "{failing}: {error}");
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
    assert_eq!(
        programs,
        ["cryptsetup", "blkid", "e2fsck", "mount", "bind", "bind", "bind", "bind"]
    );
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
    let no_file_system = || Scripted::default().with("blkid", Ended::Exit(2), "");
    let cases = [
        ("no file system", no_file_system()),
        ("another one", opened("vfat\n")),
        ("no marker", opened("ext4\n")),
    ];
    for (case, mut host) in cases {
        let error = use_existing(&mut host, &sdb(), &places).unwrap_err();
        assert!(matches!(error, VolumeError::Unfinished { .. }), "{case}: {error}");
        assert!(!touched(&host) && !host.has_run("bind"), "{case}: {:?}", host.run);
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
        assert!(!is_machine_id(text.as_bytes()), "{text:?}");
        let dir = tempfile::tempdir().unwrap();
        let places = finished(&dir);
        fs::remove_file(places.volume.join("machine-id")).unwrap();
        fs::write(places.volume.join("machine-id"), text).unwrap();
        let mut host = opened("ext4\n");
        let error = use_existing(&mut host, &sdb(), &places).unwrap_err();
        assert!(matches!(error, VolumeError::MachineId { .. }), "{error}");
        assert!(!host.has_run("bind"), "{:?}", host.run);
    }
    assert!(is_machine_id(MACHINE_ID.as_bytes()));
}

/// What whoever knows the passphrase may have put in the place of what was there.
fn prepared(change: impl Fn(&Path)) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let places = finished(&dir);
    fs::write(places.volume.join("etc-pds/peers.toml"), "").unwrap();
    fs::create_dir(places.volume.join("etc-pds/keys")).unwrap();
    fs::create_dir(places.volume.join("pds/audit")).unwrap();
    for path in ["etc-pds/peers.toml", "etc-pds/keys", "pds/audit"] {
        fs::set_permissions(places.volume.join(path), Permissions::from_mode(0o700)).unwrap();
    }
    change(&places.volume);
    let mut host = opened("ext4\n");
    let used = use_existing(&mut host, &sdb(), &places);
    assert_eq!(host.has_run("bind"), used.is_ok(), "{:?}", host.run);
    match used {
        Err(VolumeError::Prepared { found, .. }) => Err(found.to_string()),
        other => other.map_err(|error| panic!("{error}")),
    }
}

fn refused(said: &str, change: impl Fn(&Path)) {
    let error = prepared(change).expect_err(said);
    assert!(error.contains(said), "{error}");
}

fn replaced(path: &Path) -> &Path {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.unwrap();
    path
}

#[test]
fn a_volume_as_we_leave_it_is_used_with_what_daemons_made_on_it() {
    assert_eq!(prepared(|_| {}), Ok(()));
    assert_eq!(prepared(|volume| symlink("/etc", volume.join("home/link")).unwrap()), Ok(()));
}

#[test]
fn a_link_is_not_followed() {
    for name in ["sesame-state", "machine-id", "etc-pds", "pds", "home", "pds/audit"] {
        let target = if name == "sesame-state" { "/dev/zero" } else { "/etc" };
        refused(&format!("{name} is a link or a mount point"), |volume| {
            symlink(target, replaced(&volume.join(name))).unwrap();
        });
    }
    // Not even to what is as it should be, within the volume.
    for name in ["sesame-state", "machine-id", "etc-pds", "pds", "etc-pds/peers.toml", "pds/audit"]
    {
        refused(&format!("{name} is a link"), |volume| {
            let path = volume.join(name);
            fs::rename(&path, path.with_extension("aside")).unwrap();
            symlink(path.with_extension("aside").file_name().unwrap(), &path).unwrap();
        });
    }
}

#[test]
fn a_pipe_is_not_read() {
    for name in ["sesame-state", "machine-id", "etc-pds/peers.toml"] {
        refused(&format!("{name} is not a regular file"), |volume| {
            mkfifo(replaced(&volume.join(name)), Mode::S_IRUSR).unwrap();
        });
    }
}

#[test]
fn no_more_is_read_than_belongs_there() {
    for name in ["sesame-state", "machine-id"] {
        refused(&format!("{name} has more than 64 bytes"), |volume| {
            fs::write(replaced(&volume.join(name)), [b'0'; 65]).unwrap();
        });
    }
    refused("etc-pds has more in it", |volume| {
        (0..300).for_each(|n| fs::write(volume.join(format!("etc-pds/{n}")), "").unwrap());
    });
    refused("etc-pds has more in it", |volume| {
        fs::create_dir_all(volume.join("etc-pds").join("x/".repeat(60))).unwrap();
    });
}

#[test]
fn what_others_can_write_is_not_believed() {
    for name in [".", "sesame-state", "machine-id", "etc-pds", "etc-pds/keys", "etc-pds/peers.toml"]
    {
        refused("can be written by its group or by others", |volume| {
            fs::set_permissions(volume.join(name), Permissions::from_mode(0o775)).unwrap();
        });
    }
}

#[test]
fn what_is_somebody_elses_is_not_believed() {
    if !getuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let all =
        ["sesame-state", "machine-id", "etc-pds", "etc-pds/keys", "etc-pds/peers.toml", "pds"];
    for name in all.iter().chain(&["pds/audit", "home", "."]) {
        refused("belongs to uid 1000", |volume| {
            chown(volume.join(name), Some(1000), None).unwrap();
        });
    }
    let audits = |volume: &Path| chown(volume.join("pds/audit"), Some(961), None).unwrap();
    assert_eq!(prepared(audits), Ok(()), "as systemd leaves it");
}

#[test]
fn a_home_of_any_mode_is_used_and_its_owners_alone() {
    for mode in [0o770, 0o777, 0o755, 0o1777, 0o500, 0o700] {
        let dir = tempfile::tempdir().unwrap();
        let places = finished(&dir);
        let home = places.volume.join("home");
        fs::set_permissions(&home, Permissions::from_mode(mode)).unwrap();
        use_existing(&mut opened("ext4\n"), &sdb(), &places).unwrap();
        let set = fs::metadata(&home).unwrap().permissions().mode() & 0o7777;
        assert_eq!(set, 0o700, "{mode:o}");
    }
}

#[test]
fn a_volume_that_is_refused_keeps_the_mode_of_its_home() {
    let dir = tempfile::tempdir().unwrap();
    let places = finished(&dir);
    let home = places.volume.join("home");
    fs::set_permissions(&home, Permissions::from_mode(0o770)).unwrap();
    symlink("/etc", replaced(&places.volume.join("machine-id"))).unwrap();
    use_existing(&mut opened("ext4\n"), &sdb(), &places).unwrap_err();
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o7777, 0o770);
}

#[test]
fn what_is_no_directory_is_no_home() {
    refused("home is not a directory", |volume| {
        fs::write(replaced(&volume.join("home")), "").unwrap();
    });
}

fn linked() -> Untrusted {
    let dir = tempfile::tempdir().unwrap();
    symlink("/", dir.path().join("etc-pds")).unwrap();
    let directory = untrusted::Directory::at(dir.path(), getuid().as_raw()).unwrap();
    let name = dir.path().display().to_string();
    match directory.directory("etc-pds", &[0]).unwrap_err() {
        Untrusted::Elsewhere { name: shown } => {
            let shown = shown.as_str().replace(&name, "/run/ceremony/volume");
            Untrusted::Elsewhere { name: Printable::line(&shown) }
        }
        other => panic!("{other}"),
    }
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
        VolumeError::Prepared { device: device(), found: linked() },
        VolumeError::Step { step: "Mounting the volume", ended: Ended::Signal },
    ];
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"));
}
