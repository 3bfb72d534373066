"""A ceremony typed at the console of the untouched media; another machine verifies its trail."""

from scenario_lib import image, shown
from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator

OFFICER, CUSTODIAN, WRONG = "correct horse battery", "another good password", "a password nobody has"

console = CeremonyConsole(ceremony)
ceremony.start()
console.keep_state()

with subtest("the machine says what it runs before anything is typed"):
    attested = shown.media_hashes(ceremony.get_console_log().partition("Where is the state")[0])
    t.assertEqual(len(attested), 2)
    t.assertIn("The floor holds.", console.succeed("sesame status --security-posture"))

with subtest("an installation, and the factors of two people, both of whom are needed"):
    t.assertEqual(console.converse("sesame init --org example.org", OFFICER, OFFICER), 0)
    t.assertEqual(
        console.converse("sesame factor enroll password --label custodian", OFFICER, CUSTODIAN, CUSTODIAN), 0
    )
    t.assertEqual(console.converse("sesame factor policy all", OFFICER), 0)
    t.assertEqual(console.converse("sesame unlock --factor password", WRONG, OFFICER), 29)  # It asks again.
    t.assertIn("wrong password; it was recorded", ceremony.get_console_log())
    console.fail("echo a value | sesame secret set ca/passphrase")
    t.assertEqual(console.converse("sesame unlock --factor custodian", CUSTODIAN), 0)

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
    active = "systemctl is-active"
    auditor.fail(f"{active} sesame-audit.service", f"{active} sesame-secrets.service", "ls /run/pds/*/*")

with subtest("what the ceremony machine showed are the hashes of the media that the manifest names"):
    auditor.copy_from_host(str(image.manifest()), "/tmp/manifest.json")
    verified = auditor.succeed("sesame media verify --manifest /tmp/manifest.json /dev/vda")
    t.assertEqual(shown.media_hashes(verified), attested)

with subtest("the trail is sound, signed by the key, and has the head of the paper"):
    operator.succeed(f"{VERIFY} --expect-head {paper}")

with subtest("a misread word is told, and the head of another trail is refused"):
    operator.expect(2, f"{VERIFY} --expect-head {shown.misread(paper)}")
    operator.expect(15, f"{VERIFY} --expect-head {shown.other_head(operator.succeed(VERIFY))}")

auditor.shutdown()
