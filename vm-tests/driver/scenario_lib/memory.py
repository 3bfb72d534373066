"""A machine's memory as root in it sees it, and as somebody with the machine in hands does."""

import mmap
import re
from pathlib import Path

from scenario_lib.interface import Machine, ShellMachine
from scenario_lib.operator import Operator

# How `memory-reader` of crates/testbed reads a process.
WAYS = ("mem", "vm", "ptrace")


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


def in_ram(machine: Machine, value: bytes) -> int:
    """How often a value is in all of a running machine's memory."""
    path = dump(machine)
    count = occurrences(path, value)
    path.unlink()
    return count


def found(machine: ShellMachine, reader: str, source: str, pid: str) -> dict[str, int]:
    """How often each way of reading a process finds what the command `source` writes; no shell sees it."""
    said = machine.succeed(f"{source} | {reader} {pid}")
    lines = re.findall(r"^(\w+): found (\d+), read (\d+) bytes, refused \d+ pages$", said, re.MULTILINE)
    if [way for way, _, _ in lines] != list(WAYS) or any(int(read) <= 100_000 for _, _, read in lines):
        raise AssertionError(f"not every way has read the process: {said}")
    return {way: int(count) for way, count, _ in lines}


def refused(said: str) -> list[str]:
    """The ways of which the reader says something else than that it found the value."""
    lines = re.findall(r"^(\w+): (.*)", said, re.MULTILINE)
    return [way for way, rest in lines if not re.match(r"found [1-9]", rest)]


def read_in_disguise(operator: Operator, get: str) -> bytes:
    """What a command prints; in another spelling on its way, which leaves no trace of it in memory."""
    spelled = operator.succeed(f"{get} | od -An -v -tx1 | tr -d ' \\n' | tr 0-9a-f g-v")
    return bytes.fromhex(spelled.translate(str.maketrans("ghijklmnopqrstuv", "0123456789abcdef")))


def hold(machine: ShellMachine, operator: Operator) -> str:
    """Lets a program hold the secret ca/key in a pipe that it does not read; its process ID."""
    machine.succeed("test -p /run/held || mkfifo -m 666 /run/held")
    holder = machine.succeed("sleep infinity > /dev/null 2>&1 < /run/held & echo $!").strip()
    operator.succeed("sesame secret get ca/key > /run/held")
    return holder
