"""UEFI variables of a machine, written into its firmware's flash as somebody who once had the machine could.

The variable store of EDK II (MdeModulePkg/Include/Guid/VariableFormat.h): a firmware volume's header, the store's
header, and the variables one behind the other, each at a multiple of 4 bytes. The flash is `variables.fd` of the
machine, which is there once it has been on.
"""

from pathlib import Path
from struct import pack, unpack_from
from uuid import UUID

SYSTEMD = UUID("8cf2644b-4b0b-428f-9387-6d876050dc67")

# EFI_AUTHENTICATED_VARIABLE_GUID: the kind of store that OVMF makes.
STORE = UUID("aaf32c78-947b-439a-a180-2e144ec37792")
STORE_HEADER = 28
# In the header of a firmware volume: its own length.
VOLUME_HEADER_LENGTH_AT = 48
START, ADDED = 0x55AA, 0x3F
# Kept without power, and seen before and after the kernel is started.
ATTRIBUTES = 0x7
# Start, state, attributes, counter, time stamp, key, sizes of name and data, vendor.
HEADER = "<HBxIQ16xIII16s"
HEADER_SIZE = 60


def set_variable(flash: Path, name: str, vendor: UUID, value: bytes) -> None:
    """Adds a variable behind those that are there. The machine must be off."""
    content = bytearray(flash.read_bytes())
    at, end = _store(content)
    while unpack_from("<H", content, at)[0] == START:
        name_size, data_size = unpack_from("<II", content, at + 36)
        at = _aligned(at + HEADER_SIZE + name_size + data_size)
    encoded = f"{name}\0".encode("utf-16-le")
    header = pack(HEADER, START, ADDED, ATTRIBUTES, 0, 0, len(encoded), len(value), vendor.bytes_le)
    variable = header + encoded + value
    if at + len(variable) > end:
        raise ValueError(f"{flash} has no room for {name}")
    content[at : at + len(variable)] = variable
    flash.write_bytes(content)


def text(value: str) -> bytes:
    """A string as UEFI has it."""
    return f"{value}\0".encode("utf-16-le")


def _store(content: bytearray) -> tuple[int, int]:
    """Where the variables begin, and where their store ends."""
    (start,) = unpack_from("<H", content, VOLUME_HEADER_LENGTH_AT)
    if content[start : start + 16] != STORE.bytes_le:
        raise ValueError("the flash has no store of variables that is known here")
    (size,) = unpack_from("<I", content, start + 16)
    return _aligned(start + STORE_HEADER), start + size


def _aligned(at: int) -> int:
    return (at + 3) & ~3
