"""What goes wrong in a scenario; the names are those of the NixOS test driver."""


class MachineError(Exception):
    """Something around the test failed: QEMU ended, a program is missing, the shell is gone."""


class RequestedAssertionFailed(AssertionError):
    """What the scenario asked for did not hold."""


class TimeLimitReached(BaseException):
    """The scenario's time is up. No `Exception`, so that a scenario does not catch it by accident."""
