"""The part of a machine's interface that this package needs; both drivers' machines have it."""

from pathlib import Path
from typing import Protocol


class Machine(Protocol):
    """A machine of a scenario."""

    state_dir: Path

    def send_console(self, chars: str) -> None: ...

    def wait_for_console_text(self, regex: str, timeout: int | None = None) -> None: ...

    def get_console_log(self) -> str: ...

    def send_monitor_command(self, command: str) -> str: ...


class ShellMachine(Machine, Protocol):
    """A machine with a root shell."""

    def execute(self, command: str) -> tuple[int, str]: ...

    def succeed(self, *commands: str) -> str: ...

    def fail(self, *commands: str) -> str: ...
