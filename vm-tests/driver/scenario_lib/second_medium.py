"""Two media in one machine: the one that is booted, and another with the same system."""

import subprocess
from pathlib import Path
from uuid import UUID

from scenario_lib import gpt, image
from scenario_lib.interface import Machine


def copy_image(machine: Machine, disk: str) -> Path:
    """Puts the image on a disk of a machine, before that is started for the first time."""
    # Where the driver makes disks, unless they are there.
    path = machine.state_dir.parent / "disks" / f"{disk}.raw"
    path.parent.mkdir(exist_ok=True)
    subprocess.run(["cp", "--sparse=always", "--no-preserve=mode", str(image.disk()), str(path)], check=True)
    return path


def rename_partitions(disk: Path) -> None:
    """Gives each partition another GUID, so that a root that is looked for by its own is on another disk."""
    for partition in gpt.partitions(disk):
        other = UUID(int=partition.uuid.int ^ 1)
        command = ["sfdisk", "--quiet", "--no-reread", "--part-uuid", str(disk), str(partition.number), str(other)]
        subprocess.run(command, check=True, capture_output=True)
