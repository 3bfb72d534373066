"""A ceremony typed at the console of the untouched media; another machine verifies its trail."""

import re

from scenario_lib import image, shown
from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator

OFFICER, CUSTODIAN, WRONG = "correct horse battery", "another good password", "a password nobody has"


def type_in(command: str, status: int, *passwords: str) -> None:
    """Types a command and the passwords that it asks for; it must end with this status."""
    console.type(f"{command}; echo ended-$?")
    for password in passwords:
        console.answer(r"(assword|again).*: ?$", password)
    ceremony.wait_for_console_text(r"ended-\d", 120)
    console.wait_for_prompt()
    t.assertEqual(re.findall(r"ended-(\d+)", ceremony.get_console_log())[-1], str(status), command)


console = CeremonyConsole(ceremony)
ceremony.start()
console.keep_state()

with subtest("the machine says what it runs before anything is typed"):
    attestation, _, _ = ceremony.get_console_log().partition("Where is the state")
    attested = shown.media_hashes(attestation)
    t.assertEqual(len(attested), 2)
    t.assertIn("The floor holds.", console.succeed("sesame status --security-posture"))

with subtest("an installation, and the factors of two people, both of whom are needed"):
    type_in("sesame init --org example.org", 0, OFFICER, OFFICER)
    type_in("sesame factor enroll password --label custodian", 0, OFFICER, CUSTODIAN, CUSTODIAN)
    type_in("sesame factor policy all", 0, OFFICER)
    # It asks again.
    type_in("sesame unlock --factor password", 29, WRONG, OFFICER)
    t.assertIn("wrong password; it was recorded", ceremony.get_console_log())
    console.fail("echo a value | sesame secret set ca/passphrase")
    type_in("sesame unlock --factor custodian", 0, CUSTODIAN)

with subtest("a secret is written and read"):
    console.succeed("echo a value | sesame secret set ca/passphrase")
    t.assertEqual(console.succeed("sesame secret get ca/passphrase | cat"), "a value\n")

with subtest("the trail is exported onto the stick, and its head is for paper"):
    console.succeed("sesame lock && sesame audit key > /media/export/key.txt")
    paper = shown.head_words(console.succeed("sesame audit export /media/export/trail"))

console.type("poweroff --yes")
ceremony.wait_for_shutdown()

auditor.start()
operator = Operator(auditor)
VERIFY = "sesame audit verify --path /media/export/trail --key /media/export/key.txt --require-sealed"

with subtest("the other machine has the binary, and no daemon"):
    for daemon in ("sesame-audit", "sesame-secrets"):
        auditor.fail(f"systemctl is-active {daemon}.service")
    auditor.fail("ls /run/pds/*/*")

with subtest("what the ceremony machine showed are the hashes of the media that the manifest names"):
    auditor.copy_from_host(str(image.manifest()), "/tmp/manifest.json")
    verified = auditor.succeed("sesame media verify --manifest /tmp/manifest.json /dev/vda")
    t.assertEqual(shown.media_hashes(verified), attested)

with subtest("the trail is sound, signed by the key, and has the head of the paper"):
    operator.succeed(f"{VERIFY} --expect-head {paper}")

with subtest("a misread word is told, and the head of another trail is refused"):
    first, *others = paper.split()
    misread = ["zoo" if first != "zoo" else "abandon", *others]
    operator.expect(2, f"{VERIFY} --expect-head {' '.join(misread)}")
    head = re.search(r"^(\d+):[0-9a-f]{64}$", operator.succeed(VERIFY), re.MULTILINE)
    assert head is not None
    operator.expect(15, f"{VERIFY} --expect-head {head[1]}:{'0' * 64}")

auditor.shutdown()
