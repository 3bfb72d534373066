"""QEMU's machine protocol, with a QEMU that goes away."""

import socket
import unittest

from vm_driver.errors import MachineError
from vm_driver.qmp import Qmp


class AQemuThatIsOff(unittest.TestCase):
    def test_is_an_error_of_the_command_and_none_of_closing(self) -> None:
        ours, theirs = socket.socketpair()
        theirs.sendall(b'{"QMP": {}}\n{"return": {}}\n')
        qmp = Qmp(ours)
        theirs.close()
        with self.assertRaises((MachineError, OSError)):
            qmp.execute("quit")
        qmp.close()


if __name__ == "__main__":
    unittest.main()
