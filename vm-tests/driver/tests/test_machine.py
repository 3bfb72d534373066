"""The verbs of a machine, on one whose commands are answered here."""

import contextlib
import io
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from vm_driver import machine
from vm_driver.errors import RequestedAssertionFailed
from vm_driver.log import Logger
from vm_driver.machine import BaseMachine

Answer = Callable[[str], tuple[int, str]]


class Answering(BaseMachine):
    """Answers each command as a test says, and remembers it."""

    def __init__(self, directory: Path, answer: Answer) -> None:
        super().__init__("machine", Logger("test", verbose=False), directory, directory)
        self.answer = answer
        self.asked: list[tuple[str, int | None]] = []

    def is_up(self) -> bool:
        return True

    def start(self, allow_reboot: bool = False) -> None: ...

    def wait_for_shutdown(self) -> None: ...

    def execute(
        self,
        command: str,
        check_return: bool = True,
        check_output: bool = True,
        timeout: int | None = 900,
    ) -> tuple[int, str]:
        self.asked.append((command, timeout))
        return self.answer(command)


class Verbs(unittest.TestCase):
    def setUp(self) -> None:
        directory = self.enterContext(tempfile.TemporaryDirectory())
        self.directory = Path(directory)
        self.enterContext(contextlib.redirect_stderr(io.StringIO()))
        self.enterContext(mock.patch.object(machine, "RETRY_INTERVAL", 0.01))

    def machine(self, answer: Answer) -> Answering:
        return Answering(self.directory, answer)

    def test_succeed_joins_what_commands_print(self) -> None:
        asked = self.machine(lambda command: (0, command))
        self.assertEqual(asked.succeed("a", "b"), "ab")
        self.assertEqual(asked.asked, [("a", None), ("b", None)])

    def test_succeed_stops_at_the_first_failure(self) -> None:
        asked = self.machine(lambda command: (int(command == "a"), ""))
        with self.assertRaisesRegex(RequestedAssertionFailed, "`a` failed"):
            asked.succeed("a", "b")
        self.assertEqual(len(asked.asked), 1)

    def test_fail_wants_failures_and_gives_their_output(self) -> None:
        self.assertEqual(self.machine(lambda command: (1, "out")).fail("a"), "out")
        with self.assertRaisesRegex(RequestedAssertionFailed, "unexpectedly succeeded"):
            self.machine(lambda command: (0, "")).fail("a")

    def test_a_command_that_the_time_limit_ended_has_not_failed(self) -> None:
        hanging = self.machine(lambda command: (124, ""))
        with self.assertRaisesRegex(RequestedAssertionFailed, "`a` did not end within 3 seconds"):
            hanging.fail("a", timeout=3)
        with self.assertRaisesRegex(RequestedAssertionFailed, "`a` did not end within 3 seconds"):
            hanging.wait_until_fails("a", timeout=3)
        # Without a limit of ours it is the command's own status.
        hanging.fail("a")

    def test_waiting_repeats_until_the_status_is_right(self) -> None:
        statuses = iter([1, 1, 0, 0, 1])
        asked = self.machine(lambda command: (next(statuses), "out"))
        self.assertEqual(asked.wait_until_succeeds("a"), "out")
        self.assertEqual(asked.wait_until_fails("b"), "out")
        self.assertEqual(len(asked.asked), 5)

    def test_waiting_ends_with_its_time(self) -> None:
        with self.assertRaisesRegex(RequestedAssertionFailed, "timed out"):
            self.machine(lambda command: (1, "")).wait_until_succeeds("a", timeout=0)

    def test_a_unit_is_waited_for_while_it_starts(self) -> None:
        states = iter(["inactive", "activating", "active"])

        def answer(command: str) -> tuple[int, str]:
            return (0, "1 jobs") if "list-jobs" in command else (0, f"ActiveState={next(states)}\n")

        self.machine(answer).wait_for_unit("x.service")

    def test_a_unit_that_failed_or_has_no_job_is_an_error(self) -> None:
        def answer(command: str) -> tuple[int, str]:
            return (0, "No jobs running.") if "list-jobs" in command else (0, f"ActiveState={state}\n")

        for state, words in (("failed", 'reached state "failed"'), ("inactive", "no pending jobs")):
            with self.subTest(state), self.assertRaisesRegex(RequestedAssertionFailed, words):
                self.machine(answer).wait_for_unit("x.service")

    def test_properties_of_a_unit_keep_their_equals_signs(self) -> None:
        info = self.machine(lambda command: (0, "A=1\nEnvironment=B=2\nno property\n")).get_unit_info("x")
        self.assertEqual(info, {"A": "1", "Environment": "B=2"})

    def test_a_state_that_is_not_required_is_an_error(self) -> None:
        asked = self.machine(lambda command: (0, "ActiveState=inactive\n"))
        asked.require_unit_state("x", "inactive")
        with self.assertRaisesRegex(RequestedAssertionFailed, "it is in 'inactive'"):
            asked.require_unit_state("x")
