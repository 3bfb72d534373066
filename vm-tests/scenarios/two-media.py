"""Two media with the same root in one machine: what is attested must be what was started."""

from scenario_lib import gpt, image, second_medium, tamper
from scenario_lib.ceremony import BOOT_TIMEOUT
from scenario_lib.refusal import STRANGERS, assert_refused

ESP = gpt.partition_of_type(image.disk(), gpt.ESP).uuid
second_medium.copy_image(machine, "other")


def refused(reason: str) -> None:
    """Boots; the attestation says why nothing is asked."""
    machine.start()
    machine.wait_for_console_text(STRANGERS, BOOT_TIMEOUT)
    shown = machine.get_console_log()
    t.assertRegex(" ".join(shown.split()), reason)
    assert_refused(machine)
    machine.crash()


with subtest("two sticks that nothing tells apart: nobody knows which was started"):
    # Either may be the one whose root is found first.
    refused("/dev/vd[ab] has the partition too that this machine was started from")

with subtest("a stick that starts the root of another"):
    own = tamper.private_copy(machine)
    second_medium.rename_partitions(own)
    booted = gpt.partition_of_type(own, gpt.ESP).uuid
    refused(f"this machine was started from partition {booted}, and not from {ESP} on /dev/vdb")
