use proptest::prelude::*;

use super::{DeviceName, Disks, human_size};

/// What lsblk of util-linux 2.41 printed on the appliance: the boot medium (verity over two partitions),
/// a volume made earlier, a stick of FAT, and a small, a read-only and a mounted disk.
const LISTED: &str = include_str!("listed.json");

#[test]
fn only_what_nothing_uses_may_be_erased() {
    let disks = Disks::parse(LISTED).unwrap();
    let names: Vec<&str> = disks.erasable.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["sdb", "sdc", "nvme0n1"]);
}

#[test]
fn a_volume_made_earlier_is_found_on_a_disk_and_on_a_partition() {
    let disks = Disks::parse(LISTED).unwrap();
    let names: Vec<&str> = disks.volumes.iter().map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["sdb", "nvme0n1p2"]);
    assert_eq!(
        disks.volumes[1].model.as_str(),
        "Samsung SSD 970",
        "a partition has no model of its own"
    );
}

#[test]
fn what_would_be_erased_is_listed() {
    let disks = Disks::parse(LISTED).unwrap();
    let holds: Vec<&str> = disks.erasable[2].holds.iter().map(|held| held.as_str()).collect();
    assert_eq!(holds, ["vfat EFI", "crypto_LUKS sesame-state", "a partition"]);
}

#[test]
fn a_volume_that_is_open_is_not_offered_again() {
    let open = r#"{"blockdevices":[{"kname":"sdb","type":"disk","size":268435456,"ro":false,"rm":true,
        "hotplug":true,"tran":"usb","model":"A","serial":null,"fstype":"crypto_LUKS","label":"sesame-state",
        "mountpoints":[null],"children":[{"kname":"dm-1","type":"crypt","size":251658240,"ro":false,"rm":false,
        "hotplug":false,"tran":null,"model":null,"serial":null,"fstype":"ext4","label":"sesame-state",
        "mountpoints":[null]}]}]}"#;
    assert_eq!(Disks::parse(open).unwrap(), Disks::default());
}

#[test]
fn a_label_that_only_resembles_ours_is_no_volume() {
    for label in ["sesame-state ", "Sesame-state", "sesame\\x2dstate", ""] {
        let json = LISTED.replace("\"sesame-state\"", &format!("{label:?}"));
        assert!(Disks::parse(&json).unwrap().volumes.is_empty(), "{label:?}");
    }
}

#[test]
fn a_model_with_escape_sequences_is_printable() {
    let json = LISTED.replace("Ultra Fit", "\\u001b[2J\\u001b]0;x\\u0007\\u202eevil");
    let disks = Disks::parse(&json).unwrap();
    assert_eq!(disks.erasable[1].model.as_str(), "?[2J?]0;x??evil");
}

#[test]
fn what_is_not_lsblks_list_is_an_error() {
    for json in ["", "{}", "[]", r#"{"blockdevices":[{}]}"#, r#"{"blockdevices":null}"#] {
        Disks::parse(json).unwrap_err();
    }
}

#[test]
fn a_name_is_safe_in_a_path() {
    for name in ["sda", "nvme0n1p2", "mmcblk0", "vdz", "dm-1", "sd_a"] {
        assert_eq!(DeviceName::parse(name).unwrap().path(), format!("/dev/{name}"));
    }
    for name in
        ["", "..", "../sda", "a/b", "-sda", "Sda", "sda ", "sda\n", "cciss!c0d0", "s\u{e9}a", "1a"]
    {
        assert_eq!(DeviceName::parse(name), None, "{name:?}");
    }
    assert_eq!(DeviceName::parse(&"a".repeat(33)), None);
}

#[test]
fn sizes_are_those_on_the_label_of_a_disk() {
    let sizes = [0, 999_999, 1_000_000, 268_435_456, 15_999_999_999, 2_000_000_000_000, u64::MAX];
    let text: Vec<String> = sizes.into_iter().map(human_size).collect();
    let expected =
        ["0 bytes", "999999 bytes", "1.0 MB", "268.4 MB", "15.9 GB", "2.0 TB", "18446744.0 TB"];
    assert_eq!(text, expected);
}

proptest! {
    #[test]
    fn no_list_makes_it_panic(json in ".*") {
        let _ = Disks::parse(&json);
    }

    #[test]
    fn whatever_a_disk_is_called_what_is_shown_is_plain(
        kname in ".*", model in ".*", serial in ".*", tran in ".*", fstype in ".*", label in ".*",
        size: u64, ro: bool, mounted in proptest::option::of(".*"),
    ) {
        let node = serde_json::json!({
            "kname": kname, "type": "disk", "size": size, "ro": ro, "rm": true, "hotplug": true,
            "tran": tran, "model": model, "serial": serial, "fstype": fstype, "label": label,
            "mountpoints": [mounted],
        });
        let json = serde_json::json!({ "blockdevices": [node] }).to_string();
        let disks = Disks::parse(&json).unwrap();
        prop_assert!(disks.erasable.is_empty() || (!ro && mounted.is_none()));
        let text = crate::menu::question(&disks) + &crate::menu::which_disk(&disks);
        prop_assert!(text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()));
        let lines = crate::menu::which_disk(&Disks::default()).lines().count() + 2 * disks.erasable.len();
        prop_assert_eq!(crate::menu::which_disk(&disks).lines().count(), lines);
    }
}
