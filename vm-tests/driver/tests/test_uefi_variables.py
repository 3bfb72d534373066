"""Variables in a flash that is made here by hand, as OVMF makes it."""

import tempfile
import unittest
from pathlib import Path
from struct import pack
from uuid import UUID

from scenario_lib import uefi_variables

VENDOR = UUID("00112233-4455-6677-8899-aabbccddeeff")
# Of the firmware volume, and of the store in it; 200 bytes are for variables.
VOLUME, STORE = 72, 28
SPACE = 200


class InAFlash(unittest.TestCase):
    def setUp(self) -> None:
        self.flash = Path(self.enterContext(tempfile.TemporaryDirectory())) / "variables.fd"
        volume = bytes(48) + pack("<H", VOLUME)
        store = uefi_variables.STORE.bytes_le + pack("<I", STORE + SPACE)
        self.flash.write_bytes(volume.ljust(VOLUME, b"\0") + store.ljust(STORE, b"\0") + b"\xff" * (SPACE + 8))

    def test_a_variable_has_a_header_a_name_and_its_bytes(self) -> None:
        uefi_variables.set_variable(self.flash, "Ab", VENDOR, b"xyz")
        variable = self.flash.read_bytes()[VOLUME + STORE :]
        self.assertEqual(variable[:8], bytes.fromhex("aa553f0007000000"))
        self.assertEqual(variable[36:44], pack("<II", 6, 3))
        self.assertEqual(variable[44:60], bytes.fromhex("33221100554477668899aabbccddeeff"))
        self.assertEqual(variable[60:70], b"A\0b\0\0\0xyz\xff")

    def test_the_next_one_begins_at_a_multiple_of_four(self) -> None:
        uefi_variables.set_variable(self.flash, "Ab", VENDOR, b"xyz")
        uefi_variables.set_variable(self.flash, "C", VENDOR, uefi_variables.text("d"))
        second = self.flash.read_bytes()[VOLUME + STORE + 72 :]
        self.assertEqual(second[:2], b"\xaa\x55")
        self.assertEqual(second[60:69], b"C\0\0\0d\0\0\0\xff")

    def test_a_store_that_is_full_or_unknown_is_not_written(self) -> None:
        before = self.flash.read_bytes()
        with self.assertRaisesRegex(ValueError, "no room for C"):
            uefi_variables.set_variable(self.flash, "C", VENDOR, bytes(SPACE - 63))
        self.assertEqual(self.flash.read_bytes(), before)
        uefi_variables.set_variable(self.flash, "C", VENDOR, bytes(SPACE - 64))
        self.flash.write_bytes(bytes(500))
        with self.assertRaisesRegex(ValueError, "no store"):
            uefi_variables.set_variable(self.flash, "C", VENDOR, b"")
