//! `image sign`, `sign-export` and `sign-import` on the image that `cargo xtask image` has built.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use media::Digest;
use media::layout::{Esp, Layout};
use media::signature::Signer;
use support::{Image, Key, NAME};
use tempfile::TempDir;

const RSA: &str = "rsa:2048";
const RESULTS: [&str; 4] = ["signed.efi", "signed.raw", "manifest.json", "manifest.json.sig"];

#[test]
fn a_signed_disk_differs_in_its_uki_alone() {
    let Some(image) = Image::copy() else { return };
    let key = Key::new(RSA);
    let (disk, uki) = (image.bytes("raw"), image.bytes("efi"));

    image.succeed("sign", &[key.private(), key.certificate()]);

    assert!(image.bytes("raw") == disk && image.bytes("efi") == uki, "the unsigned image changed");
    let (signed_disk, signed_uki) = (image.bytes("signed.raw"), image.bytes("signed.efi"));
    let (disk, signed_disk) = (disk.as_slice(), signed_disk.as_slice());
    let (layout, signed_layout) =
        (Layout::read(&disk).unwrap(), Layout::read(&signed_disk).unwrap());
    let esp = &layout.esp.0;
    let (start, end) = (esp.start as usize, esp.end() as usize);
    assert!(signed_disk[..start] == disk[..start] && signed_disk[end..] == disk[end..]);
    assert_eq!(signed_disk[start..][..512], disk[start..][..512], "the boot sector of the ESP");
    let esp = Esp::read(&signed_layout.esp.1).unwrap();
    assert_eq!(esp.strangers(), Vec::<String>::new());
    assert_eq!(esp.fat.first_unused_nonzero(&esp.entries).unwrap(), None);
    let on_the_disk = esp.uki_contents().unwrap();
    assert_eq!(Digest::of_storage(&on_the_disk).unwrap(), Digest::of(&signed_uki));
    assert!(signed_uki.len() > uki.len());
}

#[test]
fn firmware_and_auditors_find_the_signatures_good() {
    let Some(image) = Image::copy() else { return };
    let key = Key::new(RSA);
    image.succeed("sign", &[key.private(), key.certificate()]);

    fs::copy(key.certificate(), image.file("certificate")).unwrap();
    let file = |extension: &str| format!("/build/output/{NAME}.{extension}");
    let (certificate, uki) = (file("certificate"), file("signed.efi"));
    let verify = ["osslsigncode", "verify", "-CAfile", &certificate, "-in", &uki];
    let output = image.tool(&verify);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("Signing time"));

    let signer = Signer::parse(&fs::read(key.certificate()).unwrap()).unwrap();
    signer.verify(&image.bytes("manifest.json"), &image.bytes("manifest.json.sig")).unwrap();
    let signed = image.manifest().signed.expect("a signed image");
    assert_eq!(Some(signed.certificate_sha256), signer.certificate_sha256());
    for (file, extension) in [(signed.disk, "signed.raw"), (signed.uki, "signed.efi")] {
        let bytes = image.bytes(extension);
        assert_eq!(file.file.as_str(), format!("{NAME}.{extension}"));
        assert_eq!((file.bytes, file.sha256), (bytes.len() as u64, Digest::of(&bytes)));
    }
}

#[test]
fn a_key_that_is_elsewhere_gives_the_same_files() {
    let (Some(here), Some(elsewhere)) = (Image::copy(), Image::copy()) else { return };
    let (key, stick) = (Key::new(RSA), TempDir::new().unwrap());
    let directory = stick.path().join("export");
    here.succeed("sign", &[key.private(), key.certificate()]);

    elsewhere.succeed("sign-export", &[&key.certificate(), &directory]);
    sign_as_the_readme_says(&directory, &key);
    elsewhere.succeed("sign-import", &[&directory]);
    assert!(!elsewhere.file("signed.raw").exists(), "half a signed image");
    sign_as_the_readme_says(&directory, &key);
    elsewhere.succeed("sign-import", &[&directory]);

    for extension in RESULTS {
        assert!(here.bytes(extension) == elsewhere.bytes(extension), "{extension} differs");
    }
    // Signing again begins with the unsigned image, and ends with the same.
    let files = here.files();
    here.succeed("sign", &[key.private(), key.certificate()]);
    assert_eq!(here.files(), files);
}

#[test]
fn the_signature_of_another_key_is_refused() {
    let Some(image) = Image::copy() else { return };
    let (key, other, stick) = (Key::new(RSA), Key::new(RSA), TempDir::new().unwrap());

    let said = image.refuse("sign", &[other.private(), key.certificate()]);
    assert!(said.contains("was not made with the key of this certificate"), "{said}");

    let directory = stick.path().join("export");
    image.succeed("sign-export", &[&key.certificate(), &directory]);
    let said = image.refuse("sign-import", &[&directory]);
    assert!(said.contains("openssl dgst -sha256 -sign KEY.pem -out uki.tbs.sig uki.tbs"), "{said}");
    sign_as_the_readme_says(&directory, &other);
    let said = image.refuse("sign-import", &[&directory]);
    assert!(said.contains("the signature of the UKI was not made with the key"), "{said}");

    sign_as_the_readme_says(&directory, &key);
    image.succeed("sign-import", &[&directory]);
    sign_as_the_readme_says(&directory, &other);
    let said = image.refuse("sign-import", &[&directory]);
    assert!(said.contains("the signature of the manifest was not made with the key"), "{said}");
}

