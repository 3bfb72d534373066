"""Where complaints about scenarios are said to be."""

import unittest
from pathlib import Path

from vm_driver import check
from vm_driver.check import Typed


class Complaints(unittest.TestCase):
    def test_they_are_of_the_scenario_and_its_lines(self) -> None:
        typed = {"power-cut": Typed(Path("s/power-cut.py"), 30), "boot": Typed(Path("s/boot.py"), 31)}
        said = "x/scenario_power-cut.py:33: error: no\n../scenario_boot.py:32: note: yes\ndriver/a.py:1: error: z\n"
        located = "s/power-cut.py:3: error: no\ns/boot.py:1: note: yes\ndriver/a.py:1: error: z\n"
        self.assertEqual(check.located(said, typed), located)

    def test_what_measures_is_checked_like_what_tests(self) -> None:
        self.assertTrue((check.MEASUREMENTS / "start.py").is_file())
        self.assertIn(check.MEASUREMENTS, check.SCENARIOS)
