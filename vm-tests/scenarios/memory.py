"""Root in the machine reads no secret out of memory; a locked machine has none for who dumps its RAM."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.memory import WAYS, found, hold, in_ram, kernel_memory_is_closed, read_in_disguise, refused
from scenario_lib.operator import AS_CEREMONY, Operator
from scenario_lib.programs import bring

PASSWORD, UNLOCK = "correct horse battery", "sesame unlock --password-stdin"
GET, RANDOM = "set -o pipefail; sesame secret get ca/key", "head -c 24 /dev/urandom | base64 -w 0"

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
    holds = "bash -c 'planted=$(</run/planted); read -r < /run/never'"
    ordinary = machine.succeed(f"{holds} > /dev/null 2>&1 & echo $!").strip()
    t.assertNotIn(0, found(machine, reader, "cat /run/planted", ordinary).values())

with subtest("none finds in daemon-secrets what it has just given out, its key, or what it has in secret memory"):
    for source in (f"{AS_CEREMONY} bash -c '{GET}'", "cat /etc/pds/keys/daemon-secrets.key"):
        t.assertEqual(found(machine, reader, source, secrets), dict.fromkeys(WAYS, 0))
    t.assertGreater(found(machine, reader, "printf /var/lib/pds/secrets", secrets)["mem"], 0)

with subtest("there is no other door to memory: no /dev/mem, no kcore, no swap, no hibernation"):
    kernel_memory_is_closed(machine, reader)
    machine.fail("echo disk > /sys/power/state")
    t.assertNotIn("disk", machine.succeed("cat /sys/power/state").split())
    t.assertEqual(machine.succeed("tail -n +2 /proc/swaps"), "")

with subtest("the machine's RAM has the value while a program holds it; then neither open nor locked"):
    value = read_in_disguise(operator, GET)
    t.assertEqual(len(value), 32)
    holder = hold(machine, operator)
    t.assertGreater(in_ram(machine, value), 0)
    machine.succeed(f"kill {holder}")
    t.assertEqual(in_ram(machine, value), 0, "unlocked")
    operator.succeed("sesame lock")
    t.assertEqual(in_ram(machine, value), 0, "locked")

with subtest("the appliance's settings take even the ordinary process away from root, and kexec"):
    machine.succeed("/usr/lib/systemd/systemd-sysctl")
    set_to = machine.succeed("cd /proc/sys/kernel && cat yama/ptrace_scope kexec_load_disabled").split()
    t.assertEqual(set_to, ["3", "1"])
    t.assertEqual(refused(machine.succeed(f"{reader} {ordinary} < /run/planted")), list(WAYS))

with subtest("when it is off, nothing is left in RAM of what a program held to the end"):
    operator.succeed(UNLOCK, PASSWORD)
    hold(machine, operator)
    machine.execute("systemctl halt", check_output=False)  # Nothing answers any more.
    machine.wait_for_console_text("System halted", 300)
    t.assertEqual(in_ram(machine, value), 0)

machine.crash()
