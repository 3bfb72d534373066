"""Programs of ours that scenarios run beside, or bring into, their machines.

`SESAME_TEST_PROGRAMS` is the directory of the test programs (`crates/testbed/src/bin`), none of which is in
the image; `SESAME_PROGRAM` is `sesame` for whoever runs the scenarios.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol


class Target(Protocol):
    """What is asked of a machine; both drivers' machines have it."""

    def succeed(self, *commands: str) -> str: ...

    def copy_from_host(self, source: str, target: str) -> None: ...


# On the one writable file system that every unit sees. Nothing may be run from it on the appliance: root, which
# a scenario is, takes that away for this boot.
PLACE = "/var/lib/vm-test"


def media_verify(disk: Path, manifest: Path) -> tuple[int, str]:
    """Holds a disk against a manifest, as a person does on another machine: exit code, and what is said."""
    command = [os.environ["SESAME_PROGRAM"], "media", "verify", str(disk), "--manifest", str(manifest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def bring(machine: Target, name: str) -> str:
    """Copies a program into the machine, where everybody may run it; its path there."""
    built = Path(os.environ["SESAME_TEST_PROGRAMS"]) / name
    path = f"{PLACE}/{name}"
    machine.succeed(f"mount -o remount,exec,suid /var && mkdir -p {PLACE}")
    with tempfile.TemporaryDirectory() as directory:
        # Symbols are most of a program, and the way there is slow.
        small = Path(directory) / name
        shutil.copyfile(built, small)
        subprocess.run(["strip", str(small)], check=True)
        machine.copy_from_host(str(small), path)
    machine.succeed(f"chmod 755 {path}")
    return path
