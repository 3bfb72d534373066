"""Removes from a tree what its list does not name. mkosi calls this when a tree is complete.

Debian's packages bring a package manager, an interpreter, generators that open shells, and a thousand files
more. A list of what is wanted can be read; a list of what is not never ends.

usage: keep.py LIST TREE

What usr/share/sesame/files names is ours, and stays. A list has one pattern of fnmatch a line, relative to the tree's root; a pattern that matches nothing is
an error. Libraries need not be named: what a kept program is linked to is kept with it.
"""

import fnmatch
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OURS = "usr/share/sesame/files"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def patterns(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]


def files(tree: Path) -> Iterator[str]:
    for directory, subdirectories, names in os.walk(tree):
        links = [name for name in subdirectories if (Path(directory) / name).is_symlink()]
        for name in names + links:
            yield os.path.relpath(os.path.join(directory, name), tree)


def needed(path: Path) -> list[str]:
    """The libraries that an ELF file is linked to (ELF gABI, DT_NEEDED)."""
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return []
    command = ["readelf", "--dynamic", "--wide", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line]


def target_of(tree: Path, name: str) -> str | None:
    """What a symbolic link leads to, as a name in the tree."""
    path = tree / name
    if not path.is_symlink():
        return None
    to = os.readlink(path)
    whole = to.lstrip("/") if to.startswith("/") else os.path.join(os.path.dirname(name), to)
    return os.path.normpath(whole)


def merged(name: str) -> str:
    """/bin, /sbin, /lib and /lib64 are links into /usr."""
    first = name.partition("/")[0]
    return f"usr/{name}" if first in ("bin", "sbin", "lib", "lib64") else name


def with_what_they_need(tree: Path, kept: set[str], there: set[str]) -> set[str]:
    todo = list(kept)
    while todo:
        name = todo.pop()
        wanted: list[str] = []
        target = target_of(tree, name)
        if target is not None:
            wanted.append(merged(target))
        elif (tree / name).is_file():
            for library in needed(tree / name):
                places = (f"{LIBRARIES}/{library}", f"{LIBRARIES}/systemd/{library}", f"usr/lib64/{library}")
                wanted += [place for place in places if place in there]
        new = [found for found in wanted if found in there and found not in kept]
        kept.update(new)
        todo += new
    return kept


def main(listing: Path, tree: Path) -> None:
    there = set(files(tree))
    wanted = {pattern: fnmatch.filter(there, pattern) for pattern in patterns(listing)}
    missing = [pattern for pattern, found in wanted.items() if not found]
    if missing:
        sys.exit(f"{listing} names what is not there: {', '.join(missing)}")
    kept = {name for found in wanted.values() for name in found}
    if OURS in there:
        kept.update({OURS, *(tree / OURS).read_text().splitlines()})
    kept = with_what_they_need(tree, kept, there)
    for name in sorted(there - kept):
        (tree / name).unlink()
    # Directories stay where they are mount points or homes; those that lost their last file go.
    used = {str(parent) for name in kept for parent in Path(name).parents}
    lost = {str(parent) for name in there - kept for parent in Path(name).parents}
    for name in sorted(lost - used - {"."}, reverse=True):
        if not any((tree / name).iterdir()):
            (tree / name).rmdir()
    print(f"{listing.name}: {len(kept)} files kept, {len(there - kept)} removed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
