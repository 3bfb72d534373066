"""A TPM 2.0 in software for one machine; what it stores outlives the machine's restarts."""

import socket
import subprocess
from pathlib import Path

from vm_driver import process


def start(swtpm: str, state_dir: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts swtpm; the other socket is QEMU's, whose end is swtpm's end too."""
    storage = state_dir / "tpm"
    storage.mkdir(exist_ok=True)
    ours, theirs = socket.socketpair()
    command = [swtpm, "socket", "--tpm2", "--tpmstate", f"dir={storage}", "--terminate"]
    command += ["--ctrl", f"type=unixio,clientfd={theirs.fileno()}"]
    with (state_dir / "swtpm.log").open("ab") as log:
        child = process.spawn(command, directory=state_dir, log=log, pass_fds=[theirs.fileno()])
    theirs.close()
    return child, ours
