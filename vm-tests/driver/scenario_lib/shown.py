"""What people copy from what `sesame` shows."""

import re


def head_words(shown: str) -> str:
    """The head of the trail, as `sesame audit export` shows it for paper: its words."""
    found = re.search(r"^The head, for paper:\n((?:[a-z ]+\n)+)", shown, re.MULTILINE)
    if found is None:
        raise AssertionError(f"no head for paper in: {shown}")
    return " ".join(found[1].split())


def media_hashes(shown: str) -> list[str]:
    """The root hash and that of the UKI, as `sesame media` shows them: in hexadecimal, and as words."""
    return re.findall(r"^(?:Root hash|UKI) +[0-9a-f]{64}\n(?: +\d\. [a-z ]+\n)+", shown, re.MULTILINE)


def misread(words: str) -> str:
    """The same words with another first one, which is a word of the list too."""
    first, *others = words.split()
    return " ".join(["zoo" if first != "zoo" else "abandon", *others])


def other_head(verified: str) -> str:
    """A head of the length that `sesame audit verify` has found, of another trail."""
    head = re.search(r"^(\d+):[0-9a-f]{64}$", verified, re.MULTILINE)
    if head is None:
        raise AssertionError(f"no head in: {verified}")
    return f"{head[1]}:{'0' * 64}"
