"""A factor that the TPM seals to this image: it opens on this image, and on no other."""

import json
import re

from scenario_lib import image, tamper
from scenario_lib.ceremony import BOOT_TIMEOUT, STATE_QUESTION, CeremonyConsole

PASSWORD, PASSPHRASE = "correct horse battery", "a long passphrase for the volume"
UNLOCK = "sesame unlock --factor chip"
# Seconds for what Argon2id makes slow on an emulated machine.
SLOW = 300
ZERO = "0" * 64
console = CeremonyConsole(machine)


def boot() -> dict[str, str]:
    """Boots to the question where state is kept; the registers that the attestation shows before it."""
    machine.start()
    machine.wait_for_console_text(STATE_QUESTION, BOOT_TIMEOUT)
    return dict(re.findall(r"^PCR (11|4) +([0-9a-f]{64})$", machine.get_console_log(), re.MULTILINE))


def open_volume() -> None:
    """Chooses the volume that the first boot made."""
    console.answer("Enter alone is 1: ", "2")
    console.answer("passphrase for .*: ", PASSPHRASE)
    machine.wait_for_console_text(r"reboot +starts it anew", SLOW)
    console.wait_for_prompt()


def off() -> None:
    console.type("poweroff --yes")
    machine.wait_for_shutdown()


with subtest("the attestation shows PCR 11 as the manifest has it, and PCR 4"):
    first = boot()
    manifest = json.loads(image.disk().with_suffix(".manifest.json").read_text())
    t.assertEqual(first["11"], manifest["pcr11"]["sha256"])
    t.assertNotIn(first["4"], (ZERO, first["11"]))
    t.assertIn("PCR 11 is what the UKI on the medium gives.", machine.get_console_log())

with subtest("a factor is sealed to PCR 11, and opens"):
    console.answer("Enter alone is 1: ", "2")
    console.answer("Enter alone goes back: ", "vdb")
    for prompt in ("Enter passphrase for .*: ", "Verify passphrase: ", "passphrase for .*: "):
        console.answer(prompt, PASSPHRASE, SLOW)
    machine.wait_for_console_text(r"reboot +starts it anew", SLOW)
    console.wait_for_prompt()
    init = "sesame init --org example.org --machine-binding none --factor password --factor tpm=chip --pcrs 11"
    console.succeed(f"{init} --password-stdin <<< '{PASSWORD}'", SLOW)
    console.succeed(UNLOCK)
    console.succeed("echo a value | sesame secret set ca/key")
    off()

with subtest("after a restart of the same image it opens"):
    t.assertEqual(boot(), first)
    open_volume()
    console.succeed(UNLOCK)
    t.assertEqual(console.succeed("sesame secret get ca/key | cat"), "a value\n")
    off()

with subtest("on another image, which differs in one byte, it does not; a password still does"):
    tamper.flip_byte_of_section(tamper.private_copy(machine), ".osrel", 0)
    other = boot()
    t.assertNotIn(other["11"], (ZERO, first["11"]))
    t.assertNotIn(other["4"], (ZERO, first["4"]))
    open_volume()
    t.assertIn("the machine was started differently", " ".join(console.fail(UNLOCK).split()))
    console.fail("set -o pipefail; sesame secret get ca/key | cat")
    console.succeed(f"sesame unlock --factor password --password-stdin <<< '{PASSWORD}'")
    t.assertEqual(console.succeed("sesame secret get ca/key | cat"), "a value\n")
    off()
