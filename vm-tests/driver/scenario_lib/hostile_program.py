"""A program of ours in a daemon's place: what it tried there, and what it was not denied.

The program is `intruder` of crates/testbed; it prints a line for each attempt, which begins with `denied` or
`ALLOWED`, and the name of the attempt stands between two double spaces.
"""

from scenario_lib.interface import ShellMachine

# Only what starts is replaced, not the user or the sandbox. The real daemons go on and keep their sockets.
INSTEAD = """
[Unit]
ConditionPathExists=
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
RuntimeDirectoryPreserve=yes
ExecStartPost=
ExecStart=
ExecStart={command}
"""


def in_place_of(machine: ShellMachine, daemon: str, what: str, command: str) -> str:
    """Runs a command in a copy of the daemon's unit; what it said."""
    unit = f"hostile-{what}-{daemon}.service"
    machine.succeed(
        f"cd /run/systemd/system && systemctl cat {daemon}.service > {unit} && "
        f"cat >> {unit} <<'END' && systemctl daemon-reload\n{INSTEAD.format(command=command)}END"
    )
    # It fails where anything was allowed, and the caller sees what.
    machine.execute(f"systemctl start {unit}")
    return machine.succeed(f"journalctl --sync; journalctl --quiet --output=cat _SYSTEMD_UNIT={unit}")


def attempts(said: str) -> dict[str, bool]:
    """Each attempt by name, and whether it was allowed; any other line is an error."""
    found: dict[str, bool] = {}
    for line in said.splitlines():
        word, _, rest = line.partition(" ")
        if word not in ("denied", "ALLOWED"):
            raise AssertionError(f"no attempt: {line}")
        found[rest.strip().split("  ")[0]] = word == "ALLOWED"
    return found


def allowed(said: str) -> set[str]:
    """The names of what was allowed."""
    return {name for name, was_allowed in attempts(said).items() if was_allowed}
