"""What terminals are sent besides text."""

import re

# Control sequences of ECMA-48 (CSI and OSC), and lone escapes: colours and cursor moves.
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_=>78]")


def printable(line: str) -> str:
    """A line without what would colour or move the cursor of whoever reads it."""
    return "".join(character for character in ESCAPES.sub("", line) if character.isprintable())
