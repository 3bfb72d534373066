//! Whether the medium that is attested is what was booted: each way in which it isn't is an objection.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;
mod machine;

use media::attest::{Firmware, Objection, SecureBoot};
use media::uki::Uki;
use uuid::Uuid;

use common::Recipe;
use machine::{LOADER, Machine, NON_VOLATILE, VOLATILE, utf16};

const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ONE: &str = "0100000000000000000000000000000000000000000000000000000000000000";
const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SYSTEMD_OPTIONS: &str = "SystemdOptions-8cf2644b-4b0b-428f-9387-6d876050dc67";

fn started() -> Machine {
    let machine = Machine::new(&Recipe::new());
    machine.start_by_uefi();
    machine
}

fn firmware(machine: &Machine) -> Firmware {
    machine.ask().firmware.unwrap().unwrap()
}

/// The only objection, asked as root.
fn objection(machine: &Machine) -> Objection {
    let mut found = machine.ask().objections(true);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn is_origin(objection: &Objection) -> bool {
    matches!(objection, Objection::Origin(_))
}

/// Why it is not known from where the machine was started, asked as root.
fn reasons(machine: &Machine) -> Vec<String> {
    let found = machine.ask().objections(true);
    let reasons = found.into_iter().filter_map(|objection| match objection {
        Objection::Origin(reason) => Some(reason),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn a_machine_that_started_the_medium_has_no_objection() {
    let machine = started();
    let found = firmware(&machine);
    assert_eq!(found.partition, Ok(Uuid::from_u128(1)));
    assert_eq!(found.was_started_from("EFI/BOOT/BOOTX64.EFI"), Some(true));
    assert_eq!((found.loader, found.systemd_options), (Ok(None), false));
    assert_eq!(machine.ask().objections(true), []);
}

#[test]
fn firmware_spells_the_same_file_in_several_ways() {
    let machine = started();
    let name = format!("StubImageIdentifier-{LOADER}");
    for (file, same) in [
        ("\\efi\\boot\\bootx64.efi", true),
        ("EFI\\BOOT\\\\BOOTX64.EFI", true),
        ("\\EFI\\BOOT\\BOOTX64.EFI.EFI", false),
        ("\\EFI\\BOOTX64.EFI", false),
    ] {
        machine.variable(&name, VOLATILE, &utf16(file));
        let found = firmware(&machine).was_started_from("EFI/BOOT/BOOTX64.EFI");
        assert_eq!(found, Some(same), "{file}");
    }
}

#[test]
fn another_partition_than_the_esp_is_an_objection() {
    let machine = started();
    let other = Uuid::from_u128(2);
    for name in ["Stub", "Loader"] {
        let value = utf16(&other.to_string());
        machine.variable(&format!("{name}DevicePartUUID-{LOADER}"), VOLATILE, &value);
    }
    let attested = Uuid::from_u128(1);
    let device = machine.paths.dev.join("sda").display().to_string();
    assert_eq!(objection(&machine), Objection::OtherPartition { booted: other, attested, device });
}

#[test]
fn another_file_than_the_uki_is_an_objection() {
    let machine = started();
    let file = "\\EFI\\other.efi";
    for name in ["Stub", "Loader"] {
        machine.variable(&format!("{name}ImageIdentifier-{LOADER}"), VOLATILE, &utf16(file));
    }
    assert_eq!(objection(&machine), Objection::OtherFile(file.to_owned()));
}

#[test]
fn a_boot_loader_before_the_stub_is_an_objection() {
    let machine = started();
    let loader = utf16("\\EFI\\grub\\grubx64.efi");
    machine.variable(&format!("LoaderImageIdentifier-{LOADER}"), VOLATILE, &loader);
    assert!(matches!(objection(&machine), Objection::Loader(text) if text.contains("grubx64")));
    let machine = started();
    let partition = utf16(&Uuid::from_u128(7).to_string());
    machine.variable(&format!("LoaderDevicePartUUID-{LOADER}"), VOLATILE, &partition);
    assert!(
        matches!(objection(&machine), Objection::Loader(text) if text.contains("-000000000007"))
    );
}

#[test]
fn a_machine_that_does_not_say_from_where_it_was_started_is_an_objection_to_root() {
    for what in ["DevicePartUUID", "ImageIdentifier"] {
        let machine = started();
        let path = format!("firmware/efi/efivars/Stub{what}-{LOADER}");
        std::fs::remove_file(machine.paths.sys.join(path)).unwrap();
        assert_eq!(reasons(&machine), [format!("there is no variable Stub{what}")]);
    }
}

#[test]
fn a_variable_of_the_origin_that_cannot_be_believed_is_an_objection_to_root() {
    let own = utf16(&Uuid::from_u128(1).to_string());
    for what in [
        "StubDevicePartUUID",
        "StubImageIdentifier",
        "LoaderDevicePartUUID",
        "LoaderImageIdentifier",
    ] {
        let name = format!("{what}-{LOADER}");
        let refused = |machine: &Machine, reason: &str| {
            assert_eq!(reasons(machine), [format!("the variable {what} {reason}")]);
            assert!(!machine.ask().objections(false).iter().any(is_origin), "{what}");
        };
        let machine = started();
        for text in [&b"odd"[..], &own[..own.len() - 2], &utf16(""), &utf16("1\n2")] {
            machine.variable(&name, VOLATILE, text);
            refused(&machine, "is not text");
        }
        // Somebody left it there before this start, and the stub could not overwrite it.
        machine.variable(&name, NON_VOLATILE, &own);
        refused(&machine, "was not set while this machine started");
        machine.write(&machine.paths.sys, &format!("firmware/efi/efivars/{name}"), b"six");
        refused(&machine, "is too short");
        if what.ends_with("UUID") {
            machine.variable(&name, VOLATILE, &utf16("no GUID"));
            refused(&machine, "is not a GUID: no GUID");
        }
    }
}

#[test]
fn a_loader_that_one_variable_names_is_not_hidden_by_the_other() {
    let machine = started();
    let loader = utf16("\\EFI\\grub\\grubx64.efi");
    machine.variable(&format!("LoaderImageIdentifier-{LOADER}"), VOLATILE, &loader);
    machine.variable(&format!("LoaderDevicePartUUID-{LOADER}"), NON_VOLATILE, &utf16("left"));
    assert!(matches!(objection(&machine), Objection::Loader(text) if text.contains("grubx64")));
}

#[test]
fn variables_that_are_not_mounted_are_an_objection_to_root_alone() {
    let machine = started();
    let directory = machine.paths.sys.join("firmware/efi/efivars");
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    let found = machine.ask();
    assert!(found.firmware.as_ref().unwrap_err().contains("efivarfs is not mounted"));
    assert!(matches!(objection(&machine), Objection::Origin(_)));
    assert_eq!(found.objections(false), []);
}

#[test]
fn a_second_command_line_in_a_variable_is_an_objection_whatever_it_says() {
    for value in [&utf16("systemd.unit=rescue.target")[..], b""] {
        let machine = started();
        machine.variable(SYSTEMD_OPTIONS, NON_VOLATILE, value);
        assert_eq!(objection(&machine), Objection::SystemdOptions);
        assert_eq!(machine.ask().objections(false), [Objection::SystemdOptions]);
    }
}

#[test]
fn a_second_disk_with_the_same_esp_is_an_objection() {
    let recipe = Recipe::new();
    let machine = started();
    let disk = recipe.disk();
    let (sys, dev) = (machine.paths.sys.clone(), machine.paths.dev.clone());
    for name in ["sda", "sdb", "sdc", "loop0"] {
        machine.write(&sys, &format!("block/{name}/size"), "1");
    }
    machine.write(&dev, "sdb", vec![0; 1 << 20]);
    machine.write(&dev, "loop0", &disk);
    assert_eq!(machine.ask().objections(true), []);
    let twin = dev.join("sdc").display().to_string();
    for damaged in [0..0, 512..1024, disk.len() - 512..disk.len()] {
        // Firmware repairs a table of which one copy is left.
        let mut other = disk.clone();
        other[damaged].fill(0);
        machine.write(&dev, "sdc", other);
        assert_eq!(objection(&machine), Objection::Twins(twin.clone()));
    }
}

/// Where disks with larger blocks have the copies of their table, and where these look for the entries.
#[test]
fn a_twin_is_found_whatever_the_blocks_of_its_disk_are() {
    const MIB: usize = 1 << 20;
    let machine = started();
    let (sys, dev) = (machine.paths.sys.clone(), machine.paths.dev.clone());
    machine.write(&sys, "block/sdb/size", "1");
    let twin = dev.join("sdb").display().to_string();
    for block in [512, 2048, 4096] {
        let (first, last) = (block, MIB - block);
        for (header, entries) in [(first, 2 * block), (last, last - 16 * 1024)] {
            let mut disk = vec![0; MIB];
            disk[header..header + 8].copy_from_slice(b"EFI PART");
            let start = (entries / block) as u64;
            disk[header + 72..header + 80].copy_from_slice(&start.to_le_bytes());
            disk[header + 80..header + 84].copy_from_slice(&128_u32.to_le_bytes());
            disk[header + 84..header + 88].copy_from_slice(&128_u32.to_le_bytes());
            // Firmware looks at all of them.
            let entry = entries + 127 * 128;
            disk[entry + 16..entry + 32].copy_from_slice(&Uuid::from_u128(1).to_bytes_le());
            machine.write(&dev, "sdb", &disk);
            assert_eq!(objection(&machine), Objection::Twins(twin.clone()), "{block} {header}");
            disk[entry + 16] ^= 1;
            machine.write(&dev, "sdb", &disk);
            assert_eq!(machine.ask().objections(true), [], "{block} {header}");
        }
    }
}

#[test]
fn what_the_stub_measured_must_be_the_uki_of_the_medium_and_nothing_else() {
    let uki = Recipe::new().uki();
    let start = Uki::open(&uki.as_slice()).unwrap().pcr11().unwrap().unwrap().to_string();
    let machine = started();
    machine.registers(&start, ZERO);
    assert_eq!(machine.ask().objections(true), []);
    machine.registers(&start, ONE);
    assert_eq!(objection(&machine), Objection::Pcr12);
    machine.registers(ONE, ZERO);
    assert_eq!(objection(&machine), Objection::Pcr11);
    // Firmware without a driver for this TPM measures nothing.
    machine.registers(ZERO, ZERO);
    assert_eq!(machine.ask().objections(true), []);
}

#[test]
fn without_a_stub_only_pcr_12_is_judged() {
    let machine = Machine::new(&Recipe::new());
    machine.registers(ONE, ZERO);
    assert_eq!(machine.ask().objections(true), []);
    machine.registers(ONE, ONE);
    assert_eq!(machine.ask().objections(false), [Objection::Pcr12]);
}

#[test]
fn a_tpm_that_does_not_give_pcr_12_is_an_objection_to_root_alone() {
    let start = Uki::open(&Recipe::new().uki().as_slice()).unwrap().pcr11().unwrap().unwrap();
    for by_uefi in [true, false] {
        let machine = Machine::new(&Recipe::new());
        if by_uefi {
            machine.start_by_uefi();
        }
        for pcr12 in ["", "no value"] {
            machine.registers(&start.to_string(), pcr12);
            let said = objection(&machine);
            assert!(matches!(&said, Objection::Pcr12Unreadable(_)), "{said}");
            assert_eq!(machine.ask().objections(false), []);
        }
        let register = machine.paths.sys.join("class/tpm/tpm0/pcr-sha256/12");
        std::fs::remove_file(register).unwrap();
        let said = objection(&machine);
        assert!(matches!(&said, Objection::Pcr12Unreadable(_)), "{said}");
        assert_eq!(machine.ask().objections(false), []);
    }
}

#[test]
fn a_tpm_without_sha_256_is_of_no_use_and_no_objection() {
    let machine = Machine::new(&Recipe::new());
    machine.start_by_uefi();
    std::fs::create_dir_all(machine.paths.sys.join("class/tpm/tpm0/pcr-sha1")).unwrap();
    assert!(machine.ask().tpm.is_none());
    assert_eq!(machine.ask().objections(true), []);
}

#[test]
fn what_cannot_be_read_is_an_objection_to_root_alone() {
    let machine = started();
    let mut disk = Recipe::new().disk();
    // The boot sector of the ESP.
    disk[1 << 20..][..512].fill(0);
    machine.write(&machine.paths.dev, "sda", &disk);
    assert!(matches!(objection(&machine), Objection::Medium(_)));
    machine.write(&machine.paths.dev, "sda", vec![0; 4096]);
    assert!(matches!(objection(&machine), Objection::Medium(_)));
    assert_eq!(machine.ask().objections(false), []);
    std::fs::remove_file(machine.paths.sys.join("block/dm-1/dm/uuid")).unwrap();
    assert_eq!(machine.ask().objections(true), [], "not an appliance");
}

#[test]
fn another_root_and_strangers_are_objections() {
    let machine = started();
    let mut other = Recipe::new();
    other.data[0] ^= 1;
    machine.write(&machine.paths.dev, "sda", other.disk());
    assert_eq!(objection(&machine), Objection::RootHash);
    let mut more = Recipe::new();
    more.files.push(("loader/x.conf".to_owned(), vec![1]));
    machine.write(&machine.paths.dev, "sda", more.disk());
    let strangers = "loader, loader/x.conf".to_owned();
    assert_eq!(objection(&machine), Objection::Strangers(strangers));
}

#[test]
fn secure_boot_is_the_byte_behind_the_attributes() {
    let machine = started();
    assert_eq!(firmware(&machine).secure_boot, Ok(SecureBoot::Unsupported));
    for (value, expected) in [(1, SecureBoot::On), (0, SecureBoot::Off)] {
        machine.variable(SECURE_BOOT, VOLATILE, &[value]);
        assert_eq!(firmware(&machine).secure_boot, Ok(expected));
    }
    for (attributes, value) in [(VOLATILE, &[7][..]), (VOLATILE, &[]), (NON_VOLATILE, &[1])] {
        machine.variable(SECURE_BOOT, attributes, value);
        assert!(firmware(&machine).secure_boot.is_err(), "{attributes} {value:?}");
    }
}
