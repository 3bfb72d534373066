"""The plug is pulled while secrets are written, five times: what was acknowledged is there."""

import time

from scenario_lib import power_cut
from scenario_lib.ceremony import BOOT_TIMEOUT, CeremonyConsole
from scenario_lib.operator import Operator

PASSPHRASE, PASSWORD = "the volume's passphrase", "correct horse battery"
# Each cut but the last leaves a copy of the disk, for which there is a disk.
STATE, COPIES = "vdb", {"cut-1": "vdc", "cut-2": "vdd", "cut-3": "vde", "cut-4": "vdf"}
# Longest that is written between two cuts, in seconds; a write takes a fifth of one, and more where it is slow.
LONGEST = 4.0


def write_on(count: int) -> None:
    """Waits until more than these were acknowledged, and for some moment after that."""
    machine.wait_for_console_text(f"acknowledged: {count + 1}$", BOOT_TIMEOUT)
    time.sleep(moments.uniform(0, LONGEST))


def check(count: int) -> None:
    """The trail is whole, and there is what was acknowledged, with at most the one that was just written."""
    operator.succeed("sesame audit verify")
    operator.succeed("sesame unlock --password-stdin", PASSWORD)
    t.assertIn(power_cut.written(operator), (count, count + 1))


moments = power_cut.moments(machine.log)
console, operator = CeremonyConsole(machine), Operator(machine)

with subtest("an installation on an encrypted volume"):
    machine.start()
    asked = ("Enter passphrase", "Verify passphrase", "Enter passphrase")
    console.keep_state("2", answers=[("type its name", STATE), *((prompt, PASSPHRASE) for prompt in asked)])
    t.assertEqual(machine.succeed("cat /run/ceremony/state"), f"volume {STATE}\n")
    operator.succeed("sesame init --org example.org --password-stdin", PASSWORD)
    operator.succeed("sesame unlock --password-stdin", PASSWORD)

with subtest("the plug is pulled while secrets are written"):
    console.type(power_cut.WRITE)
    counts = [0]
    for copy in COPIES:
        write_on(counts[-1])
        counts.append(power_cut.cut(machine, "state", copy))
    write_on(counts[-1])
    machine.crash()
    counts.append(power_cut.acknowledged(machine))
    machine.log(f"acknowledged at the cuts: {counts[1:]}")

with subtest("the machine starts with what the last cut left"):
    machine.start()
    console.keep_state("2", answers=[("Enter passphrase", PASSPHRASE)])
    check(counts[-1])

for (copy, device), count in zip(COPIES.items(), counts[1:-1], strict=True):
    with subtest(f"what {copy} left"), power_cut.state_from(machine, device, PASSPHRASE):
        check(count)

machine.shutdown()
