"""The plug is pulled while secrets are written, five times: what was acknowledged is there."""

import os
import random
import re
import time

from scenario_lib.ceremony import BOOT_TIMEOUT, GREETING, STATE_QUESTION, CeremonyConsole
from scenario_lib.operator import Operator

PASSPHRASE, PASSWORD = "the volume's passphrase", "correct horse battery"
CUTS = 5
# Longest that is written before a cut, in seconds; a write takes a fifth of one, and more where it is slow.
LONGEST = 5.0


def boot(*answers: tuple[str, str]) -> None:
    """Switches the machine on, with state on the volume: prompts, and what is typed there."""
    machine.start()
    machine.wait_for_console_text(STATE_QUESTION, BOOT_TIMEOUT)
    console.type("2")
    for prompt, line in answers:
        console.answer(prompt, line)
    machine.wait_for_console_text(GREETING, BOOT_TIMEOUT)
    console.wait_for_prompt()


seed = int(os.environ.get("SESAME_SEED", time.time_ns()))
moments = random.Random(seed)
machine.log(f"SESAME_SEED={seed}")
console, operator = CeremonyConsole(machine), Operator(machine)
acknowledged: dict[str, str] = {}

with subtest("an installation on an encrypted volume"):
    passphrases = [(prompt, PASSPHRASE) for prompt in ("Enter passphrase", "Verify passphrase", "Enter passphrase")]
    boot(("type its name", "vdb"), *passphrases)
    t.assertEqual(machine.succeed("cat /run/ceremony/state"), "volume vdb\n")
    operator.succeed("sesame init --org example.org --password-stdin", PASSWORD)

for cut in range(1, CUTS + 1):
    with subtest(f"cut {cut} of {CUTS}"):
        operator.succeed("sesame unlock --password-stdin", PASSWORD)
        # Written so that the echo of what we type does not look like what it prints.
        write = f'sesame secret set cut{cut}/$n <<< "value {cut}/$n" && echo "acknowledged:" cut{cut}/$n'
        console.type(f"for n in {{1..999}}; do {write}; done")
        machine.wait_for_console_text(f"acknowledged: cut{cut}/1", BOOT_TIMEOUT)
        time.sleep(moments.uniform(0, LONGEST))
        machine.crash()
        written = re.findall(rf"^acknowledged: (cut{cut}/(\d+))$", machine.get_console_log(), re.MULTILINE)
        acknowledged |= {name: f"value {cut}/{number}" for name, number in written}
        machine.log(f"{len(written)} writes were acknowledged")

        boot(("Enter passphrase", PASSPHRASE))
        operator.succeed("sesame audit verify")
        operator.succeed("sesame unlock --password-stdin", PASSWORD)
        each = 'echo "$name=$(sesame secret get $name | cat)"'
        shown = operator.succeed(f"for name in $(sesame secret list); do {each}; done")
        there = dict(line.split("=", 1) for line in shown.splitlines())
        t.assertLessEqual(acknowledged.items(), there.items())
        # At most the one that was being written when the plug was pulled.
        t.assertLessEqual(len(there), len(acknowledged) + cut)

machine.shutdown()
