"""One line a step, with the seconds since the scenario began and those that the step took."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scenario_lib.terminal import printable

# A command longer than this is cut in the log; the scenario has it whole.
WIDTH = 160


class Logger:
    """Writes lines for one scenario. Several scenarios may write to one terminal."""

    def __init__(self, scenario: str, *, verbose: bool) -> None:
        self._scenario = scenario
        self._serial = verbose
        self._verbose = verbose
        self._start = time.monotonic()
        self._depth = 0
        self._indent = ""
        self._lock = threading.Lock()

    def log(self, message: str, attributes: dict[str, str] | None = None) -> None:
        """Writes a line. What a step does inside is shown in verbose mode only."""
        if self._verbose or self._depth == 0:
            self._write(_with_machine(message, attributes))

    def info(self, message: str) -> None:
        self.log(message)

    def warning(self, message: str) -> None:
        self._write(message)

    def error(self, message: str) -> None:
        for line in message.splitlines():
            self._write(f"!!! {line}", cut=False)

    def log_serial(self, message: str, machine: str) -> None:
        if self._serial:
            self._write(f"{machine} # {printable(message)}", cut=False)

    def print_serial_logs(self, enable: bool) -> None:
        self._serial = enable

    @contextmanager
    def nested(self, message: str, attributes: dict[str, str] | None = None) -> Iterator[None]:
        """A step: a line when it is done, with how long it took, or that it failed."""
        message = _with_machine(message, attributes)
        if self._verbose:
            self._write(f"{message} …")
        start = time.monotonic()
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._verbose or self._depth == 0:
                self._write(f"{message}: failed after {time.monotonic() - start:.1f} s")
            raise
        self._depth -= 1
        if self._verbose or self._depth == 0:
            self._write(f"{message} ({time.monotonic() - start:.1f} s)")

    @contextmanager
    def subtest(self, name: str) -> Iterator[None]:
        """Steps that belong together, below a line with their name."""
        self._write(f"subtest: {name}")
        self._indent += "  "
        try:
            yield
        finally:
            self._indent = self._indent[2:]

    def _write(self, message: str, *, cut: bool = True) -> None:
        elapsed = time.monotonic() - self._start
        first, *rest = message.split("\n")
        text = f"{first} …" if rest else first
        text = text if len(text) <= WIDTH or not cut else f"{text[: WIDTH - 1]}…"
        with self._lock:
            sys.stderr.write(f"{self._scenario} {elapsed:7.1f} s  {self._indent}{text}\n")
            sys.stderr.flush()


def _with_machine(message: str, attributes: dict[str, str] | None) -> str:
    machine = (attributes or {}).get("machine")
    return message if machine is None else f"{machine}: {message}"
