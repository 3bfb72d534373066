"""A machine's memory as somebody with the machine in hands sees it."""

import mmap
from pathlib import Path

from scenario_lib.interface import Machine


def dump(machine: Machine, name: str = "memory.elf") -> Path:
    """Writes all of a running machine's memory to a file in its `state_dir` (an ELF core dump)."""
    path = machine.state_dir / name
    said = machine.send_monitor_command(f"dump-guest-memory {path}")
    if not path.exists():
        raise RuntimeError(f"QEMU dumped no memory: {said}")
    return path


def occurrences(dump: Path, value: bytes) -> int:
    """How often a value is in a dump."""
    with dump.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        count, at = 0, memory.find(value)
        while at >= 0:
            count, at = count + 1, memory.find(value, at + 1)
        return count
