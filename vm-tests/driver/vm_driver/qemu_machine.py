"""One machine in QEMU: power, console, monitor, and the shell of a directly booted one."""

import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scenario_lib import uki
from scenario_lib.initrd import with_command_line
from vm_driver import backdoor, command_line, disks, process, tpm
from vm_driver.command_line import Accelerator, DirectBoot, Programs, Sockets
from vm_driver.console import Console
from vm_driver.errors import MachineError
from vm_driver.log import Logger
from vm_driver.machine import BaseMachine
from vm_driver.qmp import Qmp
from vm_driver.scenario import MachineSpec
from vm_driver.shell import Shell

# A scenario that puts a disk there boots from it; scenario_lib.tamper does. For a direct boot an initrd.
OWN_DISK, OWN_INITRD = "disk.raw", "initrd.img"


@dataclass(frozen=True)
class Environment:
    """What all machines of a run share."""

    programs: Programs
    accelerator: Accelerator
    disk: Path
    uki: Path
    disks_dir: Path


class QemuMachine(BaseMachine):
    """A machine of a scenario. `booted` and `connected` mean what they mean in the NixOS test driver."""

    def __init__(
        self,
        spec: MachineSpec,
        environment: Environment,
        logger: Logger,
        state_dir: Path,
        out_dir: Path,
    ) -> None:
        super().__init__(spec.name, logger, state_dir, out_dir)
        state_dir.mkdir(parents=True)
        self.spec = spec
        self.booted = False
        self.connected = False
        self.process: subprocess.Popen[bytes] | None = None
        self.pid: int | None = None
        self.console_log = state_dir / "console.log"
        self.journal_log = state_dir / "journal.log"
        self._environment = environment
        self._running: _Running | None = None
        # Of the last time that it was on, so that what it said last can still be asked for.
        self._console: Console | None = None

    def is_up(self) -> bool:
        return self.booted and self.connected

    def start(self, allow_reboot: bool = False) -> None:
        """Switches the machine on; does not wait until it has booted."""
        if self.booted:
            return
        with self.nested("start"):
            self._running = self._start(allow_reboot)
        self.process = self._running.qemu
        self.pid = self.process.pid
        self.booted, self.connected = True, False

    def connect(self) -> None:
        """Waits for the root shell, and starts the machine if it is off."""
        if self.connected:
            return
        self.start()
        shell = self._shell()
        with self.nested("waiting for the VM to finish booting"):
            shell.wait_until_ready()
        self.connected = True

    def execute(
        self,
        command: str,
        check_return: bool = True,
        check_output: bool = True,
        timeout: int | None = 900,
    ) -> tuple[int, str]:
        """Runs a command in bash as root, with `set -euo pipefail`: its status and what it printed.

        Without `check_return` the status is -1, without `check_output` it is -2 and nothing is waited
        for. A command that is not done after `timeout` seconds has status 124.
        """
        self.connect()
        return self._shell().run(command, check_return=check_return, check_output=check_output, timeout=timeout)

    def wait_for_console_text(self, regex: str, timeout: int | None = None) -> None:
        """Waits until the console shows what matches, after what the last wait found."""
        with self.nested(f"waiting for {regex} to appear on console"):
            self._last_console().wait_for(regex, timeout)

    def get_console_log(self) -> str:
        """What the console has shown since the machine was switched on."""
        return self._last_console().text()

    def send_console(self, chars: str) -> None:
        """Types on the serial line."""
        stdin = self._started().qemu.stdin
        if stdin is None:
            raise MachineError(f"{self.name} has no serial line")
        try:
            stdin.write(chars.encode())
            stdin.flush()
        except OSError as error:
            raise MachineError(f"{self.name} is off: {error}") from error

    def send_monitor_command(self, command: str) -> str:
        """Runs a command of QEMU's monitor, such as `dump-guest-memory FILE`; what it prints."""
        return self._started().qmp.monitor(command)

    def send_key(self, key: str, delay: float | None = 0.01, log: bool | None = True) -> None:
        """Presses keys on the machine's keyboard, such as `ctrl-alt-delete`."""
        if log:
            self.log(f"sending key {key!r}")
        self.send_monitor_command(f"sendkey {key}")
        if delay is not None:
            time.sleep(delay)

    def shutdown(self) -> None:
        """Switches the machine off in order, from its shell, and waits for it."""
        if not self.booted:
            return
        with self.nested("shutdown"):
            self._shell().send("systemctl poweroff")
            self._wait_for_end()

    def wait_for_shutdown(self) -> None:
        """Waits until the machine is off; something else must have told it to."""
        if not self.booted:
            return
        with self.nested("waiting for the VM to power off"):
            self._wait_for_end()

    def crash(self) -> None:
        """Pulls the plug."""
        if not self.booted:
            return
        with self.nested("crash"):
            running = self._started()
            # QEMU may be gone before it has answered.
            try:
                running.qmp.execute("quit")
            except (MachineError, OSError):
                running.qemu.kill()
            self._wait_for_end()

    def reboot(self) -> None:
        """Presses Ctrl+Alt+Delete; the machine must have been started with `allow_reboot`."""
        self.send_key("ctrl-alt-delete")
        self.connected = False

    def release(self) -> None:
        """Ends everything of this machine, whatever state it is in."""
        running, self._running = self._running, None
        self.booted = self.connected = False
        if running is not None:
            process.stop(running.qemu)
            running.close()

    def _start(self, allow_reboot: bool) -> "_Running":
        spec, environment = self.spec, self._environment
        own = self.state_dir / OWN_DISK
        direct = self._direct_boot() if spec.boot == "direct" else None
        # What is on it is undone, in reverse, unless all of it succeeds.
        with ExitStack() as undo:
            log = undo.enter_context((self.state_dir / "qemu.log").open("ab"))
            # The far ends are QEMU's alone: while we held them, its death would go unnoticed.
            far_ends = ExitStack()
            undo.enter_context(far_ends)
            qmp, qmp_far = _socket_pair(undo, far_ends)
            shell, shell_far = _socket_pair(undo, far_ends) if direct else (None, None)
            chip, chip_far = None, None
            if spec.tpm:
                chip, chip_far = tpm.start(environment.programs.swtpm, self.state_dir)
                undo.callback(process.stop, chip)
                far_ends.enter_context(chip_far)
            command = command_line.qemu(
                spec,
                programs=environment.programs,
                accelerator=environment.accelerator,
                root=own if own.exists() else environment.disk,
                disks=[(disk, disks.ensure(disk, environment.disks_dir)) for disk in spec.disks],
                sockets=Sockets(qmp_far.fileno(), _fileno(shell_far), _fileno(chip_far)),
                direct=direct,
                variables=self._firmware_variables(),
                journal=self.journal_log,
                allow_reboot=allow_reboot,
            )
            log.write(f"{shlex.join(command)}\n".encode())
            log.flush()
            qemu = process.spawn(
                command,
                directory=self.state_dir,
                log=log,
                pipe=True,
                pass_fds=[end.fileno() for end in (qmp_far, shell_far, chip_far) if end is not None],
                # The overlay of the root disk is a file there.
                environment={**os.environ, "TMPDIR": str(self.state_dir)},
            )
            undo.callback(process.stop, qemu)
            far_ends.close()
            monitor = self._monitor(qmp)
            stream = undo.enter_context(self.console_log.open("a", buffering=1))
            self._console = Console(stream, lambda line: self.logger.log_serial(line, self.name))
            reader = threading.Thread(target=_read_console, args=(qemu, self._console), daemon=True)
            reader.start()
            undo.pop_all()
        files: list[IO[bytes] | IO[str]] = [log, stream]
        return _Running(qemu, monitor, reader, None if shell is None else Shell(shell), chip, files)

    def _monitor(self, connection: socket.socket) -> Qmp:
        """The first word over QMP is also the sign that QEMU accepted its command line."""
        try:
            return Qmp(connection)
        except (MachineError, OSError) as error:
            said = (self.state_dir / "qemu.log").read_text(errors="replace").splitlines()
            raise MachineError(f"QEMU did not start: {said[-1]}") from error

    def _direct_boot(self) -> DirectBoot:
        image = self._environment.uki.read_bytes()
        kernel, initrd, own = (self.state_dir / name for name in ("kernel", "initrd", OWN_INITRD))
        kernel.write_bytes(uki.content(image, ".linux"))
        words = backdoor.command_line(uki.command_line(image), self.spec.append)
        shipped = with_command_line(uki.content(image, ".initrd"), words)
        initrd.write_bytes(own.read_bytes() if own.exists() else shipped)
        return DirectBoot(kernel, initrd, words)

    def _firmware_variables(self) -> Path:
        """The machine's own variables; made once, so that they outlive its restarts."""
        variables = self.state_dir / "variables.fd"
        if self.spec.boot == "media" and not variables.exists():
            shutil.copyfile(self._environment.programs.firmware / "OVMF_VARS_4M.fd", variables)
        return variables

    def _started(self) -> "_Running":
        if self._running is None:
            raise MachineError(f"{self.name} is off; start() it")
        return self._running

    def _last_console(self) -> Console:
        if self._console is None:
            raise MachineError(f"{self.name} has not been on yet; start() it")
        return self._console

    def _shell(self) -> Shell:
        shell = self._started().shell
        if shell is None:
            raise MachineError(
                f"{self.name} boots the untouched media, which have no root shell; "
                'use send_console and wait_for_console_text, or boot = "direct"'
            )
        return shell

    def _wait_for_end(self) -> None:
        running = self._started()
        running.qemu.wait()
        running.close()
        self._running = None
        self.pid = None
        self.booted = self.connected = False


@dataclass
class _Running:
    """What there is between power-on and power-off."""

    qemu: subprocess.Popen[bytes]
    qmp: Qmp
    reader: threading.Thread
    shell: Shell | None
    tpm: subprocess.Popen[bytes] | None
    files: list[IO[bytes] | IO[str]]

    def close(self) -> None:
        self.reader.join()
        self.qmp.close()
        if self.shell is not None:
            self.shell.close()
        if self.tpm is not None:
            # It ends with QEMU, and stores what it holds on its way.
            process.stop(self.tpm)
        for file in (*self.files, self.qemu.stdin, self.qemu.stdout):
            # It would still write keys that the machine did not take any more.
            with suppress(OSError):
                if file is not None:
                    file.close()


def _read_console(qemu: subprocess.Popen[bytes], console: Console) -> None:
    assert qemu.stdout is not None
    while data := os.read(qemu.stdout.fileno(), 65536):
        console.feed(data)
    console.end()


def _socket_pair(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    ours.callback(near.close)
    theirs.callback(far.close)
    return near, far


def _fileno(end: socket.socket | None) -> int | None:
    return None if end is None else end.fileno()
