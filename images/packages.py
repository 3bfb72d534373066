"""The store paths of an image, as the list of packages that `sesame media manifest` takes.

usage: packages.py ARCHITECTURE < .attrs.json

A path's digest is that of its archive (Nix's narHash).
"""

import json
import re
import sys
from typing import Any

# Base 32 without e, o, t and u; the last character is the one of the lowest bits.
ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
# A version begins at the first dash before what is no letter (builtins.parseDrvName).
PATH = re.compile(r"/nix/store/[0-9a-z]{32}-(?P<name>.*?)(?:-(?P<version>[^A-Za-z].*))?")


def package(entry: dict[str, Any], architecture: str) -> dict[str, str]:
    """A package of the manifest from a path of the closure."""
    found = PATH.fullmatch(entry["path"])
    if found is None:
        sys.exit(f"{entry['path']} is no store path")
    return {
        "name": found["name"],
        "version": found["version"] or "0",
        "architecture": architecture,
        "sha256": hexadecimal(entry["narHash"]),
    }


def hexadecimal(digest: str) -> str:
    """A digest of Nix, `sha256:` and hexadecimal or base 32, in hexadecimal."""
    algorithm, _, text = digest.partition(":")
    if algorithm != "sha256":
        sys.exit(f"a digest of SHA-256 is wanted, not {digest}")
    if len(text) == 64:
        return text
    number = 0
    for character in text:
        number = number * 32 + ALPHABET.index(character)
    # Nix numbers bits from the last character on, and bytes the other way round.
    return number.to_bytes(33, "little")[:32].hex()


def main() -> None:
    closure = json.load(sys.stdin)["closure"]
    packages = [package(entry, sys.argv[1]) for entry in closure]
    json.dump(sorted(packages, key=lambda each: (each["name"], each["version"], each["sha256"])), sys.stdout)


if __name__ == "__main__":
    main()
