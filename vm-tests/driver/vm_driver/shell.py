"""Commands on the root shell at the other end of a serial line.

A command is one line to a bash that reads them one after the other. Its output comes back as one line of
base64, its status as another.
"""

import base64
import shlex
import socket
import time

from vm_driver.backdoor import READY
from vm_driver.errors import MachineError

# What a guest gets beyond a command's own time limit to say that it is over.
SLACK = 60


class Shell:
    """One machine's shell; `wait_until_ready` first."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""
        # Lines that will come from commands whose output nobody waited for.
        self._unread = 0

    def wait_until_ready(self) -> None:
        """Waits for the guest's word that the shell has started; the scenario's time limit bounds it."""
        while READY not in self._line(None):
            pass

    def run(self, command: str, *, check_return: bool, check_output: bool, timeout: int | None) -> tuple[int, str]:
        """Status and output, as `execute` of the NixOS test driver gives them."""
        line = command_line(command, timeout)
        if check_output and check_return:
            line += "; echo ${PIPESTATUS[0]}"
        self.send(line)
        if not check_output:
            self._unread += 1
            return -2, ""
        deadline = None if timeout is None else time.monotonic() + timeout + SLACK
        while self._unread:
            self._line(deadline)
            self._unread -= 1
        output = base64.b64decode(self._line(deadline)).decode(errors="replace")
        if not check_return:
            return -1, output
        return int(self._line(deadline)), output

    def send(self, line: str) -> None:
        """Sends a line without waiting for anything."""
        try:
            self._connection.sendall(line.encode() + b"\n")
        except OSError as error:
            raise MachineError(f"the shell is gone: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def _line(self, deadline: float | None) -> bytes:
        while b"\n" not in self._received:
            self._connection.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.01))
            try:
                chunk = self._connection.recv(65536)
            except TimeoutError as error:
                raise MachineError("the shell did not answer in time") from error
            except OSError as error:
                raise MachineError(f"the shell is gone: {error}") from error
            if not chunk:
                raise MachineError("the machine ended while its shell was at work")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line


def command_line(command: str, timeout: int | None) -> str:
    """The line that runs a command with `set -euo pipefail`, and prints its output as base64."""
    limit = "" if timeout is None else f"timeout {timeout} "
    strict = shlex.quote(f"set -euo pipefail; {command}")
    # Without an input of its own, a command would read the lines that are meant for the shell.
    return f"{limit}bash -c {strict} </dev/null | (base64 -w 0; echo)"
