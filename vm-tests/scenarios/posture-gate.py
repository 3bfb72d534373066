"""Below the security floor: on a kernel without secret memory no daemon starts, and nothing is enrolled."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator

# The whole line, as it is promised, at the priority of errors.
UNAVAILABLE = (
    "memfd_secret unavailable: secrets remain on kernel direct map. Compliance impact: does not "
    "meet IL5/IL6, DISA STIG, PCI-DSS requirements for memory isolation. Remediation: enable CONFIG_SECRETMEM=y "
    "in kernel config."
)
DAEMONS = ("sesame-audit.service", "sesame-secrets.service")

start_all()
console, operator = CeremonyConsole(machine), Operator(machine)

with subtest("the attestation says so before anything is asked"):
    machine.wait_for_console_text("fail +memfd-secret", 300)
    machine.wait_for_console_text("below the security floor")

with subtest("the console says that no ceremony can be held, and names the daemon and its reason"):
    machine.wait_for_console_text(r"switch this machine off", 60)
    console.type("1")
    machine.wait_for_console_text("NO CEREMONY CAN BE HELD ON THIS MACHINE AS IT IS", 300)
    machine.wait_for_console_text(r"sesame-audit.service failed \(exit-code, status 71\)")
    machine.wait_for_console_text("memfd_secret unavailable")
    console.wait_for_prompt()

with subtest("daemon-audit gave up with the exact line and exit status 71; daemon-secrets never ran"):
    t.assertEqual(machine.get_unit_info(DAEMONS[0])["ExecMainStatus"], "71")
    said = machine.succeed(f"journalctl --quiet --output=cat --priority=err _SYSTEMD_UNIT={DAEMONS[0]}")
    t.assertIn(UNAVAILABLE, said.splitlines())
    for daemon in DAEMONS:
        t.assertNotEqual(machine.get_unit_info(daemon)["ActiveState"], "active")

with subtest("daemon-secrets refuses by itself, too"):
    # Without the other daemon, which would keep it from being tried at all.
    machine.succeed(
        "mkdir -p /run/systemd/system && cd /run/systemd/system && systemctl cat sesame-secrets.service "
        "| grep -v '^Requires=sesame-audit' > alone-secrets.service && systemctl daemon-reload"
    )
    machine.fail("systemctl start alone-secrets.service")
    t.assertEqual(machine.get_unit_info("alone-secrets.service")["ExecMainStatus"], "71")
    said = machine.succeed("journalctl --quiet --output=cat --priority=err _SYSTEMD_UNIT=alone-secrets.service")
    t.assertIn(UNAVAILABLE, said.splitlines())

with subtest("nothing is enrolled, and nothing was written"):
    for command in (
        "sesame init --org example.org --password-stdin",
        "sesame factor enroll password --password-stdin",
    ):
        operator.expect(21, command, "correct horse battery")
    operator.expect(21, "sesame status --security-posture")
    t.assertEqual(machine.succeed("find /var/lib/pds -type f"), "")

machine.shutdown()
