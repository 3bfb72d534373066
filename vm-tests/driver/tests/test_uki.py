"""The PE reader, on files made here by hand."""

import unittest
from struct import pack

from scenario_lib import uki
from scenario_lib.uki import NotAUki

PE_AT = 0x80
OPTIONAL = 240


def pe(*sections: tuple[str, bytes, int]) -> bytes:
    """A PE file with sections of name, content and virtual size; each is padded to 512 bytes."""
    header = bytearray(0x400)
    header[:2] = b"MZ"
    header[0x3C:0x40] = pack("<I", PE_AT)
    header[PE_AT : PE_AT + 24] = pack("<4sHH12xHH", b"PE\0\0", 0x8664, len(sections), OPTIONAL, 0)
    body = b""
    for index, (name, content, size) in enumerate(sections):
        padded = content + bytes(-len(content) % 512)
        at = PE_AT + 24 + OPTIONAL + index * 40
        offset = len(header) + len(body)
        header[at : at + 40] = pack("<8sIIII16x", name.encode(), size, 0, len(padded), offset)
        body += padded
    return bytes(header) + body


class Uki(unittest.TestCase):
    def test_a_section_is_read_without_its_padding(self) -> None:
        image = pe((".linux", b"kernel", 6), (".initrd", b"i" * 600, 600))
        self.assertEqual(uki.content(image, ".linux"), b"kernel")
        self.assertEqual(uki.content(image, ".initrd"), b"i" * 600)

    def test_a_section_smaller_in_the_file_than_in_memory_ends_with_the_file(self) -> None:
        self.assertEqual(len(uki.content(pe((".bss", b"b", 5000)), ".bss")), 512)

    def test_the_command_line_has_no_end_mark(self) -> None:
        self.assertEqual(uki.command_line(pe((".cmdline", b"ro quiet \0\0", 11))), "ro quiet")

    def test_the_first_of_two_sections_counts(self) -> None:
        self.assertEqual(uki.content(pe((".cmdline", b"one", 3), (".cmdline", b"two", 3)), ".cmdline"), b"one")

    def test_what_is_no_uki_is_refused(self) -> None:
        whole = pe((".linux", b"kernel", 6))
        for image in (b"", b"MZ", b"ELF" + whole[3:], whole[:0x90], whole[: PE_AT + 24 + OPTIONAL + 20]):
            with self.subTest(size=len(image)), self.assertRaises(NotAUki):
                uki.content(image, ".linux")

    def test_a_section_beyond_the_end_is_refused(self) -> None:
        with self.assertRaisesRegex(NotAUki, "beyond the end"):
            uki.content(pe((".linux", b"k" * 600, 600))[:-600], ".linux")

    def test_a_section_that_is_missing_is_named(self) -> None:
        with self.assertRaisesRegex(NotAUki, "no section .initrd"):
            uki.content(pe((".linux", b"kernel", 6)), ".initrd")
