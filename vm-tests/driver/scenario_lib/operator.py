"""The operator of a directly booted machine: `sesame` as the ceremony user runs it, without the console."""

import shlex

from scenario_lib.interface import ShellMachine

USER = "--reuid=ceremony --regid=ceremony --init-groups --no-new-privs"
AS_CEREMONY = f"setpriv {USER} env HOME=/home/ceremony NO_COLOR=1"


class Operator:
    """Runs commands as the ceremony user, from the root shell of a machine."""

    def __init__(self, machine: ShellMachine) -> None:
        self._machine = machine

    def execute(self, command: str, *lines: str) -> tuple[int, str]:
        """Runs a command that reads these lines: its status and what it printed, errors included."""
        typed = "".join(f"{line}\n" for line in lines)
        script = shlex.quote(f"cd; {command}")
        return self._machine.execute(f"{AS_CEREMONY} bash -c {script} 2>&1 < <(printf %s {shlex.quote(typed)})")

    def expect(self, status: int, command: str, *lines: str) -> str:
        """Runs a command that must end with this status; what it printed."""
        ended, printed = self.execute(command, *lines)
        if ended != status:
            raise AssertionError(f"`{command}` ended with {ended} and not with {status}: {printed}")
        return printed

    def succeed(self, command: str, *lines: str) -> str:
        """Runs a command that must succeed; what it printed."""
        return self.expect(0, command, *lines)
