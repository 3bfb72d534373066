"""Each forgery of an exported trail, made on the stick with tools of the shell, is told from the others."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.forgery import FORGERIES, STICK, export
from scenario_lib.operator import Operator

PASSWORD = "correct horse battery"


def install() -> None:
    operator.succeed("sesame init --org example.org --password-stdin", PASSWORD)
    operator.succeed("sesame unlock --password-stdin", PASSWORD)


start_all()
console, operator = CeremonyConsole(machine), Operator(machine)
console.keep_state()
# So that a forger needs nothing but sha256sum.
machine.succeed("echo 'crypto.audit_hash = \"sha256\"' > /etc/pds/config.toml")
machine.succeed("systemctl restart sesame-audit.service sesame-secrets.service")
install()
operator.succeed("sesame secret set ca/first", "a value")
export(operator, "earlier")
operator.succeed("sesame secret set ca/second", "a value")
operator.succeed("sesame secret set ca/third", "a value")
head = export(operator, "exported")
operator.succeed(f"sesame audit key > {STICK}/key.txt")
KEY, HEAD = f"--key {STICK}/key.txt", f"--expect-head {head}"

for forgery in FORGERIES:
    with subtest(f"{forgery.name}: exit code {forgery.verdict}"):
        copied = f"cd {STICK} && rm -rf copy && cp -r exported copy && cd copy"
        operator.succeed(f"{copied} && {forgery.script}")
        known = f"{KEY} {HEAD}" if forgery.knows_head else KEY
        operator.expect(forgery.verdict, f"sesame audit verify --path {STICK}/copy{forgery.more} {known}")

with subtest("a whole trail of somebody else's is sound, and neither the key nor the words fit"):
    operator.succeed("sesame wipe --i-understand $(sesame status | sed -n 's/^installation *//p')")
    install()
    for number in range(12):
        operator.succeed(f"sesame secret set ca/{number}", "a value")
    export(operator, "theirs")
    operator.succeed(f"sesame audit verify --path {STICK}/theirs")
    operator.expect(17, f"sesame audit verify --path {STICK}/theirs {KEY}")
    operator.expect(15, f"sesame audit verify --path {STICK}/theirs {HEAD}")

machine.shutdown()
