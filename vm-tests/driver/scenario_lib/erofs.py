"""Where files are in an image's root."""

import re
import subprocess
from pathlib import Path

from scenario_lib.gpt import Partition


def first_extent(disk: Path, root: Partition, path: str) -> int:
    """Where a file's content begins, in bytes from the start of the root; dump.erofs(1) knows."""
    command = ["dump.erofs", "-e", f"--offset={root.offset}", f"--path={path}", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    extent = re.search(r"^ +0: .*: +(\d+)\.\. *\d+ \|", done.stdout, re.MULTILINE)
    if extent is None:
        raise RuntimeError(f"dump.erofs shows no extent of {path}: {done.stdout}")
    return int(extent[1])
