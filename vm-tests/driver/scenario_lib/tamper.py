"""Changes to a private copy of the disk, as somebody with the stick in hands could make them.

The copy is `state_dir/disk.raw` of a machine, which boots from it when it is started next. (In NixOS the
start script of the machine takes that file where it exists.)
"""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from scenario_lib import gpt, image, initrd, intruder, uki
from scenario_lib.gpt import Partition
from scenario_lib.interface import Machine
from scenario_lib.programs import media_verify

UKI_PATH = "EFI/BOOT/BOOTX64.EFI"
# Where the UKI is in a disk with another loader.
MOVED_PATH = "EFI/sesame.efi"
# systemd's programs for the firmware, of the package systemd-boot-efi.
EFI_PROGRAMS = Path(os.environ.get("SESAME_EFI_PROGRAMS", "/usr/lib/systemd/boot/efi"))
# What `sesame media verify` ends with where a medium is not the one of its manifest.
TAMPERED = 26


def private_copy(machine: Machine) -> Path:
    """A fresh copy of the disk, which the machine boots from at its next start."""
    copy = machine.state_dir / "disk.raw"
    # In the store of Nix nobody may write to a file, and its mode would be copied.
    command = ["cp", "--sparse=always", "--reflink=auto", "--no-preserve=mode", str(image.disk()), str(copy)]
    subprocess.run(command, check=True)
    return copy


def changed_copy(machine: Machine, alteration: Callable[[Path], None]) -> None:
    """A fresh copy, changed; whoever holds it against the manifest on another machine is told."""
    disk = private_copy(machine)
    alteration(disk)
    status, said = media_verify(disk, image.manifest())
    if status != TAMPERED:
        raise AssertionError(f"`sesame media verify` takes the changed disk for the right one: {said}")


def flip_byte(disk: Path, partition: Partition, offset: int) -> None:
    """Inverts the byte at an offset within a partition."""
    if not 0 <= offset < partition.size:
        raise ValueError(f"{offset} is outside of a partition of {partition.size} bytes")
    at = partition.offset + offset
    with disk.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))


def truncate(disk: Path, size: int) -> None:
    """Cuts the disk off after `size` bytes, rounded down to whole sectors."""
    os.truncate(disk, size - size % gpt.SECTOR)


def edit_uki(disk: Path, edit: Callable[[bytearray], None]) -> None:
    """Changes the UKI on the ESP, in place."""
    content = bytearray(esp_read(disk, UKI_PATH))
    edit(content)
    esp_write(disk, UKI_PATH, bytes(content))


def flip_byte_of_section(disk: Path, name: str, offset: int) -> None:
    """Inverts the byte at an offset within a section of the UKI, such as `.linux` or `.cmdline`."""

    def flip(content: bytearray) -> None:
        section = uki.sections(bytes(content))[name]
        if not 0 <= offset < section.size:
            raise ValueError(f"{offset} is outside of a section of {section.size} bytes")
        content[section.offset + offset] ^= 0xFF

    edit_uki(disk, flip)


def replace_in_command_line(disk: Path, old: str, new: str) -> None:
    """Replaces text in the UKI's command line by text of the same length."""
    if len(old) != len(new):
        raise ValueError("the command line has no room for a text of another length")

    def replace(content: bytearray) -> None:
        section = uki.sections(bytes(content))[".cmdline"]
        end = section.offset + section.size
        at = content.find(old.encode(), section.offset, end)
        if at < 0:
            raise ValueError(f"the command line has no {old!r}")
        content[at : at + len(old)] = new.encode()

    edit_uki(disk, replace)


def other_digit(digits: str) -> str:
    """The same hexadecimal digits but for the last."""
    return digits[:-1] + ("0" if digits[-1] != "0" else "1")


def addon(*sections: str) -> bytes:
    """An addon for systemd-stub, of ukify's options: `--cmdline=ro`, `--initrd=FILE`."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "addon.efi"
        command = ["ukify", "build", *sections, f"--stub={EFI_PROGRAMS}/addonx64.efi.stub", f"--output={file}"]
        subprocess.run(command, check=True, capture_output=True)
        return file.read_bytes()


def intruder_addon() -> bytes:
    """An addon with nothing but an initrd, whose first program is somebody else's."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(initrd.archive({"init": (0o755, intruder.program())}))
        file.flush()
        return addon(f"--initrd={file.name}")


def other_loader(disk: Path, options: str) -> None:
    """Puts a boot loader in the UKI's place, which starts it with another command line."""
    content = esp_read(disk, UKI_PATH)
    esp_delete(disk, UKI_PATH)
    esp_write(disk, UKI_PATH, (EFI_PROGRAMS / "systemd-bootx64.efi").read_bytes())
    esp_write(disk, MOVED_PATH, content)
    entry = f"title Sesame\nefi /{MOVED_PATH}\noptions {options}\n"
    esp_write(disk, "loader/entries/sesame.conf", entry.encode())


def esp_read(disk: Path, path: str) -> bytes:
    """A file of the ESP."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "file"
        _mtools(disk, "mcopy", f"::{path}", str(file))
        return file.read_bytes()


def esp_write(disk: Path, path: str, content: bytes) -> None:
    """Puts a file onto the ESP, with its directories, in place of one that is there."""
    parents = [str(parent) for parent in reversed(Path(path).parents) if parent != Path()]
    for parent in parents:
        _mtools(disk, "mmd", "-D", "s", f"::{parent}", may_fail=True)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "file"
        file.write_bytes(content)
        _mtools(disk, "mcopy", "-o", str(file), f"::{path}")


def esp_delete(disk: Path, path: str) -> None:
    """Takes a file off the ESP."""
    _mtools(disk, "mdel", f"::{path}")


def _mtools(disk: Path, program: str, *arguments: str, may_fail: bool = False) -> None:
    """Runs a program of mtools on the disk's ESP; it speaks FAT without mounting anything."""
    offset = gpt.partition_of_type(disk, gpt.ESP).offset
    options = [arguments[0]] if arguments[0] == "-o" else []
    rest = arguments[len(options) :]
    command = [program, *options, "-i", f"{disk}@@{offset}", *rest]
    # It would ask on the terminal otherwise.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not may_fail:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