#[test]
fn a_certificate_that_was_exchanged_on_its_way_is_refused() {
    let Some(image) = Image::copy() else { return };
    let (key, other, stick) = (Key::new(RSA), Key::new(RSA), TempDir::new().unwrap());
    let directory = stick.path().join("export");
    image.succeed("sign-export", &[&key.certificate(), &directory]);

    // Somebody signs with a key of their own, and puts its certificate there.
    sign_as_the_readme_says(&directory, &other);
    fs::copy(other.certificate(), directory.join("certificate.pem")).unwrap();
    let said = image.refuse("sign-import", &[&directory]);
    assert!(said.contains("Somebody has exchanged it on its way"), "{said}");

    // In the second round too.
    fs::copy(key.certificate(), directory.join("certificate.pem")).unwrap();
    sign_as_the_readme_says(&directory, &key);
    image.succeed("sign-import", &[&directory]);
    sign_as_the_readme_says(&directory, &other);
    fs::copy(other.certificate(), directory.join("certificate.pem")).unwrap();
    let said = image.refuse("sign-import", &[&directory]);
    assert!(said.contains("Somebody has exchanged it on its way"), "{said}");
}

#[test]
fn no_signature_stands_beside_files_that_it_is_not_about() {
    let Some(image) = Image::copy() else { return };
    let key = Key::new(RSA);
    image.succeed("sign", &[key.private(), key.certificate()]);
    // Signing again fails on its way, with the old files half replaced.
    let in_the_way = image.file("signed.raw");
    fs::remove_file(&in_the_way).unwrap();
    fs::create_dir_all(in_the_way.join("not empty")).unwrap();
    let output = image.run("sign", &[key.private(), key.certificate()]);
    assert!(!output.status.success());
    assert!(!image.file("manifest.json.sig").exists());
}

#[test]
fn an_export_of_another_image_is_refused() {
    let Some(image) = Image::copy() else { return };
    let (key, stick) = (Key::new(RSA), TempDir::new().unwrap());
    let directory = stick.path().join("export");
    image.succeed("sign-export", &[&key.certificate(), &directory]);
    sign_as_the_readme_says(&directory, &key);

    // Somebody builds again, and one byte of the UKI comes out otherwise.
    let mut uki = image.bytes("efi");
    let middle = uki.len() / 2;
    uki[middle] ^= 1;
    let mut manifest = image.manifest();
    manifest.uki.sha256 = Digest::of(&uki);
    fs::remove_file(image.file("efi")).unwrap();
    fs::write(image.file("efi"), &uki).unwrap();
    let said = image.refuse("sign-import", &[&directory]);
    assert!(said.contains("is not the file that its manifest names"), "{said}");
    fs::write(image.file("manifest.json"), manifest.render()).unwrap();
    let said = image.refuse("sign-import", &[&directory]);
    assert!(said.contains("belongs to another image"), "{said}");
    // Its disk still has the UKI of before.
    let said = image.refuse("sign", &[key.private(), key.certificate()]);
    assert!(said.contains("is not made of its UKI alone"), "{said}");
}

#[test]
fn what_cannot_sign_for_secure_boot_is_refused() {
    let Some(image) = Image::copy() else { return };
    let curve = Key::new("ec");
    let said = image.refuse("sign", &[&curve.private(), &curve.certificate()]);
    assert!(said.contains("its key is not RSA"), "{said}");
    let short = Key::new("rsa:1024");
    let said = image.refuse("sign", &[&short.private(), &short.certificate()]);
    assert!(said.contains("RSA of 2048 to 4096 bits"), "{said}");
    let said = image.refuse("sign", &[&short.private(), &short.private()]);
    assert!(said.contains("not an X.509 certificate"), "{said}");

    let directory = TempDir::new().unwrap();
    let said = image.refuse("sign-import", &[directory.path()]);
    assert!(said.contains("holds no export"), "{said}");
    fs::write(directory.path().join("anything"), "").unwrap();
    let key = Key::new(RSA);
    let said = image.refuse("sign-export", &[&key.certificate(), directory.path()]);
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// Types the command of README.txt, with the directory elsewhere and the key at the place of `KEY.pem`.
fn sign_as_the_readme_says(directory: &Path, key: &Key) {
    let text = fs::read_to_string(directory.join("README.txt")).expect("the means of the test");
    let command = text.lines().find(|line| line.starts_with("  openssl ")).expect("a command");
    let command = command.replace("KEY.pem", &key.private().display().to_string());
    let status = Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(directory)
        .status()
        .expect("the means of the test");
    assert!(status.success());
}
