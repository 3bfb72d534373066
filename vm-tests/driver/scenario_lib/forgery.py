"""Forgeries of an exported trail, as somebody with the stick in hands and the tools of a shell makes them."""

import shlex
from dataclasses import dataclass

from scenario_lib import shown
from scenario_lib.operator import Operator

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
REWRITE = f"bash -c {shlex.quote(REHASH)} < {SEGMENT} > new; mv new {SEGMENT}"
LAST_NOTE = "$(ls trail/*.note | tail -n 1)"


@dataclass(frozen=True)
class Forgery:
    """What is done in a copy of the export `exported`, and how `sesame audit verify --path COPY…` ends."""

    name: str
    script: str
    verdict: int
    # What of the copy is verified, and how.
    more: str = ""
    # Whether the words of the head are given; they would tell on their own that the end is missing.
    knows_head: bool = True


def export(operator: Operator, name: str) -> str:
    """Exports the trail onto the stick; the words of its head."""
    return shown.head_words(operator.succeed(f"sesame audit export {STICK}/{name}"))


def by_sed(script: str) -> str:
    """A change to the trail's lines."""
    return f"sed -i {shlex.quote(script)} {SEGMENT}"


# An export `earlier` lies beside the one that is forged.
FORGERIES = (
    Forgery("sound", "true", 0),
    Forgery("edited", by_sed("s/second/secret/"), 10),
    Forgery("deleted", by_sed("5d"), 11),
    Forgery("reordered", by_sed("5{h;d};6G"), 12),
    Forgery("truncated", by_sed("$d"), 13),
    Forgery("rolled back", f"rm -r trail; cp -r {STICK}/earlier/. .", 14),
    Forgery("rewritten", f"{by_sed('s/second/secret/')}; {REWRITE}", 15, "/trail"),
    Forgery("absent", "rm trail/*", 16),
    Forgery("signed wrongly", f"sed -i '$s/A/B/7' {LAST_NOTE}", 17),
    Forgery("malformed", by_sed("5s/.*/nothing of ours/"), 18),
    Forgery("unsealed", f"rm {LAST_NOTE}; {by_sed('$d')}", 19, "/trail --require-sealed", knows_head=False),
)
