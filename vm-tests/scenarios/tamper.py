"""Media whose bytes were altered start no changed system."""

import re
from collections.abc import Callable
from pathlib import Path

from scenario_lib import erofs, gpt, image, tamper, uki
from scenario_lib.ceremony import BOOT_TIMEOUT, STATE_QUESTION
from scenario_lib.programs import media_verify
from scenario_lib.refusal import CORRUPTED, FOREIGN, NOTHING, assert_refused

flip_byte, flip_in = tamper.flip_byte, tamper.flip_byte_of_section
ROOT, TREE = gpt.verified(image.disk())
ROOT_HASH = uki.command_line(image.uki().read_bytes()).split()[0]
PROGRAM = erofs.first_extent(image.disk(), ROOT, image.program())

# What is done to the disk, and what the console says then in place of the question.
STOPPED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte of a program in the root": (lambda disk: flip_byte(disk, ROOT, PROGRAM), CORRUPTED),
    "a byte of the root's superblock": (lambda disk: flip_byte(disk, ROOT, 1024), CORRUPTED),
    "a byte of the hash tree": (lambda disk: flip_byte(disk, TREE, 4096), CORRUPTED),
    "a byte of the kernel": (lambda disk: flip_in(disk, ".linux", 5_000_000), "Failed to decompress kernel"),
    "a byte of the initrd": (lambda disk: flip_in(disk, ".initrd", 5_000_000), "Initramfs unpacking failed"),
    "another root hash in the command line": (
        lambda disk: tamper.replace_in_command_line(disk, ROOT_HASH, tamper.other_digit(ROOT_HASH)),
        FOREIGN,
    ),
}

with subtest("the medium as it was made is the one of the manifest"):
    t.assertEqual(media_verify(image.disk(), image.manifest())[0], 0)

with subtest("a disk that was cut off: no system, once nobody waits for the rest any more"):
    tamper.changed_copy(patient, lambda disk: tamper.truncate(disk, ROOT.offset + ROOT.size // 2))
    patient.start()

for name, (alteration, said) in STOPPED.items():
    with subtest(f"{name}: no system, and the console says why"):
        tamper.changed_copy(machine, alteration)
        machine.start()
        machine.wait_for_console_text(said, BOOT_TIMEOUT)
        assert_refused(machine)
        machine.crash()

with subtest("of the disk that was cut off no system was started"):
    patient.wait_for_console_text(NOTHING, BOOT_TIMEOUT)
    assert_refused(patient)
    patient.crash()

with subtest("a UKI that was altered so that it works: its hash is not that of the manifest"):
    # Nothing but Secure Boot, or a TPM, keeps such a one from being started.
    tamper.changed_copy(machine, lambda disk: flip_in(disk, ".osrel", 0))
    machine.start()
    machine.wait_for_console_text(STATE_QUESTION, BOOT_TIMEOUT)
    shown = re.search(r"^UKI +([0-9a-f]{64})", machine.get_console_log(), re.MULTILINE)
    assert shown is not None
    t.assertNotIn(shown[1], image.manifest().read_text())
    machine.crash()
