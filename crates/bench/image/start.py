"""How large the image is and how long it takes to start; `cargo xtask bench --image` shows the figures.

All of them are in seconds and bytes, in measured.json. The question where state is kept is answered at once.
"""

import json
import os
import subprocess
import time
from pathlib import Path

from scenario_lib.ceremony import BOOT_TIMEOUT, GREETING, STATE_QUESTION, CeremonyConsole
from scenario_lib.interface import ShellMachine

DAEMONS = ("sesame-audit", "sesame-secrets")
SETUP = "ceremony-setup@ttyS0.service"


def seconds(machine: ShellMachine, unit: str, name: str) -> float:
    """A time stamp of a unit, since the kernel was started."""
    shown = machine.succeed(f"systemctl show --value --property={name}TimestampMonotonic {unit}")
    return int(shown) / 1e6


def compressed(disk: str) -> int:
    """The disk in zstd's smallest form that everybody can unpack."""
    command = ["zstd", "-19", "--threads=0", "--quiet", "--stdout", disk]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as zstd:
        stdout = zstd.stdout
        assert stdout is not None
        size = 0
        while piece := stdout.read(1 << 20):
            size += len(piece)
        return size


def used_memory(machine: ShellMachine) -> int:
    """What is not available to others, the root shell of the test included."""
    lines = machine.succeed("cat /proc/meminfo").splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return (kilobytes["MemTotal"] - kilobytes["MemAvailable"]) * 1024


disk, uki = os.environ["SESAME_DISK"], os.environ["SESAME_UKI"]
measured: dict[str, float] = {
    "disk": Path(disk).stat().st_size,
    "compressed": compressed(disk),
    "uki": Path(uki).stat().st_size,
}

start = time.monotonic()
shipped.start()
shipped.wait_for_console_text(STATE_QUESTION, BOOT_TIMEOUT)
measured["question"] = time.monotonic() - start
start = time.monotonic()
CeremonyConsole(shipped).type("1")
shipped.wait_for_console_text(GREETING, BOOT_TIMEOUT)
measured["prompt"] = time.monotonic() - start
shipped.crash()

whole.start()
CeremonyConsole(whole).keep_state()
whole.wait_for_unit("multi-user.target")
answered = seconds(whole, SETUP, "ActiveEnter")
for daemon in DAEMONS:
    unit = f"{daemon}.service"
    ready = seconds(whole, unit, "ActiveEnter")
    measured[f"{daemon} start"] = ready - seconds(whole, unit, "ExecMainStart")
    measured[f"{daemon} ready"] = ready - answered
measured["whole"] = seconds(whole, "multi-user.target", "ActiveEnter")
measured["person"] = answered - seconds(whole, SETUP, "ExecMainStart")
measured["memory"] = used_memory(whole)
whole.crash()

bare.start()
bare.wait_for_unit("multi-user.target")
measured["bare"] = seconds(bare, "multi-user.target", "ActiveEnter")
measured["bare memory"] = used_memory(bare)
bare.crash()

(driver.out_dir / "measured.json").write_text(json.dumps(measured, indent=2))
