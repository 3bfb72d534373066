"""Paths on the command line and in the environment, which are relative where somebody types them."""

import contextlib
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from vm_driver import __main__ as command
from vm_driver import tools_tree


class Entered(Exception):
    """What takes the place of a process that becomes another program."""


class RelativePaths(unittest.TestCase):
    def setUp(self) -> None:
        # resolve(), since the directory for temporary files may be a link.
        self.here = Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()
        self.enterContext(contextlib.chdir(self.here))
        python = self.here / "tree/usr/bin/python3"
        python.parent.mkdir(parents=True)
        python.touch()

    def test_they_are_absolute_in_the_tools_tree(self) -> None:
        programs = {"SESAME_TEST_PROGRAMS": "debug", "SESAME_PROGRAM": "bin/sesame"}
        execute = self.enterContext(mock.patch.object(os, "execvpe", side_effect=Entered))
        self.enterContext(mock.patch.object(os, "geteuid", return_value=0))
        self.enterContext(mock.patch.dict(os.environ, {**programs, "PYTHONPATH": "driver"}))
        options = ["--tools=tree", "--image=image", "--out=out", "--scenarios=s", "--firmware=f", "--qemu=./q"]
        with self.assertRaises(Entered):
            command.main([*options, "boot"])
        _, words, environment = execute.call_args.args
        for name, place in (("image", "image"), ("out", "out"), ("scenarios", "s"), ("firmware", "f"), ("qemu", "q")):
            self.assertIn(f"--{name}={self.here / place}", words)
        self.assertIn(str(self.here / "tree"), words)
        self.assertEqual(environment["PYTHONPATH"], str(tools_tree.PACKAGES))
        self.assertTrue(Path(environment["PYTHONPATH"], "vm_driver/tools_tree.py").is_absolute())
        self.assertEqual(environment["SESAME_TEST_PROGRAMS"], str(self.here / "debug"))
        self.assertEqual(environment["SESAME_PROGRAM"], str(self.here / "bin/sesame"))

    def test_a_name_of_a_program_stays_a_name(self) -> None:
        self.assertEqual(command._program("swtpm"), "swtpm")
