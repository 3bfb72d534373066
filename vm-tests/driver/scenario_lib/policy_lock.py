"""`sesame policy lock` on the appliance: the command asks root, and root asks the people at the console."""

import re

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.interface import Machine

# Where the command leaves its request (crates/ceremony-console/src/policy_lock.rs).
DIRECTORY = "/run/ceremony/request"
REQUEST = f"{DIRECTORY}/policy"
QUESTION = "To lock the policy type lock"
# There as long as root looks at a request, or asks (cgroups(7)); the shell can't ask systemd.
RUNNING = "/sys/fs/cgroup/system.slice/ceremony-policy.service"
# What root shows begins by emptying the screen, and ends with what it reads back.
BEGINS, ENDS = "\x1bc", "Locked, as it was read back"
# A program of the session's that writes to its terminal as long as root uses it, and once in any case; its own text
# does not look like what it prints.
OVER, WRITE = "written-over-42", "sleep .1; echo written-over-$((6*7))"
WRITES_OVER = f"(until test -e {RUNNING}; do sleep .1; done; {WRITE}; while test -e {RUNNING}; do {WRITE}; done)"


class PolicyLock:
    """Asks again and again on one console."""

    def __init__(self, machine: Machine, console: CeremonyConsole) -> None:
        self._machine = machine
        self._console = console
        self._count = 0

    def asked(self) -> int:
        """How often root has asked."""
        return self._machine.get_console_log().count(QUESTION)

    def lock(self, command: str, answer: str) -> tuple[int, str]:
        """Types the command, and the answer to what root asks: its status, and what was shown."""
        self._count += 1
        end = f"ended-{self._count}"
        before = len(self._machine.get_console_log())
        # Written so that the echo of what we type does not look like what it prints.
        self._console.type(f"{command}; echo {end}$((6*7))-$?")
        self._machine.wait_for_console_text(QUESTION, 120)
        self._console.type(answer)
        self._machine.wait_for_console_text(rf"{end}42-\d+", 300)
        shown = self._machine.get_console_log()[before:]
        self._console.wait_for_prompt()
        return int(re.findall(rf"{end}42-(\d+)", shown)[-1]), shown

    @staticmethod
    def of_root(shown: str) -> str:
        """What root showed, with all that came in between."""
        return shown[shown.rindex(BEGINS) : shown.rindex(ENDS)]

    def leave(self, request: str) -> None:
        """Leaves a request by a command of one's own, and waits until root is done with it.

        Root takes the request before it asks: only once it has ended it is known not to have asked.
        """
        self._console.succeed(request)
        self._console.succeed(f"while test -e {REQUEST} -o -L {REQUEST} -o -e {RUNNING}; do sleep 1; done")
