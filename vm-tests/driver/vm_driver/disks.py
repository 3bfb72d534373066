"""Disks beside the one that is booted."""

from pathlib import Path

from vm_driver import process
from vm_driver.scenario import Disk

MIB = 1024 * 1024


def ensure(disk: Disk, directory: Path) -> Path:
    """The disk's file; made at the first call, so that what machines wrote stays."""
    path = directory / f"{disk.name}.raw"
    if path.exists():
        return path
    directory.mkdir(parents=True, exist_ok=True)
    # Under its name only when it is whole.
    unfinished = path.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.truncate(disk.size_mb * MIB)
    match disk.format:
        case "none":
            pass
        case "vfat":
            process.run(["mkfs.vfat", *_option("-n", disk.label), str(unfinished)])
        case "ext4":
            process.run(["mkfs.ext4", "-q", *_option("-L", disk.label), str(unfinished)])
    return unfinished.rename(path)


def _option(flag: str, value: str) -> list[str]:
    return [flag, value] if value else []
