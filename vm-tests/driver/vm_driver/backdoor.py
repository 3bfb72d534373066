"""The way into a directly booted machine: units that systemd takes from SMBIOS strings.

systemd reads credentials from SMBIOS type 11 (systemd.system-credentials(7)) unless the command line says
`systemd.import_credentials=no`, which the shipped one does. Nothing of the shell is in the image.
"""

import base64

REFUSES_CREDENTIALS = "systemd.import_credentials=no"

SHELL_UNIT, JOURNAL_UNIT = "vm-test-shell.service", "vm-test-journal.service"
READY = b"the root shell of the VM tests is ready"

# Serial ports, since their driver is part of every kernel: the image needs nothing for the tests' sake. The
# first is the console. Bash is not interactive, because its standard error is the journal.
SHELL = f"""\
[Unit]
Description=Root shell of the VM tests
[Service]
Environment=HOME=/root PAGER=cat SYSTEMD_PAGER=cat SYSTEMD_COLORS=0
WorkingDirectory=/tmp
ExecStart=/bin/bash -c 'exec 0<>/dev/ttyS1 1>&0; stty raw -echo 115200; echo "{READY.decode()}"; \
exec /bin/bash --norc'
KillSignal=SIGHUP
"""

JOURNAL = """\
[Unit]
Description=Journal of the VM tests
DefaultDependencies=no
After=systemd-journald.service
[Service]
ExecStart=/bin/bash -c 'exec 0<>/dev/ttyS2 1>&0; stty raw -echo 115200; \
exec journalctl --follow --lines=all --no-pager --no-hostname --output=short-monotonic'
"""

WANTS = f"[Unit]\nWants={SHELL_UNIT} {JOURNAL_UNIT}\n"


def smbios_strings() -> list[str]:
    """The SMBIOS strings that bring in the shell, and the journal that outlives a crash."""
    return [
        credential(f"systemd.extra-unit.{SHELL_UNIT}", SHELL),
        credential(f"systemd.extra-unit.{JOURNAL_UNIT}", JOURNAL),
        credential("systemd.unit-dropin.multi-user.target", WANTS),
    ]


def credential(name: str, content: str) -> str:
    """A system credential as an SMBIOS string."""
    encoded = base64.b64encode(content.encode()).decode()
    return f"io.systemd.credential.binary:{name}={encoded}"


def command_line(shipped: str, append: str) -> str:
    """The shipped kernel command line, less its refusal of credentials, with what a scenario adds."""
    words = [word for word in shipped.split() if word != REFUSES_CREDENTIALS]
    return " ".join([*words, *append.split()])
