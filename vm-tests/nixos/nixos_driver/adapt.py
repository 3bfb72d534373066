"""What our driver's machines do and those of the NixOS test driver don't, added to the latter.

- A prompt is an unfinished line, which their `wait_for_console_text` never sees. The console is read here as
  ours reads it (`vm_driver.console`).
- Their `copy_from_host` and `copy_from_machine` need a directory that is shared with the host by 9p, for which
  the appliance has no driver. Here files go over the shell.
- Their `shutdown` calls a program `poweroff`, which is not in every image.
"""

import base64
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import IO, Any, Protocol

from scenario_lib import image
from vm_driver import acceleration, errors, scenario
from vm_driver.command_line import Programs
from vm_driver.console import Console

# An argument of bash may have 128 KiB (MAX_ARG_STRLEN of Linux).
COPY_CHUNK = 64 * 1024


class Shell(Protocol):
    """What copying needs of a machine."""

    out_dir: Path

    def succeed(self, *commands: str) -> str: ...


def adapt(driver: Any, name: str, assertion_failed: type[Exception], environment: dict[str, str]) -> None:
    """Changes the driver's machines (`QemuMachine`) for a scenario; `assertion_failed` is its error.

    The environment is that of the scenario and of the start scripts; its PATH is put before the driver's.
    """
    path = [environment["PATH"], os.environ.get("PATH", "")]
    os.environ.update(environment, PATH=os.pathsep.join(path))
    # Asked once for all machines, since it takes a while where KVM is there and doesn't work.
    os.environ["SESAME_ACCELERATOR"] = acceleration.choose(Programs(), image.uki())
    for machine in driver.machines:
        _read_console(machine, assertion_failed)
        machine.copy_from_host = _copier_from_host(machine)
        machine.copy_from_machine = machine.copy_from_vm = _copier_from_machine(machine)
        machine.shutdown = _switcher_off(machine)
    if not driver.keep_machine_state:
        _forget_disks(name, driver.machines[0].state_dir.parent)


class Lines:
    """A machine's standard output for the driver, which reads lines; the console sees it first."""

    def __init__(self, output: IO[bytes], console: Console) -> None:
        self._output = output
        self._console = console

    def __iter__(self) -> Iterator[bytes]:
        unfinished = b""
        while data := os.read(self._output.fileno(), 65536):
            self._console.feed(data)
            *lines, unfinished = (unfinished + data).split(b"\n")
            yield from (line + b"\n" for line in lines)
        self._console.end()
        if unfinished:
            yield unfinished

    def read(self) -> bytes:
        """What is left, when QEMU has not even started."""
        return self._output.read()


def _forget_disks(name: str, directory: Path) -> None:
    """Disks are beside the directories of machines, and the driver only makes the latter anew."""
    chosen = scenario.load(Path(os.environ["SESAME_SCENARIOS"]), name)
    for disk in (disk for spec in chosen.machines for disk in spec.disks):
        (directory / "disks" / f"{disk.name}.raw").unlink(missing_ok=True)


def _read_console(machine: Any, assertion_failed: type[Exception]) -> None:
    run = machine.start_command.run

    def start(*arguments: Any, **named: Any) -> Popen[bytes]:
        process: Popen[bytes] = run(*arguments, **named)
        assert process.stdout is not None
        # The driver keeps a log of its own, and knows no end of ours.
        nowhere = Path(os.devnull).open("w")  # noqa: SIM115
        machine.console = Console(nowhere, lambda _line: None)
        process.stdout = Lines(process.stdout, machine.console)  # type: ignore[assignment]
        return process

    def wait_for_console_text(regex: str, timeout: int | None = None) -> None:
        with machine.nested(f"waiting for {regex} to appear on console"):
            try:
                machine.console.wait_for(regex, timeout)
            except (errors.RequestedAssertionFailed, errors.MachineError) as error:
                raise assertion_failed(str(error)) from error

    machine.start_command.run = start
    machine.wait_for_console_text = wait_for_console_text
    machine.get_console_log = lambda: machine.console.text()


def _copier_from_host(machine: Shell) -> Any:
    def copy_from_host(source: str, target: str) -> None:
        """A file of the host, with its access bits."""
        origin, quoted = Path(source), shlex.quote(target)
        mode = f"{origin.stat().st_mode & 0o7777:o}"
        machine.succeed(f"mkdir -p $(dirname {quoted}) && : > {quoted}")
        with origin.open("rb") as file:
            while chunk := file.read(COPY_CHUNK):
                machine.succeed(f"echo {base64.b64encode(chunk).decode()} | base64 -d >> {quoted}")
        machine.succeed(f"chmod {mode} {quoted}")

    return copy_from_host


def _copier_from_machine(machine: Shell) -> Any:
    def copy_from_machine(source: str, target_dir: str = "") -> None:
        """A file of the machine, to the output directory."""
        target = machine.out_dir / target_dir / Path(source).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(machine.succeed(f"base64 -w 0 {shlex.quote(source)}")))

    return copy_from_machine


def _switcher_off(machine: Any) -> Any:
    def shutdown() -> None:
        """Switches the machine off in order, and waits for it."""
        if machine.booted:
            machine.shell.send(b"systemctl poweroff\n")
            machine.wait_for_shutdown()

    return shutdown
