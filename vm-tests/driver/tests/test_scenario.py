"""The TOML beside a scenario."""

import unittest
from pathlib import Path

from vm_driver import scenario
from vm_driver.scenario import Disk, MachineSpec, ScenarioError

SCRIPT = Path("example.py")
LEAST = 'time_limit_seconds = 60\n[machines.machine]\nboot = "direct"\n'
DISK = '[[machines.machine.disks]]\nname = "stick"\nsize_mb = 8\nformat = "vfat"\n'


class Toml(unittest.TestCase):
    def refused(self, text: str, why: str) -> None:
        with self.assertRaisesRegex(ScenarioError, why):
            scenario.parse(text, SCRIPT)

    def test_defaults_are_a_bare_machine(self) -> None:
        parsed = scenario.parse(LEAST, SCRIPT)
        self.assertEqual((parsed.name, parsed.time_limit_seconds), ("example", 60))
        bare = MachineSpec("machine", "direct", False, 1024, "", (), ())
        self.assertEqual(parsed.machines, (bare,))

    def test_everything_is_read(self) -> None:
        text = LEAST + 'tpm = true\nmemory_mb = 512\nappend = "a=b c"\nsmbios = ["x=y"]\n'
        text += DISK + 'label = "SESAME"\n'
        disks = (Disk("stick", 8, "vfat", "SESAME"),)
        spec = MachineSpec("machine", "direct", True, 512, "a=b c", ("x=y",), disks)
        self.assertEqual(scenario.parse(text, SCRIPT).machines, (spec,))

    def test_a_key_that_nobody_knows_is_refused(self) -> None:
        self.refused("timeout = 3\n" + LEAST, "unknown: timeout")
        self.refused(LEAST + "tmp = true\n", "machines.machine: unknown: tmp")
        self.refused(LEAST + DISK + "sizemb = 3\n", "unknown: sizemb")

    def test_what_is_missing_is_named(self) -> None:
        self.refused("time_limit_seconds = 60\n", "machines is missing")
        self.refused("time_limit_seconds = 60\n[machines]\n", "machines: none")
        self.refused(LEAST.replace("time_limit_seconds = 60", ""), "time_limit_seconds is missing")
        self.refused(LEAST.replace('boot = "direct"', ""), "boot is missing")

    def test_a_value_of_another_kind_is_refused(self) -> None:
        self.refused(LEAST.replace('"direct"', '"disk"'), "one of media, direct")
        self.refused(LEAST.replace("60", "0"), "above 0")
        self.refused(LEAST.replace("60", "true"), "type int")
        self.refused(LEAST + 'tpm = "yes"\n', "type bool")
        self.refused(LEAST + "smbios = [1]\n", "holds strings")
        self.refused("time_limit_seconds = 60\nmachines = { machine = 3 }\n", "table is wanted")
        self.refused("machines", "Expected")

    def test_media_keep_their_command_line(self) -> None:
        self.refused(LEAST.replace("direct", "media") + 'append = "quiet"\n', "media are untouched")

    def test_a_name_must_be_a_variable(self) -> None:
        self.refused(LEAST.replace("machines.machine", "machines.Machine-1"), "lower-case")

    def test_a_disk_has_one_description(self) -> None:
        other = LEAST.split("\n", 1)[1].replace("machines.machine", "machines.other")
        shared = LEAST + DISK + other + DISK.replace("machines.machine", "machines.other")
        self.assertEqual(len(scenario.parse(shared, SCRIPT).machines), 2)
        self.refused(LEAST + DISK + other + DISK.replace("machine.", "other.").replace("8", "9"), "two ways")
        self.refused(LEAST + DISK + DISK, "two disks of one name")

    def test_a_label_needs_a_file_system(self) -> None:
        self.refused(LEAST + DISK.replace("vfat", "none") + 'label = "X"\n', "needs a file system")
