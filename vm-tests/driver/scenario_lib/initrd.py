"""Archives behind an initrd, whose files replace those of its own.

The form is cpio's newc (Linux, Documentation/driver-api/early-userspace/buffer-format.rst); the kernel unpacks
what follows on a boundary of four bytes.
"""

from stat import S_IFREG

COMMAND_LINE = "usr/lib/sesame/kernel-command-line"
MAGIC, TRAILER = b"070701", "TRAILER!!!"


def with_command_line(initrd: bytes, line: str) -> bytes:
    """An initrd that is content with this kernel command line (crates/initrd-guard)."""
    return initrd + bytes(-len(initrd) % 4) + archive({COMMAND_LINE: (0o444, f"{line}\n".encode())})


def archive(files: dict[str, tuple[int, bytes]]) -> bytes:
    """Regular files of root: by name their mode and content. Their directories must be there."""
    entries = [
        _entry(number, name, S_IFREG | mode, content)
        for number, (name, (mode, content)) in enumerate(files.items(), 1)
    ]
    return b"".join(entries) + _entry(0, TRAILER, 0, b"")


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device and rdev in two parts each, size of the name, checksum
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = MAGIC + b"".join(b"%08x" % field for field in fields) + path
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
