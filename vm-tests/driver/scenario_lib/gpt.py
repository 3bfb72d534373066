"""The partitions of a disk image: a GUID partition table (UEFI specification 2.10, section 5.3)."""

from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from
from uuid import UUID

SECTOR = 512
MAGIC = b"EFI PART"
# More than any tool writes, and a bound for a damaged header.
MAX_ENTRIES, MAX_ENTRY_SIZE = 1024, 4096

# Types of the UEFI specification and of the Discoverable Partitions Specification.
ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
ROOT_X86_64 = UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
ROOT_X86_64_VERITY = UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
USR_X86_64 = UUID("8484680c-9521-48c6-9c11-b0720656f69e")
USR_X86_64_VERITY = UUID("77ff5f63-e7b6-4633-acf4-1565b864c0e6")


class NotAGpt(Exception):
    """The disk has no partition table of this kind, or not the partition."""


@dataclass(frozen=True)
class Partition:
    """A partition: its number as in /dev/sdaN, and where it is on the disk, in bytes."""

    number: int
    type: UUID
    uuid: UUID
    offset: int
    size: int


def partitions(disk: Path) -> list[Partition]:
    """The partitions of a disk image with sectors of 512 bytes, in the order of the table."""
    with disk.open("rb") as file:
        file.seek(SECTOR)
        header = file.read(SECTOR)
        if header[:8] != MAGIC or len(header) < SECTOR:
            raise NotAGpt(f"{disk} has no GUID partition table")
        first, count, size = unpack_from("<QII", header, 72)
        if count > MAX_ENTRIES or not 128 <= size <= MAX_ENTRY_SIZE:
            raise NotAGpt(f"{disk}: a table of {count} entries of {size} bytes is not believed")
        file.seek(first * SECTOR)
        table = file.read(count * size)
    entries = (table[at : at + size] for at in range(0, len(table), size))
    found = (_partition(number, entry) for number, entry in enumerate(entries, 1))
    return [partition for partition in found if partition.type.int]


def partition_of_type(disk: Path, wanted: UUID) -> Partition:
    """The only partition of a type."""
    found = [partition for partition in partitions(disk) if partition.type == wanted]
    if len(found) != 1:
        raise NotAGpt(f"{disk} has {len(found)} partitions of type {wanted}")
    return found[0]


def verified(disk: Path) -> tuple[Partition, Partition]:
    """The verified file system and its hash tree: of the root, or of /usr where the system is there."""
    types = {partition.type for partition in partitions(disk)}
    kinds = (ROOT_X86_64, ROOT_X86_64_VERITY) if ROOT_X86_64 in types else (USR_X86_64, USR_X86_64_VERITY)
    return partition_of_type(disk, kinds[0]), partition_of_type(disk, kinds[1])


def _partition(number: int, entry: bytes) -> Partition:
    first, last = unpack_from("<QQ", entry, 32)
    return Partition(
        number=number,
        type=UUID(bytes_le=entry[:16]),
        uuid=UUID(bytes_le=entry[16:32]),
        offset=first * SECTOR,
        size=(last + 1 - first) * SECTOR,
    )
