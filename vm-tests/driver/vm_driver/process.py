"""Child processes that end when we do, however we end."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from vm_driver.errors import MachineError

# The kernel kills the child when the thread that started it ends (PR_SET_PDEATHSIG of prctl(2)), so
# children are started from the main thread only.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")

# Seconds that a program gets to end by itself before it is killed.
GRACE = 10


def spawn(
    command: Sequence[str],
    *,
    directory: Path,
    log: IO[bytes] | None = None,
    pipe: bool = False,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program that dies with us; `pipe` gives us its standard input and output."""
    try:
        return subprocess.Popen(
            [*DIES_WITH_US, *command],
            cwd=directory,
            stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe else log,
            stderr=log,
            pass_fds=pass_fds,
            env=None if environment is None else dict(environment),
        )
    except OSError as error:
        raise MachineError(f"cannot start {command[0]}: {error}") from error


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a program, at the latest after the grace period."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(command: Sequence[str]) -> str:
    """Runs a program to its end; what it printed, or an error with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MachineError(f"cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        raise MachineError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
