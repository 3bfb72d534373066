"""What a scenario finds in its globals, for the type checker; put before each scenario."""

import os  # noqa: F401
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from vm_driver.driver import AssertionTester, Driver
from vm_driver.log import Logger
from vm_driver.qemu_machine import QemuMachine


class Retry(Protocol):
    """The type of `retry`."""

    def __call__(self, fn: Callable[[bool], bool], timeout_seconds: int = 900) -> None: ...


driver: Driver
join_all: Callable[[], None]
log: Logger
machines: list[QemuMachine]
machines_qemu: list[QemuMachine]
retry: Retry
serial_stdout_off: Callable[[], None]
serial_stdout_on: Callable[[], None]
start_all: Callable[[], None]
subtest: Callable[[str], AbstractContextManager[None]]
t: AssertionTester
