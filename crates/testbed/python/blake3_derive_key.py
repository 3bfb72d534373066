"""BLAKE3 in its key derivation mode, after section 2 of its specification, plainly and slowly.

The package `blake3` would be no second opinion: it wraps the crate that Sesame has.
"""

from struct import pack, unpack

IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip
CHUNK_START, CHUNK_END, PARENT, ROOT, CONTEXT, MATERIAL = 1, 2, 4, 8, 32, 64
CHUNK, BLOCK = 1024, 64


def derive_key(context: str, material: bytes) -> bytes:
    key = digest(context.encode(), IV, CONTEXT)
    return digest(material, unpack("<8I", key), MATERIAL)


def digest(data, key, mode):
    chaining, block, counter, length, flags = last_compression(data, key, mode, 0)
    return pack("<8I", *compress(chaining, block, counter, length, flags | ROOT))


def last_compression(data, key, mode, chunk):
    """What the topmost node over these bytes compresses; which flags it gets, the caller knows."""
    if len(data) <= CHUNK:
        return last_of_chunk(data, key, mode, chunk)
    left = CHUNK
    while left * 2 < len(data):
        left *= 2
    parts = ((data[:left], chunk), (data[left:], chunk + left // CHUNK))
    children = [compress(*last_compression(part, key, mode, first)) for part, first in parts]
    return key, children[0] + children[1], 0, BLOCK, mode | PARENT


def last_of_chunk(data, key, mode, chunk):
    chaining, flags = key, mode | CHUNK_START
    while len(data) > BLOCK:
        chaining = compress(chaining, words(data[:BLOCK]), chunk, BLOCK, flags)
        data, flags = data[BLOCK:], mode
    return chaining, words(data), chunk, len(data), flags | CHUNK_END


def words(block):
    return unpack("<16I", block.ljust(BLOCK, b"\0"))


def compress(chaining, block, counter, length, flags):
    v = [*chaining, *IV[:4], counter & 0xFFFFFFFF, counter >> 32, length, flags]
    for _ in range(7):
        for (a, b, c, d), x, y in zip(COLUMNS_AND_DIAGONALS, block[::2], block[1::2]):
            for word, first, second in ((x, 16, 12), (y, 8, 7)):
                v[a] = (v[a] + v[b] + word) & 0xFFFFFFFF
                v[d] = rotate(v[d] ^ v[a], first)
                v[c] = (v[c] + v[d]) & 0xFFFFFFFF
                v[b] = rotate(v[b] ^ v[c], second)
        block = tuple(block[place] for place in PERMUTATION)
    return tuple(low ^ high for low, high in zip(v[:8], v[8:]))


def rotate(word, bits):
    return (word >> bits | word << 32 - bits) & 0xFFFFFFFF
