"""What QEMU and the guest are told."""

import base64
import dataclasses
import shlex
import subprocess
import unittest
from pathlib import Path

from vm_driver import backdoor, command_line, shell
from vm_driver.command_line import DirectBoot, Programs, Sockets
from vm_driver.scenario import Disk, MachineSpec

SPEC = MachineSpec("machine", "media", False, 1024, "", ("a=b,c",), (Disk("stick", 8, "vfat", ""),))
SHIPPED = "roothash=00ff systemd.import_credentials=no lockdown=confidentiality"


def qemu(spec: MachineSpec) -> list[str]:
    direct = DirectBoot(Path("kernel"), Path("initrd"), "ro") if spec.boot == "direct" else None
    return command_line.qemu(
        spec,
        programs=Programs(),
        accelerator="tcg",
        root=Path("/image,1.raw"),
        disks=[(disk, Path("stick.raw")) for disk in spec.disks],
        sockets=Sockets(qmp=3, shell=4 if direct else None, tpm=5 if spec.tpm else None),
        direct=direct,
        variables=Path("variables.fd"),
        journal=Path("journal.log"),
        allow_reboot=False,
    )


class Qemu(unittest.TestCase):
    def test_no_machine_has_a_network_card(self) -> None:
        command = qemu(SPEC)
        self.assertEqual(command[command.index("-nic") + 1], "none")
        self.assertIn("-nodefaults", command)

    def test_the_image_is_never_written_and_other_disks_are(self) -> None:
        drives = [word for word in qemu(SPEC) if word.startswith("if=none")]
        self.assertIn("file=/image,,1.raw,snapshot=on", drives[0])
        self.assertIn("file=stick.raw,snapshot=off", drives[1])

    def test_media_get_firmware_and_no_way_in(self) -> None:
        command = " ".join(qemu(SPEC))
        self.assertIn("if=pflash", command)
        for word in ("-kernel", "chardev:shell", "credential"):
            self.assertNotIn(word, command)

    def test_a_direct_boot_gets_a_shell_and_no_firmware(self) -> None:
        command = " ".join(qemu(dataclasses.replace(SPEC, boot="direct")))
        self.assertIn("-serial chardev:shell", command)
        self.assertIn("io.systemd.credential.binary:systemd.extra-unit.", command)
        self.assertNotIn("pflash", command)

    def test_strings_of_a_scenario_reach_smbios_with_their_commas(self) -> None:
        self.assertIn("type=11,value=a=b,,c", qemu(SPEC))

    def test_a_tpm_is_there_only_when_asked_for(self) -> None:
        self.assertNotIn("tpm-crb,tpmdev=tpm0", qemu(SPEC))
        self.assertIn("tpm-crb,tpmdev=tpm0", qemu(dataclasses.replace(SPEC, tpm=True)))


class Backdoor(unittest.TestCase):
    def test_a_credential_is_base64_of_its_content(self) -> None:
        name, _, value = backdoor.credential("x.service", "[Unit]\n").partition("=")
        self.assertEqual(name, "io.systemd.credential.binary:x.service")
        self.assertEqual(base64.b64decode(value), b"[Unit]\n")

    def test_the_command_line_loses_its_refusal_and_nothing_else(self) -> None:
        words = backdoor.command_line(SHIPPED, "secretmem.enable=0")
        self.assertEqual(words, "roothash=00ff lockdown=confidentiality secretmem.enable=0")

    def test_systemd_would_expand_nothing_in_a_unit(self) -> None:
        for unit in (backdoor.SHELL, backdoor.JOURNAL):
            self.assertNotRegex(unit, r"[$%]")


class Command(unittest.TestCase):
    def run_line(self, command: str, timeout: int | None = 5) -> tuple[int, str]:
        line = shell.command_line(command, timeout) + "; echo ${PIPESTATUS[0]}"
        done = subprocess.run(
            ["bash", "--norc"], input=f"{line}\necho next\n", capture_output=True, text=True, check=True
        )
        output, status, following = done.stdout.splitlines()
        self.assertEqual(following, "next")
        return int(status), base64.b64decode(output).decode()

    def test_output_and_status_come_back(self) -> None:
        self.assertEqual(self.run_line("printf 'a\\nb'; exit 3"), (3, "a\nb"))

    def test_any_failing_part_fails(self) -> None:
        for command in ("false; true", "false | true", "echo $undefined_here"):
            with self.subTest(command=command):
                self.assertNotEqual(self.run_line(command)[0], 0)

    def test_a_command_cannot_read_the_next_line(self) -> None:
        self.assertEqual(self.run_line("cat"), (0, ""))

    def test_a_limit_ends_a_command(self) -> None:
        self.assertEqual(self.run_line("sleep 30", timeout=1)[0], 124)

    def test_no_limit_means_no_program_that_limits(self) -> None:
        self.assertEqual(shlex.split(shell.command_line("true", None))[0], "bash")
