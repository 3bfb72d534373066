"""What the plug leaves when it is pulled: a disk as it was at one moment, and what is in it later.

A machine that is started again after a cut has the disk of that moment, and nothing else of before. So a copy
of the disk, made while the machine stands still, is what a cut would have left; and one run of a machine has
as many cuts as there are copies.
"""

import os
import random
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from scenario_lib.interface import Machine, ShellMachine
from scenario_lib.operator import Operator

PLACE, NAME = "/run/vm-test-volume", "vm-test-volume"
DAEMONS = "sesame-audit.service sesame-secrets.service"

# Typed at the console: writes secrets, and says so of each. The echo of what is typed does not look like that.
WRITE = 'for n in {1..999}; do sesame secret set cut/$n <<< "value $n" && echo "acknowledged:" $n; done'
READ = 'for name in $(sesame secret list); do echo "$name=$(sesame secret get $name | cat)"; done'


def moments(log: Callable[[str], None]) -> random.Random:
    """Moments to cut at: those of SESAME_SEED, which is logged, or new ones each time."""
    seed = int(os.environ.get("SESAME_SEED", time.time_ns()))
    log(f"SESAME_SEED={seed}")
    return random.Random(seed)


def acknowledged(machine: Machine) -> int:
    """How many secrets the machine has said to be written since it was switched on."""
    return len(re.findall(r"^acknowledged: \d+$", machine.get_console_log(), re.MULTILINE))


def written(operator: Operator) -> int:
    """How many secrets are there, which are the first ones, without a gap, and have their values."""
    shown = operator.succeed(READ)
    there = dict(line.split("=", 1) for line in shown.splitlines())
    if there != {f"cut/{n}": f"value {n}" for n in range(1, len(there) + 1)}:
        raise AssertionError(f"not what was written: {shown}")
    return len(there)


def cut(machine: Machine, disk: str, copy: str) -> int:
    """Copies a disk as the plug would leave it now, over another one of the machine's that is as large.

    The disks are named as in the TOML file. Answers how many secrets had been acknowledged.
    """
    directory = machine.state_dir.parent / "disks"
    files = [str(directory / f"{name}.raw") for name in (disk, copy)]
    # It executes nothing then, and all that it has written is in its disks' files.
    machine.send_monitor_command("stop")
    subprocess.run(["cp", "--sparse=always", *files], check=True)
    count = acknowledged(machine)
    machine.send_monitor_command("cont")
    return count


@contextmanager
def state_from(machine: ShellMachine, device: str, passphrase: str) -> Iterator[None]:
    """Has the daemons of a running machine work on the state of another volume, a copy of the one in use."""
    machine.succeed(
        f"systemctl stop {DAEMONS}",
        f"printf %s {shlex.quote(passphrase)} | cryptsetup open --key-file=- /dev/{device} {NAME}",
        f"e2fsck -p /dev/mapper/{NAME} || test $? = 1",
        f"mkdir -p {PLACE} && mount -o nodev,nosuid,noexec /dev/mapper/{NAME} {PLACE}",
        f"mount --bind {PLACE}/pds /var/lib/pds",
        f"systemctl reset-failed {DAEMONS}",
        f"systemctl start {DAEMONS}",
    )
    yield
    machine.succeed(f"systemctl stop {DAEMONS}", f"umount /var/lib/pds {PLACE}", f"cryptsetup close {NAME}")
