"""Waiting for what the serial line shows."""

import io
import threading
import unittest

from scenario_lib.terminal import printable
from vm_driver.console import Console
from vm_driver.errors import MachineError, RequestedAssertionFailed


class Waiting(unittest.TestCase):
    def setUp(self) -> None:
        self.log = io.StringIO()
        self.console = Console(self.log, lambda line: None)

    def test_a_line_is_found_and_consumed(self) -> None:
        self.console.feed(b"one\r\ntwo\r\nthree\r\n")
        self.console.wait_for("^one$", 0)
        with self.assertRaises(RequestedAssertionFailed):
            self.console.wait_for("one", 0)

    def test_lines_up_to_the_match_are_consumed_and_no_more(self) -> None:
        self.console.feed(b"one\ntwo\nthree\n")
        self.console.wait_for("two", 0)
        self.console.wait_for("three", 0)

    def test_a_pattern_may_span_lines(self) -> None:
        self.console.feed(b"one\ntwo\n")
        self.console.wait_for("onetwo", 0)

    def test_a_prompt_is_found_once_it_rests(self) -> None:
        self.console.feed(b"Passphrase: ")
        self.console.wait_for("Passphrase: $", 2)
        self.console.feed(b"\nnext\n")
        with self.assertRaises(RequestedAssertionFailed):
            self.console.wait_for("Passphrase", 0)

    def test_what_follows_a_prompt_on_its_line_is_found(self) -> None:
        self.console.feed(b"Name: ")
        self.console.wait_for("Name:", 2)
        self.console.feed(b"alice\n")
        self.console.wait_for("^alice$", 0)
        self.assertEqual(self.console.text(), "Name: alice")

    def test_a_line_that_arrives_later_ends_the_wait(self) -> None:
        later = threading.Timer(0.1, self.console.feed, [b"ready\n"])
        later.start()
        self.console.wait_for("ready", 10)
        later.join()

    def test_a_character_split_in_two_is_whole_again(self) -> None:
        self.console.feed("ü".encode()[:1])
        self.console.feed("ü".encode()[1:] + b"\xff\n")
        self.console.wait_for("^ü$", 0)

    def test_a_machine_that_is_off_shows_nothing_more(self) -> None:
        self.console.feed(b"last words")
        self.console.end()
        self.console.wait_for("last words", None)
        with self.assertRaisesRegex(MachineError, "is off"):
            self.console.wait_for("more", None)

    def test_the_kept_log_has_no_control_sequences(self) -> None:
        self.console.feed(b"\x1b[2J\x1b[01;32mgreen\x1b[0m\x07\n")
        self.assertEqual(self.log.getvalue(), "green\n")
        self.assertEqual(printable("\x1b[?2004l$ \x1b]0;title\x07x\x1b7"), "$ x")
