"""A daemon that was taken over reaches nothing: a hostile program in the place of each, in its own unit."""

import re

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.hostile_program import allowed, attempts, in_place_of
from scenario_lib.operator import Operator
from scenario_lib.programs import bring

# What each owns, and the daemon that it attacks.
DAEMONS = {
    "sesame-audit": ("/var/lib/pds/audit", "sesame-secrets"),
    "sesame-secrets": ("/var/lib/pds/secrets", "sesame-audit"),
}
# What not even root may: the kernel's settings are against it.
CLOSED = {"ptrace", "open(/proc/PID/mem)", "io_uring_setup", "init_module", "finit_module"}
# What fails for other reasons: there is no such thing, or nobody listens.
ABSENT = {"connect(an abstract socket)", "socket(AF_VSOCK, SOCK_STREAM)", "socket(AF_VSOCK, SOCK_DGRAM)"}
ABSENT |= {"create a file in /dev/mqueue", "open(/etc/cicada/cicada.toml, O_WRONLY)"}
# The root.
READ_ONLY = {f"create a file in {place}" for place in ("/", "/etc", "/usr", "/usr/bin", "/root")}
READ_ONLY |= {"open(/etc/passwd, O_WRONLY)"}


def pid(daemon: str) -> str:
    return machine.get_unit_info(f"{daemon}.service")["MainPID"]


start_all()
CeremonyConsole(machine).keep_state()
machine.wait_for_unit("multi-user.target")
intruder = bring(machine, "intruder")
machine.succeed("cp /usr/bin/id /var/lib/vm-test/id && chmod 4755 /var/lib/vm-test/id")

with subtest("root, outside of any unit, gets nearly everywhere: the attempts are real ones"):
    said = machine.fail(f"{intruder} bare /var {pid('sesame-audit')} nobody /var/lib/vm-test/id")
    tried = set(attempts(said))
    t.assertEqual(tried - allowed(said), CLOSED | ABSENT | READ_ONLY)

with subtest("of each daemon every thread is confined"):
    posture = Operator(machine).succeed("sesame status --security-posture")
    threads = re.findall(r"^ +pass +([\w-]+) .*?(\d+) of (\d+) threads", posture, re.MULTILINE)
    t.assertEqual([check for check, _, _ in threads], ["seccomp", "no-new-privs", "landlock", "capabilities"] * 2)
    t.assertEqual([some for _, some, _ in threads], [of for _, _, of in threads])

for daemon, (state, other) in DAEMONS.items():
    attack = f"{state} {pid(other)} nobody /var/lib/vm-test/id"

    with subtest(f"in the unit of {daemon}, with the sandbox that the daemon puts on itself: nothing"):
        said = in_place_of(machine, daemon, "sandboxed", f"{intruder} sandboxed {attack}")
        t.assertEqual(set(attempts(said)), tried)
        t.assertEqual(allowed(said), {f"list {state}"})

    with subtest(f"in the unit of {daemon} alone: nothing but its own files, and shared memory"):
        said = in_place_of(machine, daemon, "bare", f"{intruder} bare {attack}")
        t.assertEqual(set(attempts(said)), tried)
        own = {f"list {state}", *(f"create a file in {place}" for place in ("/tmp", "/var/tmp", "/dev/shm"))}
        t.assertEqual(allowed(said), own)

machine.shutdown()
