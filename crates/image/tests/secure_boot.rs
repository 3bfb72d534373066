//! Firmware with Secure Boot, which knows the certificate of the tests and no other.

mod support;

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use openssl::x509::X509;
use support::{Image, Key, NAME};
use uuid::{Uuid, uuid};

/// Emulated machines beside other tests take their time.
const LIMIT: Duration = Duration::from_secs(240);
const STARTS: &str = "EFI stub: Loaded initrd";
const REFUSES: &str = "Access Denied";

#[test]
fn firmware_starts_the_signed_image_and_no_other() {
    let Some(image) = Image::copy() else { return };
    let (key, other) = (Key::new("rsa:2048"), Key::new("rsa:2048"));
    image.succeed("sign", &[key.private(), key.certificate()]);
    enroll(&image, &key);

    assert_eq!(boot(&image, "signed.raw"), STARTS);
    assert_eq!(boot(&image, "raw"), REFUSES);

    let mut disk = image.bytes("signed.raw");
    let command_line = b"systemd.import_credentials=no";
    let at = disk.windows(command_line.len()).position(|bytes| bytes == command_line).unwrap();
    disk[at + command_line.len() - 2] ^= 1;
    fs::write(image.file("flipped.raw"), disk).unwrap();
    assert_eq!(boot(&image, "flipped.raw"), REFUSES);

    image.succeed("sign", &[other.private(), other.certificate()]);
    assert_eq!(boot(&image, "signed.raw"), REFUSES);
}

/// What the firmware does with a disk.
fn boot(image: &Image, extension: &str) -> &'static str {
    let file = |extension: &str| format!("/build/output/{NAME}.{extension}");
    fs::copy(image.file("variables"), image.file("variables.copy")).expect("the means of the test");
    let ovmf = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
    let mut qemu = image.enter(&["qemu-system-x86_64", "-no-user-config", "-nodefaults"]);
    qemu.args(["-machine", "q35,smm=on", "-accel", "tcg,thread=multi,tb-size=512"]);
    qemu.args(["-cpu", "max,la57=off", "-smp", "1", "-m", "1024", "-no-reboot"]);
    qemu.args(["-display", "none", "-vga", "none", "-nic", "none", "-serial", "stdio"]);
    qemu.args(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
    qemu.args(["-global", "ICH9-LPC.disable_s3=1"]);
    qemu.arg("-drive").arg(format!("if=pflash,unit=0,format=raw,readonly=on,file={ovmf}"));
    let variables = file("variables.copy");
    qemu.arg("-drive").arg(format!("if=pflash,unit=1,format=raw,file={variables}"));
    let disk = file(extension);
    qemu.arg("-drive").arg(format!("if=none,id=root,format=raw,readonly=on,file={disk}"));
    qemu.args(["-device", "virtio-blk-pci,drive=root,bootindex=0"]);
    let mut machine =
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the means of the test");

    let mut console = machine.stdout.take().expect("the means of the test");
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = console.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let (start, mut said) = (Instant::now(), Vec::new());
    let verdict = loop {
        let text = String::from_utf8_lossy(&said);
        if let Some(verdict) = [STARTS, REFUSES].into_iter().find(|word| text.contains(word)) {
            break verdict;
        }
        match receiver.recv_timeout(LIMIT.saturating_sub(start.elapsed())) {
            Ok(bytes) => said.extend(bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break "neither",
        }
    };
    machine.kill().expect("the means of the test");
    machine.wait().expect("the means of the test");
    reader.join().expect("the means of the test");
    assert_ne!(verdict, "neither", "{}", String::from_utf8_lossy(&said));
    verdict
}

/// Writes the firmware's variables as somebody at its menus would: the certificate as platform key, key
/// exchange key and only entry of db, and Secure Boot switched on.
///
/// Layout: EDK II, MdeModulePkg/Include/Guid/VariableFormat.h; UEFI specification 2.10, 32.4.1.
fn enroll(image: &Image, key: &Key) {
    const GLOBAL: Uuid = uuid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");
    const IMAGE_SECURITY: Uuid = uuid!("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
    const SECURE_BOOT_ENABLE: Uuid = uuid!("f0a30bc7-af08-4556-99c4-001009c93a44");
    const X509_CERTIFICATE: Uuid = uuid!("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
    /// Behind the headers of the volume and of the store.
    const FIRST_VARIABLE: usize = 72 + 28;
    /// Non-volatile, for boot services, at run time too, authenticated by time.
    const KEYS: u32 = 0x27;
    const SETTING: u32 = 0x03;

    let der = X509::from_pem(&fs::read(key.certificate()).expect("the means of the test"))
        .expect("the means of the test")
        .to_der()
        .expect("the means of the test");
    let entry = 16 + der.len() as u32;
    let mut list = X509_CERTIFICATE.to_bytes_le().to_vec();
    for number in [28 + entry, 0, entry] {
        list.extend(number.to_le_bytes());
    }
    list.extend(Uuid::nil().to_bytes_le());
    list.extend(der);

    let empty = image.tool(&["cat", "/usr/share/OVMF/OVMF_VARS_4M.fd"]);
    let mut variables = empty.stdout;
    let mut at = FIRST_VARIABLE;
    for (name, vendor, attributes, data) in [
        ("PK", GLOBAL, KEYS, list.as_slice()),
        ("KEK", GLOBAL, KEYS, &list),
        ("db", IMAGE_SECURITY, KEYS, &list),
        ("SecureBootEnable", SECURE_BOOT_ENABLE, SETTING, &[1]),
    ] {
        let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let mut variable = vec![0xaa, 0x55, 0x3f, 0];
        variable.extend(attributes.to_le_bytes());
        // Counter, time and index of a key, which only updates look at.
        variable.extend([0; 8 + 16 + 4]);
        variable.extend((name.len() as u32).to_le_bytes());
        variable.extend((data.len() as u32).to_le_bytes());
        variable.extend(vendor.to_bytes_le());
        variable.extend(name);
        variable.extend(data);
        variable.resize(variable.len().next_multiple_of(4), 0xff);
        let place = &mut variables[at..at + variable.len()];
        assert!(place.iter().all(|byte| *byte == 0xff), "the store is not empty");
        place.copy_from_slice(&variable);
        at += variable.len();
    }
    fs::write(image.file("variables"), variables).expect("the means of the test");
}
