"""The sections of a unified kernel image: a PE file (Microsoft's PE format specification) for UEFI."""

from dataclasses import dataclass
from struct import error as StructError
from struct import unpack_from

DOS_MAGIC, PE_MAGIC = b"MZ", b"PE\0\0"
# Where a DOS header says where the PE header is, and the sizes of what follows it.
PE_OFFSET_AT, COFF_SIZE, SECTION_SIZE = 0x3C, 20, 40
# More than any section table that the tools write; a bound for a damaged file.
MAX_SECTIONS = 96


class NotAUki(Exception):
    """The bytes are no PE file, or it lacks a section."""


@dataclass(frozen=True)
class Section:
    """Where a section's content is in the file, in bytes; the padding after it does not count."""

    name: str
    offset: int
    size: int


def sections(uki: bytes) -> dict[str, Section]:
    """The sections of a PE file by name; of two with one name, the first, as systemd-stub has it."""
    try:
        return _sections(uki)
    except StructError as error:
        raise NotAUki(f"the file ends within its headers: {error}") from error


def content(uki: bytes, name: str) -> bytes:
    """What a section holds."""
    section = sections(uki).get(name)
    if section is None:
        raise NotAUki(f"there is no section {name}")
    return uki[section.offset : section.offset + section.size]


def command_line(uki: bytes) -> str:
    """The kernel command line."""
    return content(uki, ".cmdline").rstrip(b"\0").decode().strip()


def _sections(uki: bytes) -> dict[str, Section]:
    if uki[:2] != DOS_MAGIC:
        raise NotAUki("the file does not begin like a PE file")
    (pe,) = unpack_from("<I", uki, PE_OFFSET_AT)
    if uki[pe : pe + 4] != PE_MAGIC:
        raise NotAUki("the file has no PE header")
    count, optional_size = unpack_from("<2xH12xH", uki, pe + 4)
    if count > MAX_SECTIONS:
        raise NotAUki(f"{count} sections are too many")
    table = pe + 4 + COFF_SIZE + optional_size
    found: dict[str, Section] = {}
    for index in range(count):
        name, virtual_size, raw_size, offset = unpack_from("<8sI4xII", uki, table + index * SECTION_SIZE)
        size = min(virtual_size, raw_size)
        if offset + size > len(uki):
            raise NotAUki(f"section {name!r} reaches beyond the end of the file")
        section = Section(name.rstrip(b"\0").decode(errors="replace"), offset, size)
        found.setdefault(section.name, section)
    return found
