"""Each forgery of an exported trail, made on the stick with tools of the shell, is told from the others."""

import shlex

from scenario_lib import shown
from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator

PASSWORD = "correct horse battery"
STICK = "/media/export"
SEGMENT = "trail/segment-00000000000000000000.jsonl"
# Gives all lines the hashes that they would have if each had been written after the one before.
REHASH = r"""
while IFS= read -r line; do
    body=${line%,\"hash\":*}
    [ -z "${hash-}" ] || body="${body%\"prev_hash\":*}\"prev_hash\":\"$hash\""
    hash=$(printf 'pds v2 audit-entry v1\0%s' "$body" | sha256sum | cut -c -64)
    printf '%s,"hash":"%s"}\n' "$body" "$hash"
done"""


def export(name: str) -> str:
    """Exports the trail onto the stick; the words of its head."""
    return shown.head_words(operator.succeed(f"sesame audit export {STICK}/{name}"))


def by_sed(script: str) -> str:
    """A change to the trail's lines, below a copy of the export."""
    return f"sed -i {shlex.quote(script)} {SEGMENT}"


start_all()
console, operator = CeremonyConsole(machine), Operator(machine)
console.keep_state()
# So that a forger needs nothing but sha256sum.
machine.succeed("echo 'crypto.audit_hash = \"sha256\"' > /etc/pds/config.toml")
machine.succeed("systemctl restart sesame-audit.service sesame-secrets.service")
operator.succeed("sesame init --org example.org --password-stdin", PASSWORD)
operator.succeed("sesame unlock --password-stdin", PASSWORD)
operator.succeed("sesame secret set ca/first", "a value")
export("earlier")
operator.succeed("sesame secret set ca/second", "a value")
operator.succeed("sesame secret set ca/third", "a value")
head = export("exported")
operator.succeed(f"sesame audit key > {STICK}/key.txt")

KEY, HEAD = f"--key {STICK}/key.txt", f"--expect-head {head}"
REWRITE = f"bash -c {shlex.quote(REHASH)} < {SEGMENT} > new; mv new {SEGMENT}"
LAST_NOTE = "$(ls trail/*.note | tail -n 1)"

# What is done to a copy of the export, and how `sesame audit verify --path COPY…` ends.
FORGERIES = [
    ("sound", "true", "", 0),
    ("edited", by_sed("s/second/secret/"), "", 10),
    ("deleted", by_sed("5d"), "", 11),
    ("reordered", by_sed("5{h;d};6G"), "", 12),
    ("truncated", by_sed("$d"), "", 13),
    ("rolled back", f"rm -r trail; cp -r {STICK}/earlier/. .", "", 14),
    ("rewritten", f"{by_sed('s/second/secret/')}; {REWRITE}", "/trail", 15),
    ("absent", "rm trail/*", "", 16),
    ("signed wrongly", f"sed -i '$s/A/B/7' {LAST_NOTE}", "", 17),
    ("malformed", by_sed("5s/.*/nothing of ours/"), "", 18),
    ("unsealed", f"rm {LAST_NOTE}; {by_sed('$d')}", "/trail --require-sealed", 19),
]
for name, forge, more, verdict in FORGERIES:
    with subtest(f"{name}: exit code {verdict}"):
        operator.succeed(f"cd {STICK} && rm -rf copy && cp -r exported copy && cd copy && {forge}")
        # The words would tell on their own that the end is missing.
        known = KEY if name == "unsealed" else f"{KEY} {HEAD}"
        operator.expect(verdict, f"sesame audit verify --path {STICK}/copy{more} {known}")

with subtest("a whole trail of somebody else's is sound, and neither the key nor the words fit"):
    operator.succeed("sesame wipe --i-understand $(sesame status | sed -n 's/^installation *//p')")
    operator.succeed("sesame init --org example.org --password-stdin", PASSWORD)
    operator.succeed("sesame unlock --password-stdin", PASSWORD)
    for number in range(12):
        operator.succeed(f"sesame secret set ca/{number}", "a value")
    export("theirs")
    operator.succeed(f"sesame audit verify --path {STICK}/theirs")
    operator.expect(17, f"sesame audit verify --path {STICK}/theirs {KEY}")
    operator.expect(15, f"sesame audit verify --path {STICK}/theirs {HEAD}")

machine.shutdown()
