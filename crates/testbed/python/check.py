"""Checks an exported audit trail of Sesame: check.py DIRECTORY [--proof FILE]… [--witness FILE]…

It prints one JSON object: what it found, or `disagreement` and exit code 1. What an entry and a
trail are is written in crates/audit-log/src/lib.rs; the rest is C2SP's and RFC 6962's.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True

import c2sp
from blake3_derive_key import derive_key
from c2sp import COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44, ED25519, Disagreement, expect

DOMAIN = "pds v2 audit-entry v1"
HASHES = {
    "blake3": lambda data: derive_key(DOMAIN, data),
    "sha256": lambda data: hashlib.sha256(DOMAIN.encode() + b"\0" + data).digest(),
}
FIELDS = (
    "seq", "time", "operation", "outcome", "profile", "subject", "actor", "reporter", "detail",
    "prev_hash", "hash",
)  # fmt: skip
ANNOUNCING = ("genesis", "audit.seal", "audit.key-rotate")


class Signer(NamedTuple):
    """Whose signature counts only when both are there."""

    ed25519: c2sp.Key
    ml_dsa_44: c2sp.Key

    @property
    def name(self):
        return self.ed25519.name

    def time_of(self, checkpoint):
        """When it signed, in POSIX seconds; None when it did not."""
        has_first, first_time = c2sp.verify_signature(checkpoint, self.ed25519)
        has_second, time = c2sp.verify_signature(checkpoint, self.ml_dsa_44)
        whose = f"{self.name} has signed {checkpoint.size} entries"
        expect(has_first == has_second, f"{whose} with one of its keys only")
        expect(first_time in (None, time), f"{whose} at two times")
        return time


def signer(lines, ed25519_type):
    keys = Signer(*map(c2sp.parse_key, lines))
    types = (keys.ed25519.type, keys.ml_dsa_44.type)
    expect(types == (ed25519_type, COSIGNATURE_ML_DSA_44), f"{keys.name} has keys of types {types}")
    expect(keys.ed25519.name == keys.ml_dsa_44.name, f"{keys.name} has keys of two names")
    return keys


def signer_file(path, ed25519_type):
    lines = path.read_text().splitlines()
    expect(len(lines) == 2, f"{path} does not have two keys")
    return signer(lines, ed25519_type)


def check(directory, proofs=(), witnesses=()):
    trail = directory / "trail"
    lines = read_lines(trail)
    entries, hash_name = check_chain(lines)
    leaves = [c2sp.leaf_hash(line) for line in lines]
    checkpoints = read_checkpoints(trail)
    signers = check_checkpoints(checkpoints, entries, leaves)

    newest = checkpoints[max(checkpoints)]
    for witness in witnesses:
        for checkpoint in checkpoints.values():
            witness.time_of(checkpoint)
        expect(witness.time_of(newest), f"{witness.name} has not cosigned the newest checkpoint")
    check_files_beside(directory, lines, checkpoints, signers)
    return {
        "origin": newest.origin,
        "hash": hash_name,
        "entries": len(entries),
        "root": c2sp.root_of(leaves).hex(),
        "checkpoints": sorted(checkpoints),
        "signers": len(set(signers.values())),
        "cosigners": [witness.name for witness in witnesses],
        "proven": [check_proof(proof, lines, signers, witnesses) for proof in proofs],
    }


def read_lines(trail):
    lines = []
    for path in sorted(trail.glob("segment-*")):
        expect(path.name == f"segment-{len(lines):020}.jsonl", f"{path.name} is out of place")
        data = path.read_bytes()
        expect(data.endswith(b"\n"), f"{path.name} has no newline at its end")
        lines += data[:-1].split(b"\n")
    expect(lines, "there is no entry")
    return lines


def check_chain(lines):
    hash_name = json.loads(lines[0])["detail"]["hash"]
    entries, previous = [], bytes(32)
    for seq, line in enumerate(lines):
        entry = json.loads(line)
        entries.append(entry)
        is_canonical = json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() == line
        expect(is_canonical, f"entry {seq} is spelt otherwise than JSON without white space")
        expect(list(entry) == [name for name in FIELDS if name in entry], f"entry {seq}: fields")
        expect(all(entry[name] != "" for name in entry), f"entry {seq} has an empty field")
        expect(entry["seq"] == seq, f"entry {entry['seq']} stands in the place of {seq}")
        expect(entry["prev_hash"] == previous.hex(), f"entry {seq} has another predecessor")
        covered = line[: line.rindex(b',"hash":"')]
        previous = HASHES[hash_name](covered)
        expect(entry["hash"] == previous.hex(), f"entry {seq} does not match its hash")
        expect((entry["operation"] == "genesis") == (seq == 0), f"entry {seq}: a genesis")
    return entries, hash_name


def read_checkpoints(trail):
    checkpoints = {}
    for path in sorted(trail.glob("checkpoint-*")):
        checkpoint = c2sp.parse_checkpoint(path.read_bytes())
        is_named = path.name == f"checkpoint-{checkpoint.size:020}.note"
        expect(is_named, f"{path.name} is over {checkpoint.size} entries")
        checkpoints[checkpoint.size] = checkpoint
    return checkpoints


def check_checkpoints(checkpoints, entries, leaves):
    """The signer of each, by its size; the genesis has the first, and each signs for the next."""
    origin = f"sesame-audit/{entries[0]['detail']['installation']}"
    signers, present, coming = {}, keys_in(entries[0]), None
    expect(all(size <= len(entries) for size in checkpoints), "a checkpoint is over more entries")
    for size, entry in enumerate(entries, start=1):
        if entry["operation"] == "audit.key-rotate":
            coming = keys_in(entry)
            expect(coming.name == present.name, f"entry {size - 1} rotates to another's key")
        checkpoint = checkpoints.get(size)
        if checkpoint is None:
            is_announced = entry["operation"] in ANNOUNCING
            expect(not is_announced, f"entry {size - 1} announces a checkpoint that is not there")
            continue
        same = checkpoint.origin == origin == present.name
        expect(same, f"the checkpoint over {size} entries is of {checkpoint.origin}")
        is_signed = present.time_of(checkpoint)
        expect(is_signed, f"the checkpoint over {size} entries is not signed by the trail's key")
        is_over = checkpoint.root == c2sp.root_of(leaves[:size])
        expect(is_over, f"the checkpoint over {size} entries has the root of another tree")
        signers[size] = present
        present, coming = coming or present, None
    return signers


def keys_in(entry):
    return signer([entry["detail"][name] for name in ("key_ed25519", "key_ml_dsa_44")], ED25519)


def check_proof(path, lines, signers, witnesses):
    proof = c2sp.parse_proof(path.read_bytes())
    checkpoint = proof.checkpoint
    by_path = c2sp.root_by_path(
        c2sp.leaf_hash(proof.extra), proof.index, checkpoint.size, proof.path
    )
    expect(by_path == checkpoint.root, f"the proof of entry {proof.index} leads to another root")
    expect(proof.extra == lines[proof.index], f"the proof of {proof.index} is of another entry")
    expect(checkpoint.size in signers, f"the proof of {proof.index} has an unknown checkpoint")
    for one in (signers[checkpoint.size], *witnesses):
        signed = one.time_of(checkpoint)
        expect(signed, f"{one.name} has not signed the proof of entry {proof.index}")
    return proof.index


def check_files_beside(directory, lines, checkpoints, signers):
    """The manifest and the first key, after all that is signed."""
    manifest = json.loads((directory / "manifest.json").read_text())
    root = c2sp.root_of([c2sp.leaf_hash(line) for line in lines]).hex()
    said = (manifest["entries"], manifest["root"], manifest["checkpoints"])
    expect(said == (len(lines), root, sorted(checkpoints)), "the manifest is of another trail")
    for file in manifest["files"]:
        data = (directory / "trail" / file["name"]).read_bytes()
        is_same = (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
        expect(is_same, f"{file['name']} is not what the manifest says")
    first = signer_file(directory / "public-key.txt", ED25519)
    expect(first == signers[min(signers)], "public-key.txt is not the key of the genesis")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--proof", type=Path, action="append", default=[])
    parser.add_argument("--witness", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    try:
        witnesses = [signer_file(path, COSIGNATURE_ED25519) for path in arguments.witness]
        found = check(arguments.directory, arguments.proof, witnesses)
    except Disagreement as disagreement:
        found = {"disagreement": str(disagreement)}
    except (KeyError, TypeError, ValueError) as error:
        found = {"disagreement": f"something is not even JSON with the right fields: {error!r}"}
    print(json.dumps(found))
    sys.exit("disagreement" in found)


if __name__ == "__main__":
    main()
