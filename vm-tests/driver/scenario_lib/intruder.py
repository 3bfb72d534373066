"""A first program of somebody else's. It ends at once, and the kernel panics with its exit status.

An ELF file (gABI; x86-64 psABI) of one segment, made here: it needs no compiler and no file beside it, and the
kernel's panic is seen on every console.
"""

from struct import pack

STATUS = 42
# What the kernel prints: wait(2) has the exit status in the second byte.
SEEN = rf"Attempted to kill init! exitcode=0x{STATUS << 8:08x}"

ADDRESS = 0x400000
HEADERS = 64 + 56
# mov edi, STATUS; mov eax, 60; syscall: exit(STATUS)
CODE = b"\xbf" + pack("<I", STATUS) + b"\xb8" + pack("<I", 60) + b"\x0f\x05"


def program() -> bytes:
    """The file."""
    size = HEADERS + len(CODE)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + pack("<HHIQQQIHHHHHH", 2, 62, 1, ADDRESS + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = pack("<IIQQQQQQ", 1, 5, 0, ADDRESS, ADDRESS, size, size, 0x1000)
    return header + segment + CODE
