//! The UKI and the disk with the signature in them. Nothing else of the disk changes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use media::layout::Layout;
use media::manifest::Signed;
use media::storage::{Disk, Storage};
use media::{Description, Manifest, Progress};
use site_config::durable::sync_directory;

use super::certificate::Certificate;
use super::unsigned::{Unsigned, inside, inside_scratch};
use crate::failed::{Failed, output};
use crate::results;

const UKI: &str = "signed.efi";
const DISK: &str = "signed.raw";
const ESP: &str = "esp";

/// Makes the ESP as systemd-repart made the unsigned one: the same programs, options and times.
const MAKE_ESP: &str = "\
rm -rf \"$1\" \"$1.tree\"
mkdir -p \"$1.tree/EFI/BOOT\"
cp \"$2\" \"$1.tree/EFI/BOOT/BOOTX64.EFI\"
find \"$1.tree\" -exec touch --date \"@$SOURCE_DATE_EPOCH\" {} +
truncate --size \"$3\" \"$1\"
mkfs.vfat -F 32 -S 512 -i \"$4\" -n \"$5\" \"$1\"
mcopy -s -p -Q -m -i \"$1\" \"$1.tree/EFI\" ::
rm -r \"$1.tree\"";

/// A signed image in the scratch directory, and what its manifest has to be.
pub struct SignedImage<'u> {
    unsigned: &'u Unsigned<'u>,
    pub manifest: Manifest,
}

impl<'u> SignedImage<'u> {
    /// Puts a signature that has been checked into a copy of the disk.
    pub fn make(
        unsigned: &'u Unsigned<'u>,
        certificate: &Certificate,
        signature: &[u8],
    ) -> Result<Self, Failed> {
        attach(unsigned, certificate, signature)?;
        copy_with_esp(unsigned)?;
        let description = describe(&unsigned.scratch(DISK))?;
        let mut manifest = unsigned.manifest.clone();
        let Description { mut disk, mut uki, root, kernel, pcr11 } = description;
        // What is measured and verified at boot is what it was.
        if (&root, &kernel, &pcr11) != (&manifest.root, &manifest.kernel, &manifest.pcr11) {
            return Err(Failed(
                "the signed image would boot something else; target/image is as it was".to_owned(),
            ));
        }
        disk.file = file_name(&unsigned.places.result("signed.raw"))?;
        uki.file = file_name(&unsigned.places.result("signed.efi"))?;
        manifest.signed = Some(Signed { disk, uki, certificate_sha256: certificate.sha256() });
        Ok(Self { unsigned, manifest })
    }

    /// Puts everything where a person finds it: the manifest when what it names is there, and its signature
    /// last of all. Whatever ends this on its way, no signature stands beside files that it isn't about.
    pub fn install(&self, signature: &[u8]) -> Result<(), Failed> {
        let places = self.unsigned.places;
        results::withdraw_signed(places)?;
        for (name, extension) in [(UKI, "signed.efi"), (DISK, "signed.raw")] {
            let (from, to) = (self.unsigned.scratch(name), places.result(extension));
            let synced = File::open(&from).and_then(|file| file.sync_all());
            synced.map_err(Failed::io("write", &from))?;
            fs::rename(&from, &to).map_err(Failed::io("write", &to))?;
        }
        sync_directory(&places.output).map_err(Failed::io("write", &places.output))?;
        let manifest = places.result("manifest.json");
        results::write(&manifest, self.manifest.render().as_bytes())?;
        results::write(&Manifest::signature_of(&manifest), signature)
    }
}

/// Makes the signed UKI, and has another program say that firmware will take it.
fn attach(
    unsigned: &Unsigned<'_>,
    certificate: &Certificate,
    signature: &[u8],
) -> Result<(), Failed> {
    let pkcs7 = unsigned.scratch("pkcs7");
    let content = unsigned.to_be_signed.signed(certificate, signature)?;
    fs::write(&pkcs7, content).map_err(Failed::io("write", &pkcs7))?;
    let pem = unsigned.scratch("certificate.pem");
    fs::write(&pem, &certificate.pem).map_err(Failed::io("write", &pem))?;

    let (unsigned_uki, uki) = (unsigned.places.result("efi"), unsigned.scratch(UKI));
    fs::copy(&unsigned_uki, &uki).map_err(Failed::io("write", &uki))?;
    let mut attach = unsigned.command("/usr/bin/sbattach", None);
    attach.args(["--attach", &inside_scratch("pkcs7"), &inside_scratch(UKI)]);
    output("sbattach", &mut attach)?;
    // As firmware does it: neither names nor dates of the certificate have a say.
    let mut verify = unsigned.command("/usr/bin/sbverify", None);
    verify.args(["--cert", &inside_scratch("certificate.pem"), &inside_scratch(UKI)]);
    output("sbverify", &mut verify).map(drop)
}

fn copy_with_esp(unsigned: &Unsigned<'_>) -> Result<(), Failed> {
    let from = unsigned.places.result("raw");
    let disk = Disk::open(&from).map_err(Failed::io("read", &from))?;
    let layout = Layout::read(&disk)
        .map_err(|error| Failed(format!("{}: {error}; nothing was signed", from.display())))?;
    let (partition, region) = layout.esp;
    let mut old = vec![0; usize::try_from(partition.bytes).unwrap_or(0)];
    region.read_exact_at(&mut old, 0).map_err(Failed::io("read", &from))?;
    // If it can't be made again as it is, more than the UKI would change.
    if make_esp(unsigned, &inside(&unsigned.places.result("efi")), &old)? != old {
        return Err(Failed(format!(
            "the ESP of {} is not made of its UKI alone; nothing was signed. `cargo xtask image` builds it anew",
            from.display()
        )));
    }
    let new = make_esp(unsigned, &inside_scratch(UKI), &old)?;
    let to = unsigned.scratch(DISK);
    fs::copy(&from, &to).map_err(Failed::io("write", &to))?;
    let disk = OpenOptions::new().write(true).open(&to).map_err(Failed::io("write", &to))?;
    let written = disk.write_all_at(&new, partition.start).and_then(|()| disk.sync_all());
    written.map_err(Failed::io("write", &to))
}

/// An ESP with this UKI, of the size, serial number and label of another one.
fn make_esp(unsigned: &Unsigned<'_>, uki: &str, like: &[u8]) -> Result<Vec<u8>, Failed> {
    // Where FAT32 has its serial number and its label (Microsoft's FAT specification, 3.3).
    let (Some(serial), Some(label)) = (like.get(67..71), like.get(71..82)) else {
        return Err(Failed("the ESP has no boot sector; nothing was signed".to_owned()));
    };
    let serial: String = serial.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    let mut make = unsigned.command("/bin/sh", None);
    make.env("SOURCE_DATE_EPOCH", unsigned.manifest.source.date.to_string());
    make.args(["-euc", MAKE_ESP, "sh", &inside_scratch(ESP), uki, &like.len().to_string()]);
    make.args([serial.as_str(), String::from_utf8_lossy(label).trim_end()]);
    output("an ESP with the UKI", &mut make)?;
    let made = unsigned.scratch(ESP);
    fs::read(&made).map_err(Failed::io("read", &made))
}

fn describe(disk: &Path) -> Result<Description, Failed> {
    Description::read(disk, &mut Progress::new(&mut |_, _| ()))
        .map_err(|error| Failed(format!("the signed disk: {error}; target/image is as it was")))
}

fn file_name(path: &Path) -> Result<media::manifest::FileName, Failed> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    media::manifest::FileName::new(name.into_owned())
        .map_err(|error| Failed(format!("{}: {error}", path.display())))
}
