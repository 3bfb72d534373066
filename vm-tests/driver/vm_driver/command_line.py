"""The command line of QEMU for one machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vm_driver import backdoor
from vm_driver.scenario import Disk, MachineSpec

Accelerator = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class Programs:
    """What runs a machine: names to look up in PATH, or paths."""

    qemu: str = "qemu-system-x86_64"
    swtpm: str = "swtpm"
    # The directory of OVMF_CODE_4M.fd and OVMF_VARS_4M.fd, from Debian's package ovmf.
    firmware: Path = Path("/usr/share/OVMF")


@dataclass(frozen=True)
class Sockets:
    """Our ends' other ends: descriptors that QEMU inherits."""

    qmp: int
    shell: int | None
    tpm: int | None


@dataclass(frozen=True)
class DirectBoot:
    """What the firmware and systemd-stub would have taken from the UKI."""

    kernel: Path
    initrd: Path
    command_line: str


def acceleration(accelerator: Accelerator) -> list[str]:
    """Flags for the processor. 5-level paging and SMM cost an emulated machine time, and gain nothing."""
    if accelerator == "kvm":
        return ["-machine", "q35,smm=off", "-accel", "kvm", "-cpu", "host"]
    emulation = ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off"]
    return ["-machine", "q35,smm=off", *emulation]


def qemu(
    spec: MachineSpec,
    *,
    programs: Programs,
    accelerator: Accelerator,
    root: Path,
    disks: list[tuple[Disk, Path]],
    sockets: Sockets,
    direct: DirectBoot | None,
    variables: Path,
    journal: Path,
    allow_reboot: bool,
) -> list[str]:
    """The whole command. `variables` is the machine's own copy of the firmware's."""
    command = [programs.qemu, "-name", spec.name, "-no-user-config", "-nodefaults"]
    command += acceleration(accelerator)
    command += ["-smp", "2", "-m", str(spec.memory_mb)]
    # Without a display the ceremony console is the serial line; without a network card nothing leaks.
    command += ["-display", "none", "-vga", "none", "-nic", "none"]
    command += ["-device", "virtio-rng-pci"]
    command += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    command += ["-chardev", f"socket,id=qmp,fd={sockets.qmp}", "-mon", "chardev=qmp,mode=control"]
    if not allow_reboot:
        command += ["-no-reboot"]
    # What the guest writes to the disk that it booted from is gone when it is off.
    # A kernel that is given has the first place in the boot order already.
    first = ",bootindex=0" if direct is None else ""
    command += drive("root", root, snapshot=True, options=first)
    for disk, path in disks:
        command += drive(disk.name, path, snapshot=False)
    if sockets.tpm is not None:
        command += ["-chardev", f"socket,id=tpm,fd={sockets.tpm}"]
        command += ["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]
    if direct is None:
        command += firmware(programs.firmware, variables)
    else:
        command += ["-kernel", str(direct.kernel), "-initrd", str(direct.initrd)]
        command += ["-append", direct.command_line]
    if sockets.shell is not None:
        command += ["-chardev", f"socket,id=shell,fd={sockets.shell}", "-serial", "chardev:shell"]
        # With an interrupt of its own, which the third port would share with the console.
        command += ["-chardev", f"file,id=journal,path={escaped(str(journal))},append=on"]
        command += ["-device", "isa-serial,chardev=journal,index=2,irq=5"]
    for value in smbios(spec):
        command += ["-smbios", f"type=11,value={escaped(value)}"]
    return command


def smbios(spec: MachineSpec) -> list[str]:
    """The strings of SMBIOS type 11: the scenario's, and the door of a directly booted machine."""
    door = backdoor.smbios_strings() if spec.boot == "direct" else []
    return [*spec.smbios, *door]


def drive(name: str, path: Path, *, snapshot: bool, options: str = "") -> list[str]:
    """A disk of that serial number: /dev/disk/by-id/virtio-NAME."""
    mode = "on" if snapshot else "off"
    return [
        "-drive",
        f"if=none,id=drive-{name},format=raw,file={escaped(str(path))},snapshot={mode},cache=writeback",
        "-device",
        f"virtio-blk-pci,drive=drive-{name},serial={name}{options}",
    ]


def firmware(directory: Path, variables: Path) -> list[str]:
    """UEFI firmware as two flash devices: the code, and the machine's own variables."""
    code = escaped(str(directory / "OVMF_CODE_4M.fd"))
    return [
        "-drive",
        f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
        "-drive",
        f"if=pflash,unit=1,format=raw,file={escaped(str(variables))}",
    ]


def escaped(value: str) -> str:
    """A value within a list of QEMU's options."""
    return value.replace(",", ",,")
