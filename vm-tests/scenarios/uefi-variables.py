"""What somebody left in a machine's firmware has no say, and is noticed."""

from scenario_lib import uefi_variables
from scenario_lib.ceremony import BOOT_TIMEOUT, CeremonyConsole
from scenario_lib.refusal import STRANGERS, assert_refused

console = CeremonyConsole(machine)

with subtest("the attestation knows what the firmware started, and that it checks no signatures"):
    machine.start()
    console.keep_state()
    shown = machine.get_console_log()
    t.assertRegex(shown, r"(?m)^pass  esp +the UKI and nothing else, and it was started$")
    t.assertRegex(shown, r"(?m)^warn  secure-boot +this firmware has none")

with subtest("nobody else sees the variables"):
    console.fail("findmnt /sys/firmware/efi/efivars")
    t.assertEqual(console.succeed("ls /sys/firmware/efi/efivars"), "")
    machine.crash()

with subtest("a second command line for systemd, in a variable: not heeded, and nothing is asked"):
    # Where it is heeded, the rescue target comes, and no attestation.
    options = uefi_variables.text("systemd.unit=rescue.target")
    flash = machine.state_dir / "variables.fd"
    uefi_variables.set_variable(flash, "SystemdOptions", uefi_variables.SYSTEMD, options)
    machine.start()
    machine.wait_for_console_text(STRANGERS, BOOT_TIMEOUT)
    shown = machine.get_console_log()
    t.assertRegex(shown, r"(?m)^fail  uefi-variables +SystemdOptions is set")
    t.assertRegex(shown, r"(?m)^pass  esp +the UKI and nothing else, and it was started$")
    assert_refused(machine)
