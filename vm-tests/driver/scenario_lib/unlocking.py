"""People who unlock a profile with passwords of their own, or with shares at the console."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.interface import ShellMachine
from scenario_lib.operator import Operator

OFFICER, DEPUTY = "correct horse battery", "another good password"
UNLOCK, GET = "sesame unlock --password-stdin", "set -o pipefail; sesame secret get ca/key | cat"
SPLIT = "sesame share split --threshold 2 --shares 3 --label board --show-all --password-stdin"
# Exit statuses of the command: locked, and a factor that was taken while others are wanted still.
LOCKED, MORE_WANTED = 5, 29


class Board:
    """Two passwords and the shares of a board, of which any two open; a profile has all three as factors."""

    def __init__(self, console: CeremonyConsole, operator: Operator) -> None:
        self._console = console
        operator.succeed("sesame init --org example.org --password-stdin", OFFICER)
        operator.succeed("sesame factor enroll password --label deputy --password-stdin", OFFICER, DEPUTY)
        shown = operator.succeed(SPLIT, OFFICER).splitlines()
        self._shares = [line for line in shown if line.startswith("SHARE:")]

    def type(self, command: str, *custodians: int) -> None:
        """Types a command at the console that wants shares; these custodians give theirs, one by one."""
        self._console.type(command)
        self.give(*custodians)

    def give(self, *custodians: int) -> None:
        """Gives shares to a command that has been typed."""
        for left, custodian in zip(range(len(custodians), 0, -1), custodians, strict=True):
            self._console.answer(f"{left} more needed: ", self._shares[custodian])
        self._console.wait_for_prompt()


def restart(machine: ShellMachine) -> None:
    """Starts daemon-secrets anew, more often than its unit allows within a minute."""
    machine.succeed("systemctl reset-failed sesame-secrets.service", "systemctl restart sesame-secrets.service")


def settings(machine: ShellMachine, *lines: str) -> None:
    """Root's settings, which the daemon reads when it starts."""
    written = "\n".join(lines)
    machine.succeed(f"echo '{written}' > /etc/pds/config.toml")
    restart(machine)
