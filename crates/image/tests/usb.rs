//! `image usb` on plain files and loop devices, with the image that `cargo xtask image` has built.

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use media::Digest;
use support::{Image, Key};
use tempfile::TempDir;

#[test]
fn a_file_holds_the_image_and_nothing_else() {
    let Some(image) = Image::copy() else { return };
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("stick");
    fs::write(&file, vec![0xaa; 100 << 20]).unwrap();
    let said = image.succeed("usb", &["--file", text(&file)]);
    assert!(said.contains(&format!("sesame media verify {}", file.display())), "{said}");
    assert!(fs::read(&file).unwrap() == image.bytes("raw"));
    // Again, over itself.
    image.succeed("usb", &["--file", text(&file)]);
    assert!(fs::read(&file).unwrap() == image.bytes("raw"));

    let said = image.refuse("usb", &[text(&file)]);
    assert!(said.contains("is not a disk; a plain file needs --file"), "{said}");
    let said = image.refuse("usb", &["--file", "--signed", text(&file)]);
    assert!(said.contains("the image is not signed"), "{said}");
    let key = Key::new("rsa:2048");
    image.succeed("sign", &[key.private(), key.certificate()]);
    image.succeed("usb", &["--file", "--signed", text(&file)]);
    assert!(fs::read(&file).unwrap() == image.bytes("signed.raw"));
}

#[test]
fn a_disk_is_written_when_its_name_is_given_again() {
    let Some(image) = Image::copy() else { return };
    let disk = image.bytes("raw");
    let Some(stick) = Loop::new(disk.len() + (5 << 20)) else { return };

    let said = image.refuse("usb", &[stick.device()]);
    assert!(said.contains("is not a disk that can be pulled out"), "{said}");
    let said = image.refuse("usb", &["--yes-this-disk", stick.device()]);
    assert!(said.contains("nobody is there to be asked"), "{said}");
    let said = image.refuse("usb", &["--yes-this-disk", "--confirm", "sda", stick.device()]);
    assert!(said.contains(&format!("that is not {}", stick.name())), "{said}");
    assert!(stick.is_untouched());

    image.succeed("usb", &["--yes-this-disk", "--confirm", stick.name(), stick.device()]);
    let content = stick.content();
    assert!(content[..disk.len()] == disk);
    let end = content.len() - (1 << 20);
    assert!(
        content[disk.len()..end].iter().all(|byte| *byte == 0xaa),
        "what was not ours to write"
    );
    // A larger disk has the copy of its partition table there.
    assert!(content[end..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_disk_that_is_too_small_is_refused() {
    let Some(image) = Image::copy() else { return };
    let Some(stick) = Loop::new(image.bytes("raw").len() - 512) else { return };
    let said = image.refuse("usb", &["--yes-this-disk", "--confirm", stick.name(), stick.device()]);
    assert!(said.contains("is too small"), "{said}");
    assert!(stick.is_untouched());
}

#[test]
fn a_disk_in_use_is_refused() {
    let Some(image) = Image::copy() else { return };
    let Some(stick) = Loop::new(120 << 20) else { return };
    run("mkfs.ext4", &["-q", "-F", stick.device()]);
    let before = Digest::of(&stick.content()[..4096]);
    let place = TempDir::new().unwrap();
    let write = ["--yes-this-disk", "--confirm", stick.name(), stick.device()];

    run("mount", &["-o", "ro", stick.device(), text(place.path())]);
    let output = image.run("usb", &write);
    run("umount", &[text(place.path())]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("it is mounted on {}", place.path().display())), "{said}");

    // Where we don't see it, only the kernel knows.
    let hidden = Elsewhere::mount(stick.device(), place.path());
    let said = image.refuse("usb", &write);
    assert!(said.contains("is in use: mounted, or below swap or a volume"), "{said}");
    drop(hidden);
    assert_eq!(Digest::of(&stick.content()[..4096]), before);
}

#[test]
fn a_partition_is_refused() {
    let Some(image) = Image::copy() else { return };
    let Some(stick) = Loop::new(120 << 20) else { return };
    image.succeed("usb", &["--yes-this-disk", "--confirm", stick.name(), stick.device()]);
    run("losetup", &["-d", stick.device()]);
    run("losetup", &["--partscan", stick.device(), text(&stick.file)]);
    let sysfs = format!("/sys/block/{0}/{0}p1/dev", stick.name());
    let Ok(number) = fs::read_to_string(&sysfs) else {
        eprintln!("left out: this machine shows no partitions of loop devices");
        return;
    };
    let (major, minor) = number.trim().split_once(':').unwrap();
    let nodes = TempDir::new_in("/dev").unwrap();
    let node = nodes.path().join("partition");
    run("mknod", &[text(&node), "b", major, minor]);
    let said = image.refuse("usb", &["--yes-this-disk", "--confirm", "partition", text(&node)]);
    assert!(
        said.contains(&format!("is a partition; the whole disk is /dev/{}", stick.name())),
        "{said}"
    );
}

#[test]
fn an_image_that_is_not_what_its_manifest_names_is_not_written() {
    let Some(image) = Image::copy() else { return };
    let mut disk = image.bytes("raw");
    let end = disk.len() - 1;
    disk[end] ^= 1;
    fs::remove_file(image.file("raw")).unwrap();
    fs::write(image.file("raw"), disk).unwrap();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("stick");
    let said = image.refuse("usb", &["--file", text(&file)]);
    assert!(said.contains("is not the disk that its manifest names"), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
}

#[test]
fn a_bar_is_for_terminals_only() {
    let Some(image) = Image::copy() else { return };
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("stick");
    File::create(&file).unwrap();
    let output = image.run("usb", &["--file", text(&file)]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

/// A loop device over a file of 0xaa.
struct Loop {
    _directory: TempDir,
    file: PathBuf,
    device: String,
}

impl Loop {
    fn new(size: usize) -> Option<Self> {
        let directory =
            TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the means of the test");
        let file = directory.path().join("stick");
        fs::write(&file, vec![0xaa; size]).expect("the means of the test");
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&file)
            .output()
            .expect("the means of the test");
        if !output.status.success() {
            eprintln!("left out: this machine has no loop devices");
            return None;
        }
        let device =
            String::from_utf8(output.stdout).expect("the means of the test").trim().to_owned();
        Some(Self { _directory: directory, file, device })
    }

    fn device(&self) -> &str {
        &self.device
    }

    fn name(&self) -> &str {
        self.device.rsplit('/').next().expect("the means of the test")
    }

    fn content(&self) -> Vec<u8> {
        run("blockdev", &["--flushbufs", &self.device]);
        fs::read(&self.file).expect("the means of the test")
    }

    fn is_untouched(&self) -> bool {
        self.content().iter().all(|byte| *byte == 0xaa)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
    }
}

/// A mount in a namespace that is not ours, until this is dropped.
struct Elsewhere(Child);

impl Elsewhere {
    fn mount(device: &str, place: &Path) -> Self {
        let script =
            format!("mount -o ro {device} {} && echo mounted && exec cat", place.display());
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        let mut child = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the means of the test");
        let mut word = [0; 8];
        let stdout: &mut std::process::ChildStdout =
            child.stdout.as_mut().expect("the means of the test");
        std::io::Read::read_exact(stdout, &mut word).expect("the means of the test");
        Self(child)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the means of the test");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the means of the test")
}
