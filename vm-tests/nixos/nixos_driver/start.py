"""`python3 -m nixos_driver.start SCENARIO MACHINE OPTION…`: becomes the QEMU of a machine.

The options are those that the NixOS test driver gives to every start script: its monitor, its shell and the
serial line. The rest of the command line is that of our own driver, from the same TOML file.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from nixos_driver import root_shell
from scenario_lib import image, uki
from scenario_lib.initrd import with_command_line
from vm_driver import backdoor, command_line, disks, scenario, tpm
from vm_driver.command_line import DirectBoot, Programs, Sockets
from vm_driver.qemu_machine import OWN_DISK, OWN_INITRD
from vm_driver.scenario import MachineSpec

# Ours, in whose place the driver has its own: by the options and what their values begin with.
DRIVERS_OWN: Final = (
    ("-chardev", "stdio,id=console"),
    ("-serial", "chardev:console"),
    ("-chardev", "socket,id=qmp"),
    ("-mon", "chardev=qmp"),
    ("-chardev", "socket,id=shell"),
    ("-device", "virtio-rng-pci"),
    ("-display", "none"),
)
# The driver's shell is on a port for which the appliance has no driver; here it is a serial line.
NOT_ON_THE_APPLIANCE: Final = (("-device", "virtio-serial"), ("-device", "virtconsole,chardev=shell"))


def main(name: str, machine: str, options: list[str]) -> None:
    chosen = scenario.load(Path(os.environ["SESAME_SCENARIOS"]), name)
    spec = next(spec for spec in chosen.machines if spec.name == machine)
    command = qemu(spec, Path.cwd())
    # The driver's come first: its serial line is the first port, the shell's the second.
    merged = [command[0], *without(options, NOT_ON_THE_APPLIANCE), *without(command[1:], DRIVERS_OWN)]
    os.execvp(merged[0], merged)


def qemu(spec: MachineSpec, state_dir: Path) -> list[str]:
    """Our driver's command line for a machine whose directory this is."""
    programs = Programs(firmware=Path(os.environ["SESAME_FIRMWARE"]))
    own = state_dir / OWN_DISK
    direct = direct_boot(spec, state_dir) if spec.boot == "direct" else None
    chip = None
    if spec.tpm:
        _, end = tpm.start(programs.swtpm, state_dir)
        os.set_inheritable(end.fileno(), True)
        chip = end.detach()
    root_shell.use()
    return command_line.qemu(
        spec,
        programs=programs,
        accelerator="kvm" if os.environ["SESAME_ACCELERATOR"] == "kvm" else "tcg",
        root=own if own.exists() else image.disk(),
        disks=[(disk, disks.ensure(disk, state_dir.parent / "disks")) for disk in spec.disks],
        # Those of QMP and of the shell are the driver's.
        sockets=Sockets(qmp=0, shell=0 if direct else None, tpm=chip),
        direct=direct,
        variables=firmware_variables(spec, programs, state_dir),
        journal=state_dir / "journal.log",
        # The driver says itself whether it may.
        allow_reboot=True,
    )


def direct_boot(spec: MachineSpec, state_dir: Path) -> DirectBoot:
    """What firmware and systemd-stub would have taken from the UKI, with a line that lets the shell in."""
    content = image.uki().read_bytes()
    kernel, initrd, own = (state_dir / name for name in ("kernel", "initrd", OWN_INITRD))
    kernel.write_bytes(uki.content(content, ".linux"))
    words = backdoor.command_line(uki.command_line(content), spec.append)
    shipped = with_command_line(uki.content(content, ".initrd"), words)
    initrd.write_bytes(own.read_bytes() if own.exists() else shipped)
    return DirectBoot(kernel, initrd, words)


def firmware_variables(spec: MachineSpec, programs: Programs, state_dir: Path) -> Path:
    variables = state_dir / "variables.fd"
    if spec.boot == "media" and not variables.exists():
        shutil.copyfile(programs.firmware / "OVMF_VARS_4M.fd", variables)
        variables.chmod(0o600)
    return variables


def without(options: list[str], pairs: tuple[tuple[str, str], ...]) -> list[str]:
    """Options without those that are given as an option and the beginning of its value."""
    left: list[str] = []
    rest = iter(options)
    for option in rest:
        value = next(rest, None) if option in {name for name, _ in pairs} else None
        if value is None:
            left.append(option)
        elif not any(option == name and value.startswith(begin) for name, begin in pairs):
            left += [option, value]
    return left


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
