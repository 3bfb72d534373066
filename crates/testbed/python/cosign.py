"""A witness with new keys of its own: cosign.py DIRECTORY NAME KEY_FILE

It checks an exported trail as check.py does, adds its two signatures to the newest checkpoint, and
writes its public keys to KEY_FILE.
"""

import struct
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

import c2sp
from check import check


def main():
    directory, name, key_file = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    check(directory)
    note = max((directory / "trail").glob("checkpoint-*"))
    data = note.read_bytes()
    checkpoint, now = c2sp.parse_checkpoint(data), int(time.time())
    vkeys = []
    for key_type, library in (
        (c2sp.COSIGNATURE_ED25519, Ed25519PrivateKey),
        (c2sp.COSIGNATURE_ML_DSA_44, MLDSA44PrivateKey),
    ):
        secret = library.generate()
        key = c2sp.Key(name, key_type, secret.public_key().public_bytes_raw())
        signature = secret.sign(c2sp.signed_message(key, checkpoint, now))
        line = key.id + struct.pack(">Q", now) + signature
        data += f"\u2014 {name} {c2sp.to_base64(line)}\n".encode()
        vkeys.append(f"{key}\n")
    note.write_bytes(data)
    key_file.write_text("".join(vkeys))


if __name__ == "__main__":
    main()
