"""Media that were altered, and machines that are told something from outside, start no changed system."""

import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from scenario_lib import erofs, gpt, image, tamper, uki
from scenario_lib.ceremony import BOOT_TIMEOUT, STATE_QUESTION, CeremonyConsole
from scenario_lib.programs import media_verify

MANIFEST = image.disk().with_suffix(".manifest.json")
ROOT = gpt.partition_of_type(image.disk(), gpt.ROOT_X86_64)
TREE = gpt.partition_of_type(image.disk(), gpt.ROOT_X86_64_VERITY)
ROOT_HASH = uki.command_line(image.uki().read_bytes()).split()[0]
TAMPERED = 26
CORRUPTED = "Kernel panic - not syncing: dm-verity device corrupted"
FOREIGN = "sesame: the kernel's command line is not the one of this medium; nothing was started"
NOTHING = "sesame: no system was started"


def other_root_hash(disk: Path) -> None:
    tamper.replace_in_command_line(disk, ROOT_HASH, ROOT_HASH[:-1] + ("0" if ROOT_HASH[-1] != "0" else "1"))


def add_addon(disk: Path) -> None:
    """What systemd-stub takes from beside the UKI, made as anybody can make it."""
    with tempfile.TemporaryDirectory() as directory:
        addon = Path(directory) / "addon.efi"
        stub = "--stub=/usr/lib/systemd/boot/efi/addonx64.efi.stub"
        command = ["ukify", "build", "--cmdline=systemd.unit=rescue.target", stub, f"--output={addon}"]
        subprocess.run(command, check=True, capture_output=True)
        tamper.esp_write(disk, "EFI/BOOT/BOOTX64.EFI.extra.d/x.addon.efi", addon.read_bytes())


def add_strangers(disk: Path) -> None:
    """A credential that systemd-stub would pass on, and an entry for a loader that is not there."""
    unit = b"[Service]\nType=oneshot\nExecStart=/bin/bash -c 'echo INTRUDER > /dev/ttyS0'\n"
    tamper.esp_write(disk, "loader/credentials/systemd.extra-unit.intruder.service.cred", unit)
    tamper.esp_write(disk, "loader/entries/evil.conf", b"title evil\nefi /EFI/BOOT/BOOTX64.EFI\noptions rd.break\n")


# What is done to the disk, and what the console says then in place of the question.
STOPPED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte of a program in the root": (
        lambda disk: tamper.flip_byte(disk, ROOT, erofs.first_extent(disk, ROOT, "/usr/lib/systemd/systemd")),
        CORRUPTED,
    ),
    "a byte of the root's superblock": (lambda disk: tamper.flip_byte(disk, ROOT, 1024), CORRUPTED),
    "a byte of the hash tree": (lambda disk: tamper.flip_byte(disk, TREE, 4096), CORRUPTED),
    "a byte of the kernel": (
        lambda disk: tamper.flip_byte_of_section(disk, ".linux", 5_000_000),
        "EFI stub: ERROR: Failed to decompress kernel",
    ),
    "a byte of the initrd": (
        lambda disk: tamper.flip_byte_of_section(disk, ".initrd", 5_000_000),
        "Kernel panic - not syncing: No working init found",
    ),
    "an addon beside the UKI": (add_addon, FOREIGN),
    # Seen by the attestation, before anything is asked.
    "a credential and a loader's entry beside the UKI": (add_strangers, "THIS MEDIUM IS NOT WHAT IT SHOULD BE"),
}


def change(disk: Path, alteration: Callable[[Path], None]) -> None:
    """Changes a disk; whoever holds it against the manifest on another machine is told."""
    alteration(disk)
    status, said = media_verify(disk, MANIFEST)
    t.assertEqual(status, TAMPERED, said)


with subtest("the medium as it was made is the one of the manifest"):
    t.assertEqual(media_verify(image.disk(), MANIFEST)[0], 0)

# They wait for partitions that are not there, while the others run.
change(tamper.private_copy(patient), other_root_hash)
patient.start()

for name, (alteration, said) in STOPPED.items():
    with subtest(f"{name}: no system, and the console says why"):
        change(tamper.private_copy(machine), alteration)
        machine.start()
        machine.wait_for_console_text(said, BOOT_TIMEOUT)
        t.assertNotRegex(machine.get_console_log(), STATE_QUESTION)
        machine.crash()

with subtest("another root hash in the UKI: there is no such root"):
    patient.wait_for_console_text(NOTHING, BOOT_TIMEOUT)
    patient.crash()

with subtest("a disk that was cut off"):
    change(tamper.private_copy(patient), lambda disk: tamper.truncate(disk, ROOT.offset + ROOT.size // 2))
    patient.start()

with subtest("a command line from the firmware's tables: nothing is started"):
    told.start()
    told.wait_for_console_text(FOREIGN, BOOT_TIMEOUT)
    told.crash()

with subtest("credentials from the firmware's tables are not taken"):
    credential.start()
    console = CeremonyConsole(credential)
    console.keep_state()
    console.fail("ls /run/credentials/@system")
    t.assertNotIn("INTRUDER", credential.get_console_log())
    credential.crash()

with subtest("a UKI that was altered so that it works: its hash is not that of the manifest"):
    # Nothing but Secure Boot, or a TPM, keeps such a one from being started.
    change(tamper.private_copy(machine), lambda disk: tamper.flip_byte_of_section(disk, ".osrel", 0))
    machine.start()
    machine.wait_for_console_text(STATE_QUESTION, BOOT_TIMEOUT)
    shown = re.search(r"^UKI +([0-9a-f]{64})", machine.get_console_log(), re.MULTILINE)
    assert shown is not None
    t.assertNotEqual(shown[1], json.loads(MANIFEST.read_text())["uki"]["sha256"])
    machine.crash()

with subtest("of the disk that was cut off no system was started"):
    patient.wait_for_console_text(NOTHING, BOOT_TIMEOUT)
    patient.crash()
