"""The serial line: what the machine wrote there, line by line, and waiting for it.

As in the NixOS test driver, a wait consumes the lines up to the one that matched, lines are matched
without their ends, and a pattern may span lines (which then stand without anything between them).
Beyond it, a line that is not finished is matched too once nothing has followed for a moment, because a
prompt is such a line. A scenario that also runs in NixOS waits for whole lines.
"""

import codecs
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO

from scenario_lib.terminal import printable
from vm_driver.errors import MachineError, RequestedAssertionFailed

# Seconds of silence after which an unfinished line is taken for a prompt.
QUIET = 0.5


class Console:
    """Fed by the thread that reads the serial line, asked by the scenario."""

    def __init__(self, log: IO[str], on_line: Callable[[str], None]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._log = log
        self._on_line = on_line
        self._changed = threading.Condition()
        self._all: list[str] = []
        self._waiting: deque[str] = deque()
        # The line that is not finished: whole, and what of it no wait has consumed.
        self._line = ""
        self._unseen = ""
        self._last_byte = time.monotonic()
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Takes what the machine wrote."""
        text = self._decoder.decode(data).replace("\r", "")
        with self._changed:
            self._last_byte = time.monotonic()
            *finished, rest = text.split("\n")
            for part in finished:
                self._finish_line(part)
            self._line += rest
            self._unseen += rest
            self._changed.notify_all()

    def end(self) -> None:
        """The machine is off."""
        with self._changed:
            if self._line:
                self._finish_line("")
            self._ended = True
            self._changed.notify_all()

    def text(self) -> str:
        """All finished lines since the machine was started."""
        with self._changed:
            return "\n".join(self._all)

    def wait_for(self, regex: str, timeout: float | None) -> None:
        """Returns once a line that nobody has waited for yet matches (`re.search`).

        Raises RequestedAssertionFailed after `timeout` seconds, MachineError when the machine is off.
        """
        pattern = re.compile(regex)
        deadline = None if timeout is None else time.monotonic() + timeout
        seen = ""
        with self._changed:
            while True:
                while self._waiting:
                    seen += self._waiting.popleft()
                    if pattern.search(seen):
                        return
                quiet = time.monotonic() - self._last_byte >= QUIET
                if self._unseen and quiet and pattern.search(seen + self._unseen):
                    self._unseen = ""
                    return
                if self._ended:
                    raise MachineError(f"the machine is off, and its console never showed /{regex}/")
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    raise RequestedAssertionFailed(
                        f"/{regex}/ did not appear on the console within {timeout} seconds"
                    )
                pause = QUIET if deadline is None else min(QUIET, deadline - now)
                self._changed.wait(pause)

    def _finish_line(self, part: str) -> None:
        line = (self._line + part).rstrip()
        self._all.append(line)
        self._waiting.append((self._unseen + part).rstrip())
        self._line = self._unseen = ""
        self._log.write(printable(line) + "\n")
        self._log.flush()
        self._on_line(line)
