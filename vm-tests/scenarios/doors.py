"""Machines whose firmware tells the kernel something start nothing else for it."""

from scenario_lib import image, uki
from scenario_lib.ceremony import BOOT_TIMEOUT, CeremonyConsole
from scenario_lib.refusal import FOREIGN, NO_INIT, assert_refused

# What each machine says. They are told by strings of the firmware's tables (the TOML file).
REFUSALS = {addition: FOREIGN, systemd: NO_INIT, loader: NO_INIT, bare: FOREIGN}

# Kernel and initrd as shipped, and the tests' command line.
(bare.state_dir / "initrd.img").write_bytes(uki.content(image.uki().read_bytes(), ".initrd"))

for machine, said in REFUSALS.items():
    with subtest(f"{machine.name}: nothing is started, and the console says so"):
        machine.start()
        machine.wait_for_console_text(said, BOOT_TIMEOUT)
        assert_refused(machine)
        machine.crash()

with subtest("credentials from the firmware's tables are not taken"):
    credential.start()
    console = CeremonyConsole(credential)
    console.keep_state()
    console.fail("ls /run/credentials/@system")
    t.assertNotIn("INTRUDER", credential.get_console_log())
    credential.crash()
