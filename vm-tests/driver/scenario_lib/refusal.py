"""Machines that must start no system, and what their consoles say in place of one."""

import contextlib
import re
import time

from scenario_lib import intruder
from scenario_lib.ceremony import GREETING, PROMPT, STATE_QUESTION
from scenario_lib.interface import Machine

# What crates/initrd-guard prints, and the initrd's emergency.service.
FOREIGN = "sesame: the kernel's command line is not the one of this medium; nothing was started"
NOTHING = "sesame: no system was started"
# What the boot attestation prints.
STRANGERS = "THIS MEDIUM IS NOT WHAT IT SHOULD BE"
# What the kernel prints: of a block that dm-verity refuses, and where no program can be the first.
CORRUPTED = "Kernel panic - not syncing: dm-verity device corrupted"
NO_INIT = "Kernel panic - not syncing: No working init found"

# Enter, Ctrl-C, Ctrl-D: what somebody presses where a shell might be behind a program.
KEYS, TIMES, SECONDS = ("\n", "\x03", "\x04"), 4, 5
# Also what bash and sulogin(8) would ask.
OPEN = "|".join(
    (STATE_QUESTION, GREETING, PROMPT, r"bash-\d", "[Gg]ive root password", "Press Enter", intruder.SEEN, "INTRUDER")
)


def assert_refused(machine: Machine) -> None:
    """Types what could open a shell, and sees neither the question nor a prompt, then or before."""
    for key in KEYS * TIMES:
        # One that has switched itself off by now takes no keys, and the drivers raise errors of their own.
        with contextlib.suppress(Exception):
            machine.send_console(key)
        time.sleep(0.2)
    time.sleep(SECONDS)
    shown = re.search(OPEN, machine.get_console_log())
    if shown is not None:
        raise AssertionError(f"the console shows {shown[0]!r}, and should show that nothing was started")
