"""Entering the tools tree: the QEMU, firmware, swtpm and mtools that the image was built with.

The tree is a root directory of Debian. It is seen in a mount namespace of our own, below a new root in
memory, so that nothing is written into it and every mount is gone with the last process. Needs root.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vm_driver.errors import MachineError

# Directories of the tree that are seen as they are. The rest is the host's, or empty.
FROM_TREE = ("usr", "etc", "opt", "var")
FROM_HOST = ("dev", "proc", "sys")
EMPTY = ("tmp", "run", "root")
PYTHON = "/usr/bin/python3"
PACKAGES = Path(__file__).resolve().parents[1]


def enter(tree: Path, visible: Sequence[Path], arguments: Sequence[str]) -> NoReturn:
    """Runs this package again in the tree, in our place, with these paths of the host in theirs."""
    if os.geteuid() != 0:
        raise MachineError("entering the tools tree needs root; or name the programs: --qemu, --swtpm")
    if not (tree / "usr/bin/python3").exists():
        raise MachineError(f"{tree} is no tools tree; `cargo xtask image` makes it")
    paths = [str(path) for path in (tree, *visible)]
    inner = [sys.executable, "-m", "vm_driver.tools_tree", str(len(paths)), *paths, *arguments]
    # Where this package is, also for a process whose current directory is the tree.
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    os.execvpe("unshare", ["unshare", "--mount", "--propagation", "private", *inner], environment)


def main(arguments: Sequence[str]) -> NoReturn:
    """The second half, within the mount namespace."""
    count = int(arguments[0])
    tree, *visible = map(Path, arguments[1 : count + 1])
    # In this namespace only: over a directory that every tree has.
    root = tree / "mnt"
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
    for name in FROM_TREE:
        _bind(tree / name, root / name)
    for name in FROM_HOST:
        _bind(Path("/", name), root / name)
    for name in EMPTY:
        (root / name).mkdir(mode=0o1777 if name == "tmp" else 0o755)
    for link in tree.iterdir():
        if link.is_symlink():
            (root / link.name).symlink_to(link.readlink())
    for path in visible:
        _bind(path, root / path.relative_to("/"))
    os.chroot(root)
    os.chdir("/")
    os.execv(PYTHON, [PYTHON, "-m", "vm_driver", *arguments[count + 1 :]])


def _bind(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
        _mount("--rbind", str(source), str(target))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
