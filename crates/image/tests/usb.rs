//! `image usb` on plain files and loop devices, with the image that `cargo xtask image` has built.

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use media::Digest;
use nix::libc;
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
fn what_is_written_is_the_disk_that_was_described_whatever_has_its_name_by_then() {
    let Some(image) = Image::copy() else { return };
    let disk = image.bytes("raw");
    let (Some(stick), Some(other)) = (Loop::new(disk.len()), Loop::new(disk.len())) else { return };
    let nodes = TempDir::new_in("/dev").unwrap();
    let node = nodes.path().join("stick");
    stick.make_node(&node);

    let mut person = Person::start(image.command("usb", &["--yes-this-disk", text(&node)]));
    person.read_to("Its name again, to go on: ");
    // While they read, it is ours already.
    let busy = File::options().write(true).custom_flags(libc::O_EXCL).open(stick.device());
    assert_eq!(busy.unwrap_err().raw_os_error(), Some(libc::EBUSY));
    fs::remove_file(&node).unwrap();
    other.make_node(&node);
    assert!(person.answer("stick"));

    assert!(stick.content() == disk);
    assert!(other.is_untouched());
}

#[test]
fn a_disk_that_became_another_size_while_somebody_thought_is_refused() {
    let Some(image) = Image::copy() else { return };
    let size = image.bytes("raw").len();
    let Some(stick) = Loop::new(size) else { return };
    let mut person = Person::start(image.command("usb", &["--yes-this-disk", stick.device()]));
    person.read_to("Its name again, to go on: ");
    let file = File::options().write(true).open(&stick.file).unwrap();
    file.set_len(size as u64 + 4096).unwrap();
    run("losetup", &["--set-capacity", stick.device()]);
    assert!(!person.answer(stick.name()));
    let content = stick.content();
    assert!(content[..size].iter().all(|byte| *byte == 0xaa));
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
    let nodes = TempDir::new_in("/dev").unwrap();
    let node = nodes.path().join("partition");
    make_node(&node, &number);
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

    /// Gives it another name.
    fn make_node(&self, node: &Path) {
        let number = fs::read_to_string(format!("/sys/block/{}/dev", self.name()));
        make_node(node, &number.expect("the means of the test"));
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
        stdout.read_exact(&mut word).expect("the means of the test");
        Self(child)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody at a terminal, which script(1) makes.
struct Person {
    script: Child,
    read: String,
}

impl Person {
    fn start(command: Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<&str> = words.map(|word| word.to_str().expect("text")).collect();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
        let script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self { script: script.expect("the means of the test"), read: String::new() }
    }

    fn read_to(&mut self, words: &str) {
        let stdout = self.script.stdout.as_mut().expect("the means of the test");
        while !self.read.contains(words) {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap_or_else(|_| panic!("it only says {}", self.read));
            self.read.push(char::from(byte[0]));
        }
    }

    /// Types a line; whether the command succeeded then.
    fn answer(mut self, line: &str) -> bool {
        let stdin = self.script.stdin.as_mut().expect("the means of the test");
        writeln!(stdin, "{line}").expect("the means of the test");
        let output = self.script.wait_with_output().expect("the means of the test");
        eprintln!("{}", String::from_utf8_lossy(&output.stdout));
        output.status.success()
    }
}

/// A device node for `MAJOR:MINOR`.
fn make_node(node: &Path, number: &str) {
    let (major, minor) = number.trim().split_once(':').expect("the means of the test");
    run("mknod", &[text(node), "b", major, minor]);
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
