"""The root shell of a directly booted machine, as the NixOS test driver wants to be greeted."""

from vm_driver import backdoor

# What the driver waits for before it sends a command.
GREETING = "Spawning backdoor root shell..."


def use() -> None:
    """Puts the driver's words and the programs below /usr, which every image has, into our units."""
    environment = "Environment=PATH=/usr/bin:/usr/sbin "
    backdoor.SHELL = (
        backdoor.SHELL.replace(backdoor.READY.decode(), GREETING)
        .replace("Environment=", environment, 1)
        .replace("/usr/bin/bash", "/bin/bash")
        .replace("/bin/bash", "/usr/bin/bash")
    )
    backdoor.JOURNAL = (
        backdoor.JOURNAL.replace("[Service]", f"[Service]\n{environment}", 1)
        .replace("/usr/bin/bash", "/bin/bash")
        .replace("/bin/bash", "/usr/bin/bash")
    )
