"""Archives behind an initrd."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from scenario_lib import initrd, intruder


class Archive(unittest.TestCase):
    def test_a_file_of_root_is_written_as_newc_has_it(self) -> None:
        archive = initrd.archive({"init": (0o755, b"abc")})
        entry = (
            b"070701" + b"00000001" + b"000081ed" + b"00000000" * 2 + b"00000001" + b"00000000" + b"00000003"
            b"00000000000000000000000000000000" + b"00000005" + b"00000000" + b"init\0" + bytes(1) + b"abc" + bytes(1)
        )
        self.assertEqual(archive[: len(entry)], entry)
        self.assertIn(b"TRAILER!!!\0", archive[len(entry) :])

    def test_every_part_is_on_a_boundary_of_four_bytes(self) -> None:
        for size in range(5):
            archive = initrd.archive({"a" * (size + 1): (0o644, b"x" * size)})
            with self.subTest(size=size):
                self.assertEqual(len(archive) % 4, 0)
                self.assertEqual(archive.rindex(initrd.MAGIC) % 4, 0)

    def test_the_command_line_is_behind_whatever_the_initrd_is(self) -> None:
        whole = initrd.with_command_line(b"zstd?", "ro quiet")
        self.assertTrue(whole.startswith(b"zstd?" + bytes(3) + b"070701"))
        self.assertIn(b"usr/lib/sesame/kernel-command-line\0", whole)
        self.assertIn(b"ro quiet\n", whole)

    def test_the_intruder_is_a_program_of_linux(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "init"
            file.write_bytes(intruder.program())
            file.chmod(0o755)
            self.assertEqual(subprocess.run([file], check=False).returncode, intruder.STATUS)
