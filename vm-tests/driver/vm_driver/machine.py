"""What a scenario may ask of a machine with a shell, as the NixOS test driver has it.

Names, arguments, defaults and meanings are those of `BaseMachine` in nixpkgs
(nixos/lib/test-driver/src/test_driver/machine/__init__.py).
"""

import base64
import re
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

from vm_driver.errors import RequestedAssertionFailed
from vm_driver.log import Logger

# Seconds between two tries.
RETRY_INTERVAL = 1
# What timeout(1) ends with when it had to end a command.
TIMED_OUT = 124
# An argument of bash may have 128 KiB (MAX_ARG_STRLEN of Linux).
COPY_CHUNK = 64 * 1024


def retry(fn: Callable[[bool], bool], timeout_seconds: int = 900) -> None:
    """Calls `fn` every second until it returns True; a last time, with True, when the time is over."""
    start = time.monotonic()
    while time.monotonic() - start < timeout_seconds:
        if fn(False):
            return
        time.sleep(RETRY_INTERVAL)
    if not fn(True):
        raise RequestedAssertionFailed(
            f"timed out after {time.monotonic() - start:.0f} seconds (timeout={timeout_seconds})"
        )


class BaseMachine(ABC):
    """A machine as scenarios see it; how it runs is another class's subject."""

    def __init__(self, name: str, logger: Logger, state_dir: Path, out_dir: Path) -> None:
        self.name = name
        self.logger = logger
        self.state_dir = state_dir
        self.out_dir = out_dir

    @abstractmethod
    def is_up(self) -> bool: ...

    @abstractmethod
    def start(self, allow_reboot: bool = False) -> None: ...

    @abstractmethod
    def wait_for_shutdown(self) -> None: ...

    @abstractmethod
    def execute(
        self,
        command: str,
        check_return: bool = True,
        check_output: bool = True,
        timeout: int | None = 900,
    ) -> tuple[int, str]: ...

    def log(self, msg: str) -> None:
        """Writes a line to the log."""
        self.logger.log(msg, {"machine": self.name})

    def nested(self, msg: str, attrs: dict[str, str] | None = None) -> AbstractContextManager[None]:
        """A step in the log."""
        return self.logger.nested(msg, {"machine": self.name, **(attrs or {})})

    def succeed(self, *commands: str, timeout: int | None = None) -> str:
        """Runs commands that must succeed; what they printed, one after the other."""
        output = ""
        for command in commands:
            with self.nested(f"must succeed: {command}"):
                status, out = self.execute(command, timeout=timeout)
                if status != 0:
                    self.logger.error(f"output: {out}")
                    raise RequestedAssertionFailed(f"command `{command}` failed (exit code {status})")
                output += out
        return output

    def fail(self, *commands: str, timeout: int | None = None) -> str:
        """Runs commands that must fail by themselves; what they printed, one after the other."""
        output = ""
        for command in commands:
            with self.nested(f"must fail: {command}"):
                status, out = self.execute(command, timeout=timeout)
                _within(command, status, timeout)
                if status == 0:
                    self.logger.error(f"output: {out}")
                    raise RequestedAssertionFailed(f"command `{command}` unexpectedly succeeded")
                output += out
        return output

    def wait_until_succeeds(self, command: str, timeout: int = 900) -> str:
        """Repeats a command every second until it succeeds; what it printed then."""
        output = ""

        def succeeds(_last_try: bool) -> bool:
            nonlocal output
            status, output = self.execute(command, timeout=timeout)
            return status == 0

        with self.nested(f"waiting for success: {command}"):
            retry(succeeds, timeout)
        return output

    def wait_until_fails(self, command: str, timeout: int = 900) -> str:
        """Repeats a command every second until it fails; what it printed then."""
        output = ""

        def fails(_last_try: bool) -> bool:
            nonlocal output
            status, output = self.execute(command, timeout=timeout)
            _within(command, status, timeout)
            return status != 0

        with self.nested(f"waiting for failure: {command}"):
            retry(fails, timeout)
        return output

    def sleep(self, secs: int) -> None:
        """Sleeps by the machine's clock."""
        self.succeed(f"sleep {secs}")

    def wait_for_file(self, filename: str, timeout: int = 900) -> None:
        """Waits until a file exists."""

        def exists(_last_try: bool) -> bool:
            status, _ = self.execute(f"test -e {filename}")
            return status == 0

        with self.nested(f"waiting for file '{filename}'"):
            retry(exists, timeout)

    def systemctl(self, q: str, user: str | None = None) -> tuple[int, str]:
        """Runs systemctl, of a user where one is named."""
        if user is None:
            return self.execute(f"systemctl {q}")
        command = f"XDG_RUNTIME_DIR=/run/user/`id -u` systemctl --user {q}"
        return self.execute(f"su -l {user} --shell /bin/sh -c {shlex.quote(command)}")

    def start_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        return self.systemctl(f"start {jobname}", user)

    def stop_job(self, jobname: str, user: str | None = None) -> tuple[int, str]:
        return self.systemctl(f"stop {jobname}", user)

    def wait_for_unit(self, unit: str, user: str | None = None, timeout: int = 900) -> None:
        """Waits until a unit is active; an error if it fails, or is inactive with no job left."""

        def active(_last_try: bool) -> bool:
            state = self.get_unit_property(unit, "ActiveState", user)
            if state == "failed":
                raise RequestedAssertionFailed(f'unit "{unit}" reached state "{state}"')
            if state == "inactive":
                _, jobs = self.systemctl("list-jobs --full 2>&1", user)
                if "No jobs" in jobs and self.get_unit_info(unit, user)["ActiveState"] == state:
                    raise RequestedAssertionFailed(f'unit "{unit}" is inactive and there are no pending jobs')
            return state == "active"

        with self.nested(f"waiting for unit {unit}" + (f" with user {user}" if user else "")):
            retry(active, timeout)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """A unit must be in a state now."""
        with self.nested(f"checking if unit '{unit}' has reached state '{require_state}'"):
            state = self.get_unit_info(unit)["ActiveState"]
            if state != require_state:
                raise RequestedAssertionFailed(
                    f"expected unit '{unit}' to be in state '{require_state}', but it is in '{state}'"
                )

    def get_unit_info(self, unit: str, user: str | None = None) -> dict[str, str]:
        """A unit's properties, as `systemctl show` prints them."""
        lines = self._show(f'--no-pager show "{unit}"', unit, user)
        matches = (re.fullmatch(r"([^=]+)=(.*)", line) for line in lines.split("\n"))
        return {match[1]: match[2] for match in matches if match}

    def get_unit_property(self, unit: str, property: str, user: str | None = None) -> str:
        """One property of a unit."""
        lines = self._show(f'--no-pager show "{unit}" --property="{property}"', unit, user)
        name, separator, value = lines.partition("\n")[0].partition("=")
        if not separator or name != property:
            raise RequestedAssertionFailed(f'systemctl shows no property "{property}" of "{unit}": {lines}')
        return value

    def copy_from_machine(self, source: str, target_dir: str = "") -> None:
        """Copies a file or a directory to `out_dir`, or to a directory below it."""
        path = PurePosixPath(source)
        target = self.out_dir / target_dir / path.name
        target.parent.mkdir(exist_ok=True, parents=True)
        parent, name = shlex.quote(str(path.parent)), shlex.quote(path.name)
        if self.execute(f"test -d {shlex.quote(source)}")[0] == 0:
            target.mkdir(exist_ok=True)
            listing = self.succeed(f"cd {shlex.quote(source)} && find . -type f -printf '%P\\n'")
            for file in listing.splitlines():
                inner = PurePosixPath(file).parent
                self.copy_from_machine(f"{source}/{file}", str(target.relative_to(self.out_dir) / inner))
            return
        target.write_bytes(base64.b64decode(self.succeed(f"base64 -w 0 {parent}/{name}")))

    def copy_from_vm(self, source: str, target_dir: str = "") -> None:
        """The older name of `copy_from_machine`."""
        self.copy_from_machine(source, target_dir)

    def copy_from_host(self, source: str, target: str) -> None:
        """Copies a file or a directory of the host, with its access bits, to a path on the machine."""
        origin = Path(source)
        if not origin.is_dir():
            self._copy_file(origin, target)
            return
        self.succeed(f"mkdir -p {shlex.quote(target)}")
        for path in sorted(path for path in origin.rglob("*") if path.is_file()):
            self._copy_file(path, f"{target}/{path.relative_to(origin)}")

    def copy_from_host_via_shell(self, source: str, target: str) -> None:
        self.copy_from_host(source, target)

    def _copy_file(self, source: Path, target: str) -> None:
        content, place = source.read_bytes(), shlex.quote(target)
        with self.nested(f"copying {source.name} ({len(content)} bytes) to {target}"):
            self.succeed(f"mkdir -p {shlex.quote(str(PurePosixPath(target).parent))}; : > {place}")
            for at in range(0, len(content), COPY_CHUNK):
                encoded = base64.b64encode(content[at : at + COPY_CHUNK]).decode()
                self.succeed(f"base64 -d <<< {encoded} >> {place}")
            self.succeed(f"chmod {source.stat().st_mode & 0o777:o} {place}")

    def _show(self, query: str, unit: str, user: str | None) -> str:
        status, lines = self.systemctl(query, user)
        if status != 0:
            raise RequestedAssertionFailed(f'systemctl show "{unit}" failed with exit code {status}')
        return lines


def _within(command: str, status: int, timeout: int | None) -> None:
    """A command that did not end within the limit that it was given has not failed: it did nothing else yet."""
    if timeout is not None and status == TIMED_OUT:
        raise RequestedAssertionFailed(f"command `{command}` did not end within {timeout} seconds")
