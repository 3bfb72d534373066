//! A full and a read-only disk. Needs root, for a tmpfs in a mount namespace of its own.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{context, create, is_root, keys, open, value};
use vault::{Vault, VaultError};

/// Runs an ignored test of this binary with a private tmpfs of `size` mounted.
fn on_a_tmpfs(test: &str, size: &str) {
    if !is_root() {
        println!("skipped: mounting a tmpfs needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size} vault-test \"$MOUNT\" && exec \"$0\" --exact {test} \
         --ignored --nocapture --test-threads=1"
    );
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env("MOUNT", directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("REACHED THE END"), "{text}\n{errors}");
}

fn mount_point() -> Option<PathBuf> {
    std::env::var_os("MOUNT").map(PathBuf::from)
}

fn remount(mount: &Path, options: &str) {
    let status = Command::new("mount")
        .args(["-o", &format!("remount,{options}")])
        .arg(mount)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_full_disk_changes_nothing() {
    on_a_tmpfs("fill_the_disk", "256k");
}

#[test]
fn a_read_only_disk_is_named() {
    on_a_tmpfs("write_to_a_read_only_disk", "1m");
}

#[test]
#[ignore = "runs on the tmpfs of a test above"]
fn fill_the_disk() {
    let Some(mount) = mount_point() else { return };
    common::setup();
    let path = mount.join("vault.db");
    let vault = create(&path);
    let expected = |n: u32| vec![n as u8; 5000];
    let mut written = 0;
    let error = loop {
        match vault.set(&format!("{written}"), &expected(written)) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, VaultError::Full), "{error:?}");
    assert!((5..60).contains(&written), "{written}");
    let all_there = |vault: &Vault| {
        for n in 0..written {
            assert_eq!(value(vault, &format!("{n}")).unwrap(), expected(n), "{n} of {written}");
        }
        assert_eq!(vault.count().unwrap(), u64::from(written));
        vault.verify().unwrap();
    };
    all_there(&vault);
    assert!(matches!(vault.set("0", &[9; 60_000]), Err(VaultError::Full)));
    all_there(&vault);
    vault.close().unwrap();
    let vault = open(&path).unwrap();
    all_there(&vault);

    let second = Vault::create(&mount.join("second.db"), keys(1), context("work"));
    if std::fs::write(mount.join("ballast"), vec![0; 256 << 10]).is_err() {
        assert!(matches!(second, Err(VaultError::Full) | Ok(_)), "{second:?}");
        let third = Vault::create(&mount.join("third.db"), keys(1), context("work"));
        assert!(matches!(third, Err(VaultError::Full)), "{third:?}");
        assert!(!mount.join("third.db").exists());
        let drafts = std::fs::read_dir(&mount).unwrap();
        assert!(drafts.flatten().all(|file| !file.file_name().to_string_lossy().contains("new")));
    }
    std::fs::remove_file(mount.join("ballast")).unwrap();

    remount(&mount, "size=1m");
    vault.set("0", &[9; 60_000]).unwrap();
    assert_eq!(value(&vault, "0").unwrap(), [9; 60_000], "room again, and it works again");
    println!("REACHED THE END");
}

#[test]
#[ignore = "runs on the tmpfs of a test above"]
fn write_to_a_read_only_disk() {
    let Some(mount) = mount_point() else { return };
    common::setup();
    let path = mount.join("vault.db");
    create(&path).set("a", b"kept").unwrap();
    remount(&mount, "ro");
    let opened = open(&path);
    assert!(matches!(opened, Err(VaultError::ReadOnly)), "{opened:?}");
    let created = Vault::create(&mount.join("other.db"), keys(1), context("work"));
    assert!(matches!(created, Err(VaultError::ReadOnly)), "{created:?}");
    remount(&mount, "rw");

    // A directory that takes no new file, as a wrong owner or mode makes it for an ordinary user.
    std::fs::remove_file(mount.join("vault.db-journal")).unwrap();
    let vault = open(&path).unwrap();
    let immutable = Command::new("chattr").arg("+i").arg(&mount).status();
    if immutable.is_ok_and(|status| status.success()) {
        let written = vault.set("a", b"new");
        assert!(matches!(written, Err(VaultError::ReadOnly)), "{written:?}");
        assert_eq!(value(&vault, "a").unwrap(), b"kept");
        Command::new("chattr").arg("-i").arg(&mount).status().unwrap();
    } else {
        println!("skipped the directory: chattr +i does not work here");
    }
    vault.set("a", b"new").unwrap();
    assert_eq!(value(&vault, "a").unwrap(), b"new");
    println!("REACHED THE END");
}
