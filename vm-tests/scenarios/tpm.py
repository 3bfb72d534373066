"""A factor that the TPM seals to this image: it opens on this image alone, and where nothing else had a say."""

import json

from scenario_lib import image, tamper, tpm
from scenario_lib.ceremony import BOOT_TIMEOUT, CeremonyConsole

PASSWORD, PASSPHRASE = "correct horse battery", "a long passphrase for the volume"
UNLOCK, OTHERWISE = "sesame unlock --factor chip", "the machine was started differently"
console = CeremonyConsole(machine)


def boot(*answers: tuple[str, str]) -> dict[str, str]:
    """Boots with the volume, or makes it, and gives the registers that the attestation showed before that."""
    machine.start()
    console.keep_state("2", answers=(*answers, ("passphrase for .*: ", PASSPHRASE)))
    return tpm.registers(machine.get_console_log())


def refused() -> None:
    t.assertIn(OTHERWISE, " ".join(console.fail(f"{UNLOCK} || sesame secret get ca/key").split()))


with subtest("the attestation shows PCR 11 as the manifest has it, PCR 12 that is zero, and PCR 4"):
    new = [(prompt, PASSPHRASE) for prompt in ("Enter passphrase for .*: ", "Verify passphrase: ")]
    first = boot(("Enter alone goes back: ", "vdb"), *new)
    t.assertEqual(first["11"], json.loads(image.manifest().read_text())["pcr11"]["sha256"])
    t.assertEqual(first["12"], tpm.ZERO)
    t.assertNotIn(first["4"], (tpm.ZERO, first["11"]))

with subtest("a factor is sealed to PCRs 11 and 12, and opens"):
    init = "sesame init --org example.org --machine-binding none --factor password --factor tpm=chip --pcrs 11,12"
    console.succeed(f"{init} --password-stdin <<< '{PASSWORD}'", BOOT_TIMEOUT)
    console.succeed(f"{UNLOCK} && echo a value | sesame secret set ca/key && sesame lock")

with subtest("once something from outside was measured it does not, and the attestation says so"):
    console.succeed(tpm.extend_command(12))
    refused()
    t.assertIn("PCR 12 is not zero", console.fail("sesame media attest"))
    console.type("poweroff --yes")
    machine.wait_for_shutdown()

with subtest("after a restart of the same image it opens"):
    t.assertEqual(boot(), first)
    t.assertIn("a value\n", console.succeed(f"{UNLOCK} && sesame secret get ca/key | cat"))
    machine.crash()

with subtest("on another image, which differs in one byte, it does not; a password still does"):
    tamper.flip_byte_of_section(tamper.private_copy(machine), ".osrel", 0)
    other = boot()
    t.assertEqual({other["11"], other["4"]} & {tpm.ZERO, first["11"], first["4"]}, set())
    refused()
    unlock = f"sesame unlock --factor password --password-stdin <<< '{PASSWORD}'"
    t.assertIn("a value\n", console.succeed(f"{unlock} && sesame secret get ca/key | cat"))
    machine.crash()
