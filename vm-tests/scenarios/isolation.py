"""A daemon that was taken over reaches nothing: a hostile program in the place of each, in its own unit."""

import re

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator
from scenario_lib.programs import bring

# What each owns, and the daemon that it attacks.
DAEMONS = {
    "sesame-audit": ("/var/lib/pds/audit", "sesame-secrets"),
    "sesame-secrets": ("/var/lib/pds/secrets", "sesame-audit"),
}
# Only what starts is replaced, not the user or the sandbox. The real daemons go on and keep their sockets.
INSTEAD = """
[Unit]
ConditionPathExists=
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
RuntimeDirectoryPreserve=yes
ExecStartPost=
ExecStart=
ExecStart={command}
"""


def pid(daemon: str) -> str:
    return machine.get_unit_info(f"{daemon}.service")["MainPID"]


def in_place_of(daemon: str, what: str, command: str) -> list[str]:
    """Runs a command in a copy of the daemon's unit; what it said."""
    unit = f"hostile-{what}-{daemon}.service"
    machine.succeed(
        f"cd /run/systemd/system && systemctl cat {daemon}.service > {unit} && "
        f"cat >> {unit} <<'END' && systemctl daemon-reload\n{INSTEAD.format(command=command)}END"
    )
    machine.execute(f"systemctl start {unit}")
    return machine.succeed(f"journalctl --sync; journalctl --quiet --output=cat _SYSTEMD_UNIT={unit}").splitlines()


def allowed(lines: list[str]) -> set[str]:
    """What the intruder was not denied."""
    t.assertGreater(len(lines), 60)
    t.assertTrue(all(line.startswith(("denied ", "ALLOWED")) for line in lines), lines)
    return {line.split("  ")[1] for line in lines if line.startswith("ALLOWED")}


start_all()
CeremonyConsole(machine).keep_state()
machine.wait_for_unit("multi-user.target")
intruder = bring(machine, "intruder")
machine.succeed("cp /usr/bin/id /var/lib/vm-test/id && chmod 4755 /var/lib/vm-test/id")

with subtest("root, outside of any unit, gets nearly everywhere: the attempts are real ones"):
    attack = f"{intruder} bare /var {pid('sesame-audit')} nobody /var/lib/vm-test/id"
    root = allowed(machine.fail(attack).splitlines())
    t.assertGreater(len(root), 35)
    # But not even root looks into a process (Yama, scope 3), or loads a module.
    t.assertEqual(root & {"ptrace", "open(/proc/PID/mem)", "init_module", "finit_module", "io_uring_setup"}, set())

with subtest("of each daemon every thread is confined"):
    posture = Operator(machine).succeed("sesame status --security-posture")
    threads = re.findall(r"^ +pass +([\w-]+) .*?(\d+) of (\d+) threads", posture, re.MULTILINE)
    t.assertEqual([check for check, _, _ in threads], ["seccomp", "no-new-privs", "landlock", "capabilities"] * 2)
    t.assertEqual({int(some) - int(of) for _, some, of in threads}, {0})

for daemon, (state, other) in DAEMONS.items():
    with subtest(f"in the unit of {daemon}, with the sandbox that the daemon puts on itself: nothing"):
        attack = f"{intruder} sandboxed {state} {pid(other)} nobody /var/lib/vm-test/id"
        t.assertLessEqual(allowed(in_place_of(daemon, "sandboxed", attack)), {f"list {state}"})

    with subtest(f"in the unit of {daemon} alone: nothing but its own files, and shared memory"):
        attack = f"{intruder} bare {state} {pid(other)} nobody /var/lib/vm-test/id"
        own = {f"list {state}", *(f"create a file in {place}" for place in ("/tmp", "/var/tmp", "/dev/shm"))}
        t.assertEqual(allowed(in_place_of(daemon, "bare", attack)), own)

machine.shutdown()
