"""The image under test; whoever runs the scenario says where it is."""

import os
from pathlib import Path

from scenario_lib import gpt


def disk() -> Path:
    """The raw disk. Never written; `tamper.private_copy` makes one that may be."""
    return Path(os.environ["SESAME_DISK"])


def uki() -> Path:
    """The UKI, as it is on the disk's ESP."""
    return Path(os.environ["SESAME_UKI"])


def manifest() -> Path:
    """The manifest, which is beside the disk."""
    return disk().with_suffix(".manifest.json")


def verified() -> str:
    """What device mapper calls the verified file system: `root` or `usr`."""
    data, _ = gpt.verified(disk())
    return "root" if data.type == gpt.ROOT_X86_64 else "usr"


def program() -> str:
    """A program that every boot starts, by its path on the verified file system."""
    return os.environ.get("SESAME_BOOTED_PROGRAM", "/usr/lib/systemd/systemd")
