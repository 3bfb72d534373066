"""Root in the machine reads no secret out of memory; a locked machine has none for who dumps its RAM."""

import re

from scenario_lib import memory
from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import AS_CEREMONY, Operator
from scenario_lib.programs import bring

PASSWORD = "correct horse battery"
UNLOCK = "sesame unlock --password-stdin"
GET = "set -o pipefail; sesame secret get ca/key"
WAYS = ("mem", "vm", "ptrace")
RANDOM = "head -c 24 /dev/urandom | base64 -w 0"


def found(source: str, pid: str) -> dict[str, int]:
    """How often each way of reading a process finds what a command writes; no shell sees it."""
    said = machine.succeed(f"{source} | {reader} {pid}")
    lines = re.findall(r"^(\w+): found (\d+), read (\d+) bytes, refused \d+ pages$", said, re.MULTILINE)
    t.assertTrue(all(int(read) > 100_000 for _, _, read in lines), said)
    t.assertEqual([way for way, _, _ in lines], list(WAYS), said)
    return {way: int(count) for way, count, _ in lines}


def in_ram(when: str, value: bytes) -> int:
    """How often a value is in all of the machine's memory, as the host sees it."""
    dump = memory.dump(machine)
    count = memory.occurrences(dump, value)
    dump.unlink()
    log.log(f"{when}: the value is {count} times in RAM")
    return count


def hold() -> str:
    """Lets a program hold the secret in a pipe that it does not read; its process ID."""
    machine.succeed("test -p /run/held || mkfifo -m 666 /run/held")
    holder = machine.succeed("sleep infinity > /dev/null 2>&1 < /run/held & echo $!").strip()
    operator.succeed("sesame secret get ca/key > /run/held")
    return holder


start_all()
CeremonyConsole(machine).keep_state()
operator = Operator(machine)
operator.succeed("sesame init --org example.org --password-stdin", PASSWORD)
operator.succeed(UNLOCK, PASSWORD)
operator.succeed(f"set -o pipefail; {RANDOM} | sesame secret set ca/key")
reader = bring(machine, "memory-reader")
secrets = machine.get_unit_info("sesame-secrets.service")["MainPID"]

with subtest("each way finds a value in an ordinary process"):
    machine.succeed(f"{RANDOM} > /run/planted; mkfifo /run/never")
    holds = "planted=$(</run/planted); read -r < /run/never"
    ordinary = machine.succeed(f"bash -c '{holds}' > /dev/null 2>&1 & echo $!").strip()
    t.assertNotIn(0, found("cat /run/planted", ordinary).values())

with subtest("none finds in daemon-secrets what it has just given out, its key, or what it has in secret memory"):
    t.assertEqual(found(f"{AS_CEREMONY} bash -c '{GET}'", secrets), dict.fromkeys(WAYS, 0))
    t.assertEqual(found("cat /etc/pds/keys/daemon-secrets.key", secrets), dict.fromkeys(WAYS, 0))
    t.assertGreater(found("printf /var/lib/pds/secrets", secrets)["mem"], 0)

with subtest("there is no other door to memory: no /dev/mem, no kcore, no swap, no hibernation"):
    machine.succeed("test -e /proc/kcore")
    machine.fail("head -c 1 /proc/kcore", "head -c 1 /dev/mem", "echo disk > /sys/power/state")
    t.assertNotIn("disk", machine.succeed("cat /sys/power/state").split())
    t.assertEqual(machine.succeed("tail -n +2 /proc/swaps"), "")

with subtest("the machine's RAM has the value while a program holds it; then neither open nor locked"):
    # In another spelling, so that the way to the host leaves no trace of it.
    spelled = operator.succeed(f"{GET} | od -An -v -tx1 | tr -d ' \\n' | tr 0-9a-f g-v")
    value = bytes.fromhex(spelled.translate(str.maketrans("ghijklmnopqrstuv", "0123456789abcdef")))
    t.assertEqual(len(value), 32)
    holder = hold()
    t.assertGreater(in_ram("held by a program", value), 0)
    machine.succeed(f"kill {holder}")
    t.assertEqual(in_ram("unlocked", value), 0)
    operator.succeed("sesame lock")
    t.assertEqual(in_ram("locked", value), 0)

with subtest("the appliance's settings take even the ordinary process away from root, and kexec"):
    machine.succeed("/usr/lib/systemd/systemd-sysctl")
    t.assertEqual(machine.succeed("cat /proc/sys/kernel/yama/ptrace_scope").strip(), "3")
    t.assertEqual(machine.succeed("cat /proc/sys/kernel/kexec_load_disabled").strip(), "1")
    refused = machine.succeed(f"{reader} {ordinary} < /run/planted")
    t.assertEqual(len(re.findall(r"^\w+: (?!found [1-9])", refused, re.MULTILINE)), len(WAYS), refused)

with subtest("when it is off, nothing is left in RAM of what a program held to the end"):
    operator.succeed(UNLOCK, PASSWORD)
    hold()
    # Nothing answers any more.
    machine.execute("systemctl halt", check_output=False)
    machine.wait_for_console_text("System halted", 300)
    t.assertEqual(in_ram("halted", value), 0)

machine.crash()
