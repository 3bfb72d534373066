"""The ceremony console, typed into and read as a person would.

The console is the serial line.
"""

import contextlib
import re
from collections.abc import Iterable

from scenario_lib.interface import Machine
from scenario_lib.terminal import printable

# Seconds for a command, and for a boot; emulated machines take their time.
TIMEOUT = 120
BOOT_TIMEOUT = 300

# What crates/ceremony-console prints: whole lines, the last of each text.
STATE_QUESTION = r"\[o\] switch this machine off"
GREETING = r"reboot +starts it anew"
PROMPT = r"ceremony\$"
POWEROFF_QUESTION = r"Type yes to poweroff"

# How often Enter is pressed until the shell answers, and for how many seconds each time.
KNOCKS, KNOCK_TIMEOUT = 24, 5


class CeremonyConsole:
    """A shell on the serial line of a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._count = 0

    def keep_state(
        self, choice: str = "1", timeout: int = BOOT_TIMEOUT, answers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answers the question where state is kept (1 is in memory), and waits for the shell.

        `answers` are the prompts that a volume leads to, and what is typed there.
        """
        self._machine.wait_for_console_text(STATE_QUESTION, timeout)
        self.type(choice)
        for prompt, line in answers:
            self.answer(prompt, line, timeout)
        self._machine.wait_for_console_text(GREETING, timeout)
        self.wait_for_prompt()

    def wait_for_prompt(self) -> None:
        """Presses Enter until the shell's prompt comes: what is typed before that is lost."""
        for _ in range(KNOCKS):
            self.type("")
            # The drivers raise errors of their own, of which this package knows nothing.
            with contextlib.suppress(Exception):
                self._machine.wait_for_console_text(PROMPT, KNOCK_TIMEOUT)
                return
        raise AssertionError("the console shows no prompt of the ceremony shell")

    def power_off(self) -> None:
        """Asks for power-off as a person does; `wait_for_shutdown` of the machine waits for it."""
        self.type("poweroff")
        self._machine.wait_for_console_text(POWEROFF_QUESTION, TIMEOUT)
        self.type("yes")

    def answer(self, prompt: str, line: str, timeout: int = TIMEOUT) -> None:
        """Types a line once the console shows what matches `prompt`."""
        self._machine.wait_for_console_text(prompt, timeout)
        self.type(line)

    def converse(self, command: str, *passwords: str, timeout: int = TIMEOUT) -> int:
        """Types a command and the passwords that it asks for; the status that it ends with."""
        self.type(f"{command}; echo ended-$?")
        for password in passwords:
            self.answer(r"(assword|again).*: ?$", password)
        self._machine.wait_for_console_text(r"ended-\d", timeout)
        self.wait_for_prompt()
        return int(re.findall(r"ended-(\d+)", self._machine.get_console_log())[-1])

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        self._machine.send_console(f"{line}\n")

    def execute(self, command: str, timeout: int = TIMEOUT) -> tuple[int, str]:
        """Runs a command that asks nothing: its status and what it showed, errors included."""
        self._count += 1
        # Written so that the echo of what we type does not look like what it prints.
        begin, end = f"begin-{self._count}-", f"end-{self._count}-"
        self.type(f"echo {begin}$((6*7)); {command}; echo {end}$((6*7))-$?")
        self._machine.wait_for_console_text(rf"{end}42-\d+", timeout)
        lines = "\n".join(map(printable, self._machine.get_console_log().split("\n")))
        shown = re.search(rf"^{begin}42\n(.*?){end}42-(\d+)$", lines, re.DOTALL | re.MULTILINE)
        if shown is None:
            raise RuntimeError(f"the console shows no beginning of `{command}`")
        return int(shown[2]), shown[1]

    def succeed(self, command: str, timeout: int = TIMEOUT) -> str:
        """Runs a command that must succeed; what it showed."""
        status, shown = self.execute(command, timeout)
        if status != 0:
            raise AssertionError(f"command `{command}` failed (exit code {status}): {shown}")
        return shown

    def fail(self, command: str, timeout: int = TIMEOUT) -> str:
        """Runs a command that must fail; what it showed."""
        status, shown = self.execute(command, timeout)
        if status == 0:
            raise AssertionError(f"command `{command}` unexpectedly succeeded: {shown}")
        return shown
