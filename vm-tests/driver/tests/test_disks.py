"""Disks, partition tables and the copies of them that are tampered with."""

import os
import tempfile
import unittest
from pathlib import Path
from struct import pack
from unittest import mock
from uuid import UUID

from scenario_lib import gpt, tamper
from scenario_lib.gpt import NotAGpt
from vm_driver import disks
from vm_driver.scenario import Disk

ANY_UUID = UUID(int=7)


def disk_with(*partitions: tuple[UUID, int, int]) -> bytes:
    """A disk of 64 sectors with partitions of type, first and last sector; sums are not made."""
    header = gpt.MAGIC.ljust(72, b"\0") + pack("<QII", 2, 4, 128)
    entries = [kind.bytes_le + ANY_UUID.bytes_le + pack("<QQ", first, last) for kind, first, last in partitions]
    table = b"".join(entry.ljust(128, b"\0") for entry in entries).ljust(512, b"\0")
    return (bytes(512) + header.ljust(512, b"\0") + table).ljust(64 * 512, b"\0")


class OnFiles(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.disk = self.directory / "disk.raw"
        self.disk.write_bytes(disk_with((gpt.ESP, 8, 15), (gpt.ROOT_X86_64, 16, 16)))

    def test_partitions_are_where_the_table_says(self) -> None:
        esp, root = gpt.partitions(self.disk)
        self.assertEqual((esp.number, esp.offset, esp.size, esp.uuid), (1, 4096, 4096, ANY_UUID))
        self.assertEqual((root.number, root.offset, root.size), (2, 8192, 512))
        self.assertEqual(gpt.partition_of_type(self.disk, gpt.ROOT_X86_64), root)

    def test_a_partition_that_is_not_there_is_an_error(self) -> None:
        with self.assertRaisesRegex(NotAGpt, "0 partitions"):
            gpt.partition_of_type(self.disk, gpt.ROOT_X86_64_VERITY)
        self.disk.write_bytes(bytes(4096))
        with self.assertRaisesRegex(NotAGpt, "no GUID partition table"):
            gpt.partitions(self.disk)

    def test_one_byte_is_flipped_and_no_other(self) -> None:
        before = self.disk.read_bytes()
        tamper.flip_byte(self.disk, gpt.partition_of_type(self.disk, gpt.ROOT_X86_64), 511)
        after = self.disk.read_bytes()
        changed = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
        self.assertEqual(changed, [8192 + 511])
        with self.assertRaises(ValueError):
            tamper.flip_byte(self.disk, gpt.partition_of_type(self.disk, gpt.ROOT_X86_64), 512)

    def test_a_disk_is_cut_at_a_sector(self) -> None:
        tamper.truncate(self.disk, 5000)
        self.assertEqual(self.disk.stat().st_size, 4608)

    def test_a_private_copy_leaves_the_image_alone(self) -> None:
        machine = mock.Mock(state_dir=self.directory / "state")
        machine.state_dir.mkdir()
        with mock.patch.dict(os.environ, SESAME_DISK=str(self.disk)):
            copy = tamper.private_copy(machine)
        tamper.flip_byte(copy, gpt.partitions(copy)[0], 0)
        self.assertEqual(copy, machine.state_dir / "disk.raw")
        self.assertNotEqual(copy.read_bytes(), self.disk.read_bytes())

    def test_a_disk_is_made_once(self) -> None:
        spec = Disk("blank", 1, "none", "")
        path = disks.ensure(spec, self.directory / "disks")
        self.assertEqual(path.stat().st_size, disks.MIB)
        path.write_bytes(b"written")
        self.assertEqual(disks.ensure(spec, self.directory / "disks").read_bytes(), b"written")
