"""Scenarios, several at a time, each in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vm_driver import process
from vm_driver.scenario import Scenario

# Seconds beyond its time limit after which a scenario that cannot end itself is killed.
SLACK = 60
POLL = 0.2


@dataclass
class _Child:
    scenario: Scenario
    process: subprocess.Popen[bytes]
    start: float


def run(scenarios: Sequence[Scenario], arguments: Sequence[str], jobs: int) -> list[str]:
    """Runs scenarios with these arguments of the command line; the names of those that failed."""
    waiting = list(scenarios)
    running: list[_Child] = []
    failed: list[str] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(_start(waiting.pop(0), arguments))
        for child in list(running):
            status = child.process.poll()
            if status is None:
                if time.monotonic() - child.start > child.scenario.time_limit_seconds + SLACK:
                    child.process.kill()
                continue
            running.remove(child)
            verdict = "passed in" if status == 0 else "FAILED after"
            seconds = time.monotonic() - child.start
            print(f"{child.scenario.name}: {verdict} {seconds:.1f} s", file=sys.stderr, flush=True)
            if status != 0:
                failed.append(child.scenario.name)
        time.sleep(POLL)
    return failed


def _start(scenario: Scenario, arguments: Sequence[str]) -> _Child:
    command = [sys.executable, "-m", "vm_driver", *arguments, "--one", scenario.name]
    child = subprocess.Popen([*process.DIES_WITH_US, *command], cwd=Path.cwd(), stdin=subprocess.DEVNULL)
    return _Child(scenario, child, time.monotonic())
