"""The image under test; whoever runs the scenario says where it is."""

import os
from pathlib import Path


def disk() -> Path:
    """The raw disk. Never written; `tamper.private_copy` makes one that may be."""
    return Path(os.environ["SESAME_DISK"])


def uki() -> Path:
    """The UKI, as it is on the disk's ESP."""
    return Path(os.environ["SESAME_UKI"])


def manifest() -> Path:
    """The manifest, which is beside the disk."""
    return disk().with_suffix(".manifest.json")
