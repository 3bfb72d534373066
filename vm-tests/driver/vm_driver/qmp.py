"""QEMU's machine protocol: one JSON object a line, in both directions."""

import contextlib
import json
import socket
from typing import Any

from vm_driver.errors import MachineError

# Seconds for one command; the dump of a machine's memory is the longest.
TIMEOUT = 600


class Qmp:
    """A connection to one QEMU."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT)
        self._connection = connection
        self._stream = connection.makefile("rwb")
        self._read()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """Runs a command of the protocol; what it returns."""
        message: dict[str, object] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        self._stream.write(json.dumps(message).encode() + b"\n")
        self._stream.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise MachineError(f"QEMU refused {command}: {answer['error'].get('desc')}")
            # Anything else is an event, which nobody waits for.
            if "return" in answer:
                return answer["return"]

    def monitor(self, command: str) -> str:
        """Runs a command of the monitor for people; what it prints."""
        return str(self.execute("human-monitor-command", **{"command-line": command}))

    def close(self) -> None:
        # It would still write what a QEMU that was off by then did not take.
        with contextlib.suppress(OSError):
            self._stream.close()
        self._connection.close()

    def _read(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise MachineError("QEMU ended and took its monitor with it")
        answer: dict[str, Any] = json.loads(line)
        return answer
