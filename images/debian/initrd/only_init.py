"""Sees to it that nothing in the initrd can be started before /init has made the check.

Without the mode bit for execution on the dynamic loader, the kernel starts no program that is linked to it, and
no script, whatever `rdinit=` and `init=` say. /init is statically linked, and sets the bit (crates/initrd-guard).

usage: only_init.py TREE
"""

import os
import re
import subprocess
import sys
from pathlib import Path


def elf_programs(tree: Path) -> dict[Path, str | None]:
    """The ELF files that the kernel would start, and the loader that each asks for (ELF gABI, PT_INTERP)."""
    found: dict[Path, str | None] = {}
    for directory, _, names in os.walk(tree):
        for path in (Path(directory) / name for name in names):
            if path.is_symlink() or not path.is_file() or not path.stat().st_mode & 0o111:
                continue
            with path.open("rb") as file:
                if file.read(4) != b"\x7fELF":
                    continue
            command = ["readelf", "--program-headers", "--wide", str(path)]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            loader = re.search(r"\[Requesting program interpreter: (.*)\]", text)
            found[path] = None if loader is None else loader[1]
    return found


def main(tree: Path) -> None:
    programs = elf_programs(tree)
    wanted = {loader for loader in programs.values() if loader is not None}
    loaders = {(tree / loader.lstrip("/")).resolve(strict=True) for loader in wanted}
    alone = {path for path, loader in programs.items() if loader is None} - loaders
    if alone != {tree / "init"} or not loaders or any(not path.is_relative_to(tree) for path in loaders):
        names = ", ".join(sorted(str(path.relative_to(tree)) for path in alone))
        sys.exit(f"the initrd must have one statically linked program, init, and has: {names}")
    for loader in loaders:
        loader.chmod(0o644)


main(Path(sys.argv[1]).resolve())
