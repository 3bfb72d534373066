"""The system comes up whole, and goes down in order."""

from scenario_lib.ceremony import CeremonyConsole

start_all()
CeremonyConsole(machine).keep_state()
machine.wait_for_unit("multi-user.target")

with subtest("no unit has failed"):
    t.assertEqual(machine.succeed("systemctl --failed --plain --no-legend"), "")

with subtest("the root is the verified one, and read-only"):
    t.assertEqual(machine.succeed("findmnt --noheadings --output SOURCE,FSTYPE /").split()[-1], "erofs")
    machine.succeed("findmnt --noheadings --output OPTIONS / | grep -w ro")
    t.assertIn("verified", machine.succeed("veritysetup status root"))
    machine.fail("touch /usr/anything")

machine.shutdown()
