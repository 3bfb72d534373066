"""Whether the processor can run the machines itself.

`python3 -m vm_driver.acceleration UKI` prints what that means for QEMU's command line; `cargo xtask boot` asks.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scenario_lib import uki
from vm_driver import process
from vm_driver.command_line import Accelerator, Programs, acceleration

# Seconds for a kernel to find that it has no root, with KVM; a broken one hangs before its first word.
LIMIT = 15


def choose(programs: Programs, image: Path) -> Accelerator:
    """KVM where a kernel gets through its start with it; emulation elsewhere.

    That /dev/kvm can be opened is not enough: there are machines on which a guest hangs then.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.TemporaryDirectory() as directory:
        kernel = Path(directory) / "kernel"
        kernel.write_bytes(uki.content(image.read_bytes(), ".linux"))
        return "kvm" if _panics_for_want_of_a_root(programs, kernel) else "tcg"


def _panics_for_want_of_a_root(programs: Programs, kernel: Path) -> bool:
    command = [programs.qemu, "-no-user-config", "-nodefaults", *acceleration("kvm"), "-m", "256"]
    command += ["-display", "none", "-nic", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(
            [*process.DIES_WITH_US, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"Kernel panic" in done.stdout


if __name__ == "__main__":
    print(*acceleration(choose(Programs(), Path(sys.argv[1]))))
