"""The system comes up whole, and goes down in order."""

from scenario_lib import image
from scenario_lib.ceremony import CeremonyConsole

VERIFIED = image.verified()
PLACE = {"root": "/", "usr": "/usr"}[VERIFIED]

start_all()
CeremonyConsole(machine).keep_state()
machine.wait_for_unit("multi-user.target")

with subtest("no unit has failed"):
    t.assertEqual(machine.succeed("systemctl --failed --plain --no-legend"), "")

with subtest("the root is the verified one, and read-only"):
    t.assertEqual(machine.succeed(f"findmnt --noheadings --output SOURCE,FSTYPE {PLACE}").split()[-1], "erofs")
    machine.succeed(f"findmnt --noheadings --output OPTIONS {PLACE} | grep -w ro")
    t.assertIn("verified", machine.succeed(f"veritysetup status {VERIFIED}"))
    machine.fail("touch /usr/anything")

with subtest("it goes down in order: the kernel is the last that says something"):
    machine.shutdown()
    t.assertRegex(machine.get_console_log().splitlines()[-1], "reboot: Power down")
