"""A machine's TPM, as the boot attestation shows it and as a program at the console can change it."""

import re
from struct import pack

ZERO = "0" * 64


def registers(log: str) -> dict[str, str]:
    """The registers that the boot attestation shows, by their numbers."""
    return dict(re.findall(r"^(?:pass|warn|fail|    )  PCR (\d+) +([0-9a-f]{64})$", log, re.MULTILINE))


def extend_command(register: int) -> str:
    """A line for bash that extends a register, as whatever starts a system may do (TPM2_PCR_Extend of the TPM 2.0
    Library, Part 3). It has no line feed in it, at which bash would cut it in two."""
    authorization = pack(">IHBH", 0x40000009, 0, 0, 0)
    digest = pack(">IH", 1, 0x000B) + b"\x11" * 32
    body = pack(">III", 0x182, register, len(authorization)) + authorization + digest
    command = pack(">HI", 0x8002, 6 + len(body)) + body
    return "printf '" + "".join(f"\\x{byte:02x}" for byte in command) + "' > /dev/tpmrm0"
