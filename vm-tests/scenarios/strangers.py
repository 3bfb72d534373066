"""What somebody puts beside the UKI on the medium has no part in the boot, and is seen."""

from functools import partial
from pathlib import Path

from scenario_lib import image, intruder, tamper, uki
from scenario_lib.ceremony import BOOT_TIMEOUT
from scenario_lib.refusal import FOREIGN, NO_INIT, STRANGERS, assert_refused

OURS = uki.command_line(image.uki().read_bytes())
ROOT_HASH, REST = OURS.split(" ", 1)
UNIT = b"[Service]\nType=oneshot\nExecStart=/usr/bin/bash -c 'echo INTRUDER > /dev/ttyS0'\n"


def everything(disk: Path) -> None:
    """All that systemd-stub looks for, each where it looks."""
    beside, anywhere = f"{tamper.UKI_PATH}.extra.d", "loader/addons"
    tamper.esp_write(disk, f"{beside}/line.addon.efi", tamper.addon("--cmdline=systemd.unit=rescue.target"))
    tamper.esp_write(disk, f"{beside}/initrd.addon.efi", tamper.intruder_addon())
    tamper.esp_write(disk, f"{anywhere}/initrd.addon.efi", tamper.intruder_addon())
    tamper.esp_write(disk, f"{beside}/stranger.service.cred", UNIT)
    tamper.esp_write(disk, f"{beside}/stranger.raw", bytes(4096))
    tamper.esp_write(disk, f"{beside}/stranger.confext.raw", bytes(4096))
    tamper.esp_write(disk, "loader/credentials/systemd.extra-unit.intruder.service.cred", UNIT)
    tamper.esp_write(disk, "loader/random-seed", bytes(32))
    tamper.esp_write(disk, "loader/entries/evil.conf", b"title evil\nefi /EFI/BOOT/BOOTX64.EFI\noptions rd.break\n")


with subtest("addons, credentials and extensions: without effect, and the attestation refuses"):
    tamper.changed_copy(machine, everything)
    machine.start()
    machine.wait_for_console_text(f"{STRANGERS}|{FOREIGN}|{intruder.SEEN}", BOOT_TIMEOUT)
    assert_refused(machine)
    t.assertNotIn(FOREIGN, machine.get_console_log())
    machine.crash()

# What a boot loader in the UKI's place can tell it.
OPTIONS = {
    "our command line with another root hash": (f"{tamper.other_digit(ROOT_HASH)} {REST}", FOREIGN),
    "our command line with another first program": (f"{OURS} rdinit=/usr/lib/systemd/systemd", NO_INIT),
}
for name, (options, said) in OPTIONS.items():
    with subtest(f"another boot loader, and {name}: no system"):
        tamper.changed_copy(machine, partial(tamper.other_loader, options=options))
        machine.start()
        machine.wait_for_console_text(said, BOOT_TIMEOUT)
        assert_refused(machine)
        machine.crash()
