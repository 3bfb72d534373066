"""One scenario: its machines, the names that it sees, its time limit, and what is kept when it fails."""

import os
import shutil
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import TestCase

from vm_driver.errors import RequestedAssertionFailed, TimeLimitReached
from vm_driver.log import Logger
from vm_driver.machine import retry
from vm_driver.qemu_machine import Environment, QemuMachine
from vm_driver.scenario import Scenario

# What of a machine's directory is kept when its scenario has passed.
LOGS = {"console.log", "journal.log", "qemu.log", "swtpm.log"}


class AssertionTester(TestCase):
    """`t` of a scenario: the assertions of unittest."""

    failureException = RequestedAssertionFailed


class Driver:
    """Runs one scenario. Its directory below `out` is made anew."""

    def __init__(self, scenario: Scenario, environment: Environment, logger: Logger, out: Path) -> None:
        self.scenario = scenario
        self.logger = logger
        self.tmp_dir = out / scenario.name
        if self.tmp_dir.exists():
            shutil.rmtree(self.tmp_dir)
        self.out_dir = self.tmp_dir / "out"
        self.out_dir.mkdir(parents=True)
        self.machines = [
            QemuMachine(spec, environment, logger, self.tmp_dir / f"vm-state-{spec.name}", self.out_dir)
            for spec in scenario.machines
        ]

    def run(self) -> bool:
        """Whether the scenario passed. Nothing of it runs any more afterwards."""
        signal.signal(signal.SIGALRM, _time_is_up)
        signal.alarm(self.scenario.time_limit_seconds)
        try:
            code = compile(self.scenario.script.read_text(), str(self.scenario.script), "exec")
            exec(code, self.test_symbols())
        except TimeLimitReached as error:
            self.logger.error(self._where(error))
            self.logger.error(f"the time limit of {self.scenario.time_limit_seconds} seconds was reached")
            return False
        except Exception as error:
            self.logger.error(self._where(error))
            self.logger.error(f"{type(error).__name__}: {error}")
            return False
        finally:
            signal.alarm(0)
            for machine in self.machines:
                machine.release()
        self._tidy_up()
        return True

    def test_symbols(self) -> dict[str, Any]:
        """The names that a scenario sees."""
        symbols: dict[str, Any] = {
            "driver": self,
            "join_all": self.join_all,
            "log": self.logger,
            "machines": self.machines,
            "machines_qemu": self.machines,
            "os": os,
            "retry": retry,
            "serial_stdout_off": lambda: self.logger.print_serial_logs(False),
            "serial_stdout_on": lambda: self.logger.print_serial_logs(True),
            "start_all": self.start_all,
            "subtest": self.subtest,
            "t": AssertionTester(),
        }
        symbols.update((machine.name, machine) for machine in self.machines)
        if len(self.machines) == 1:
            symbols.setdefault("machine", self.machines[0])
        return symbols

    def start_all(self) -> None:
        """Switches all machines on; one after the other, since it takes no time."""
        for machine in self.machines:
            machine.start()

    def join_all(self) -> None:
        """Waits until all machines are off."""
        for machine in self.machines:
            machine.wait_for_shutdown()

    @contextmanager
    def subtest(self, name: str) -> Iterator[None]:
        """Steps that belong together; a failure names them."""
        with self.logger.subtest(name):
            try:
                yield
            except Exception:
                self.logger.error(f'subtest "{name}" failed')
                raise

    def logs(self) -> list[Path]:
        """What the machines left, for whoever has to find out why."""
        files = (machine.state_dir / name for machine in self.machines for name in sorted(LOGS))
        return [file for file in files if file.exists() and file.stat().st_size > 0]

    def _where(self, error: BaseException) -> str:
        """The lines of the scenario that led to an error."""
        script = self.scenario.script
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(script)]
        return "\n".join(f"{script.name}:{frame.lineno}: {frame.line}" for frame in frames)

    def _tidy_up(self) -> None:
        shutil.rmtree(self.tmp_dir / "disks", ignore_errors=True)
        for machine in self.machines:
            for path in machine.state_dir.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name not in LOGS:
                    path.unlink()


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeLimitReached
