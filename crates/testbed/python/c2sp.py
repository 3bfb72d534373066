"""Signed notes, checkpoints, cosignatures and proofs after C2SP, and the tree of RFC 6962.

Written from those documents, and not from Sesame's code. The signatures are OpenSSL's.
"""

import base64
import binascii
import hashlib
import struct
import time
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

ED25519, COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44 = 0x01, 0x04, 0x06
ALGORITHMS = {
    ED25519: ("Ed25519", Ed25519PublicKey),
    COSIGNATURE_ED25519: ("Ed25519", Ed25519PublicKey),
    COSIGNATURE_ML_DSA_44: ("ML-DSA-44", MLDSA44PublicKey),
}


class Disagreement(Exception):
    """What we read is not what the specifications say that it should be."""


def expect(holds, reason):
    if not holds:
        raise Disagreement(reason)


# RFC 6962, section 2.1


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size):
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def root_of(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    k = split(len(leaves))
    return node_hash(root_of(leaves[:k]), root_of(leaves[k:]))


def root_by_path(leaf, index, size, path):
    """The root of the tree with this leaf and these siblings, which come from the leaf upwards."""
    expect(index < size, "the index of a proof is beyond its tree")
    if size == 1:
        expect(not path, "a proof has too long a path")
        return leaf
    expect(path, "a proof has too short a path")
    *lower, sibling = path
    k = split(size)
    if index < k:
        return node_hash(root_by_path(leaf, index, k, lower), sibling)
    return node_hash(sibling, root_by_path(leaf, index - k, size - k, lower))


# signed-note


class Signature(NamedTuple):
    name: str
    id: bytes
    data: bytes


class Note(NamedTuple):
    text: str
    signatures: list


class Key(NamedTuple):
    name: str
    type: int
    public: bytes

    @property
    def id(self):
        data = self.name.encode() + b"\n" + bytes([self.type]) + self.public
        return hashlib.sha256(data).digest()[:4]

    def __str__(self):
        return f"{self.name}+{self.id.hex()}+{to_base64(bytes([self.type]) + self.public)}"


def parse_key(text):
    parts = text.split("+", 2)
    expect(len(parts) == 3, f"{text!r} is no verifier key")
    name, key_id, data = check_name(parts[0]), parts[1], from_base64(parts[2])
    expect(data[:1] and data[0] in ALGORITHMS, f"the key of {name} has an unknown type")
    key = Key(name, data[0], data[1:])
    expect(key.id.hex() == key_id, f"the key of {name} has the id {key_id}, not {key.id.hex()}")
    return key


def parse_note(data):
    try:
        note = data.decode()
    except UnicodeDecodeError:
        raise Disagreement("a note is not in UTF-8") from None
    expect(all(c >= " " or c == "\n" for c in note), "a note has a control character")
    end = note.rfind("\n\n")
    expect(end >= 0, "a note has no blank line")
    text, below = note[: end + 1], note[end + 2 :]
    expect(below.endswith("\n"), "a note does not end with a signature and a newline")
    return Note(text, [parse_signature(line) for line in below[:-1].split("\n")])


def parse_signature(line):
    parts = line.split(" ")
    expect(len(parts) == 3 and parts[0] == "\u2014", "a line below a note is no signature")
    data = from_base64(parts[2])
    expect(len(data) > 4, f"the signature of {parts[1]} is empty")
    return Signature(check_name(parts[1]), data[:4], data[4:])


def check_name(name):
    expect(name and "+" not in name and not any(c.isspace() for c in name), f"{name!r} is no name")
    return name


def from_base64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    # The library overlooks stray bits.
    expect(data is not None and to_base64(data) == text, f"{text[:99]!r} is no base64")
    return data


def to_base64(data):
    return base64.b64encode(data).decode()


def from_decimal(text):
    expect(text.isascii() and text.isdigit() and str(int(text)) == text, f"{text!r} is no number")
    return int(text)


# tlog-checkpoint and tlog-cosignature


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes
    note: Note


def parse_checkpoint(data):
    note = parse_note(data)
    lines = note.text[:-1].split("\n")
    # More would be extension lines, which C2SP advises against and Sesame has none of.
    expect(len(lines) == 3, f"a checkpoint has {len(lines)} lines instead of three")
    origin, size, root = lines[0], from_decimal(lines[1]), from_base64(lines[2])
    expect(origin and len(root) == 32, "a checkpoint has no origin, or a root that is no hash")
    return Checkpoint(origin, size, root, note)


def signed_message(key, checkpoint, timestamp):
    text = checkpoint.note.text.encode()
    if key.type == ED25519:
        return text
    if key.type == COSIGNATURE_ED25519:
        return b"cosignature/v1\ntime %d\n" % timestamp + text
    name, origin = key.name.encode(), checkpoint.origin.encode()
    start, end = 0, checkpoint.size
    return (
        b"subtree/v1\n\0"
        + struct.pack(">B", len(name)) + name
        + struct.pack(">Q", timestamp)
        + struct.pack(">B", len(origin)) + origin
        + struct.pack(">QQ", start, end)
        + checkpoint.root
    )  # fmt: skip


def verify_signature(checkpoint, key):
    """Whether this key signed, and when; a signature that is there must be right."""
    found = [s.data for s in checkpoint.note.signatures if (s.name, s.id) == (key.name, key.id)]
    if not found:
        return False, None
    algorithm, library = ALGORITHMS[key.type]
    whose = f"the {algorithm} signature of {key.name} over {checkpoint.size} entries"
    expect(len(found) == 1, f"{whose} is there twice")
    timestamp, signature = None, found[0]
    if key.type != ED25519:
        expect(len(signature) > 8, f"{whose} is too short")
        (timestamp,) = struct.unpack(">Q", signature[:8])
        signature = signature[8:]
        # C2SP allows 0, for no statement as to the time; Sesame always makes it. Five minutes are
        # for clocks that differ.
        expect(0 < timestamp < time.time() + 300, f"{whose} has {timestamp} for its time")
    try:
        public = library.from_public_bytes(key.public)
        public.verify(signature, signed_message(key, checkpoint, timestamp))
    except (InvalidSignature, ValueError):
        raise Disagreement(f"{whose} is wrong") from None
    return True, timestamp


# tlog-proof


class Proof(NamedTuple):
    extra: bytes
    index: int
    path: list
    checkpoint: Checkpoint


def parse_proof(data):
    head, blank, checkpoint = data.partition(b"\n\n")
    expect(blank and head.isascii(), "a proof has no blank line")
    version, *lines = head.decode().split("\n")
    expect(version == "c2sp.org/tlog-proof@v1", f"a proof begins with {version[:99]!r}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = from_base64(lines.pop(0).removeprefix("extra "))
    expect(lines and lines[0].startswith("index "), "a proof has no index")
    index = from_decimal(lines.pop(0).removeprefix("index "))
    path = [from_base64(line) for line in lines]
    expect(all(len(one) == 32 for one in path), "a line of a proof is no hash")
    return Proof(extra, index, path, parse_checkpoint(checkpoint))
