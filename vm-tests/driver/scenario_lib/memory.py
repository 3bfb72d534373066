"""A machine's memory as root in it sees it, and as somebody with the machine in hands does."""

import mmap
import re
from pathlib import Path

from scenario_lib.interface import Machine, ShellMachine
from scenario_lib.operator import Operator

# How `memory-reader` of crates/testbed reads a process.
WAYS = ("mem", "vm", "ptrace")
# Another spelling of a value, which leaves no trace of it in memory, and the private key of a daemon.
SPELL, SPELLED = "od -An -v -tx1", "| tr -d ' \\n' | tr 0-9a-f g-v"
KEY = "/etc/pds/keys/daemon-secrets.key"
# systemd's copy of it, for the daemon.
CREDENTIALS = "/run/credentials/sesame-secrets.service"


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


def kernel_memory_is_closed(machine: ShellMachine, reader: str) -> None:
    """Root can't read the kernel's memory; where no lockdown forbids it, secret memory isn't in there.

    Takes the key of daemon-secrets out of all files for that: nothing but the daemon has it then.
    """
    machine.succeed("test -e /proc/kcore")
    if "[confidentiality]" in machine.succeed("cat /sys/kernel/security/lockdown || true"):
        machine.fail("head -c 1 /proc/kcore", "head -c 1 /dev/mem")
        return
    # The first megabyte isn't RAM that anybody is given.
    machine.fail("dd if=/dev/mem of=/dev/null bs=1M skip=16 count=1")
    key = machine.succeed(f"{SPELL} {KEY} {SPELLED}").strip()
    machine.succeed(f"mount -o remount,rw {CREDENTIALS} && rm {KEY} {CREDENTIALS}/*")
    planted = machine.succeed(f"{SPELL} /run/planted {SPELLED}").strip()
    pattern = r"^kcore: found (\d+), read \d{9,} bytes"
    counts = {}
    for value in (planted, key):
        said = machine.succeed(f"echo {value} | {reader} kcore")
        counts[value] = [int(count) for count in re.findall(pattern, said, re.MULTILINE)]
    if counts[key] != [0] or counts[planted] in ([], [0]) or not in_ram(machine, respelled(key)):
        raise AssertionError(f"found of what is planted {counts[planted]}, of the key {counts[key]}")


def refused(said: str) -> list[str]:
    """The ways of which the reader says something else than that it found the value."""
    lines = re.findall(r"^(\w+): (.*)", said, re.MULTILINE)
    return [way for way, rest in lines if not re.match(r"found [1-9]", rest)]


def read_in_disguise(operator: Operator, get: str) -> bytes:
    """What a command prints; in another spelling on its way, which leaves no trace of it in memory."""
    return respelled(operator.succeed(f"{get} | {SPELL} {SPELLED}"))


def respelled(spelled: str) -> bytes:
    """The value of such a spelling."""
    return bytes.fromhex(spelled.translate(str.maketrans("ghijklmnopqrstuv", "0123456789abcdef")))


def hold(machine: ShellMachine, operator: Operator) -> str:
    """Lets a program hold the secret ca/key in a pipe that it does not read; its process ID."""
    machine.succeed("test -p /run/held || mkfifo -m 666 /run/held")
    holder = machine.succeed("sleep infinity > /dev/null 2>&1 < /run/held & echo $!").strip()
    operator.succeed("sesame secret get ca/key > /run/held")
    return holder
