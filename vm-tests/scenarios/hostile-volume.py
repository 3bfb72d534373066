"""A state volume that somebody prepared: what is on it is not believed, or is said before the first prompt."""

from scenario_lib.ceremony import BOOT_TIMEOUT, GREETING, STATE_QUESTION, CeremonyConsole

PASSPHRASE = "a long passphrase for the volume"
# Seconds for what Argon2id makes slow on an emulated machine.
SLOW = 300
ROOM = "/run/hostile"
OPEN = f"mkdir -p {ROOM} && printf '%s' '{PASSPHRASE}' | cryptsetup open --key-file - /dev/vdb hostile"
PLANTED = f'[[peer]]\nname = "mallory"\nrole = "operator"\nuid = 1000\nkey = "{"5e" * 32}"'
console = CeremonyConsole(machine)


def prepare(*commands: str) -> None:
    """What root does to the volume on a machine of their own, in its root directory."""
    machine.succeed(f"{OPEN} && mount /dev/mapper/hostile {ROOM}")
    machine.succeed(*(f"cd {ROOM} && {command}" for command in commands))
    machine.succeed(f"umount {ROOM} && cryptsetup close hostile")


def is_refused(found: str) -> None:
    """Chooses the volume, of which nothing may be seen then; the question comes again."""
    use_volume()
    machine.wait_for_console_text(f"is not as this image leaves one: .*{found}", SLOW)
    machine.wait_for_console_text(STATE_QUESTION, SLOW)
    machine.fail("grep sesame-state /proc/self/mountinfo", "test -e /dev/mapper/sesame-state")
    machine.fail("test -e /run/ceremony/state")


def use_volume() -> None:
    console.answer("Enter alone is 1: ", "2")
    console.answer("passphrase for .*: ", PASSPHRASE, SLOW)


machine.start()
new = [(prompt, PASSPHRASE) for prompt in ("Enter passphrase for .*: ", "Verify passphrase: ", "passphrase for .*: ")]
console.keep_state("2", answers=[("Enter alone goes back: ", "vdb"), *new])
t.assertNotIn("BESIDE THE OPERATOR", machine.get_console_log())
machine.shutdown()

machine.start()
machine.wait_for_console_text(STATE_QUESTION, BOOT_TIMEOUT)

with subtest("a link in the place of the settings, and settings that are the ceremony user's"):
    prepare("mv etc-pds aside", "ln -s home etc-pds")
    is_refused("etc-pds is a link")
    prepare("rm etc-pds", "mv aside etc-pds", "chown 1000 etc-pds/peers.toml")
    is_refused("peers.toml belongs to uid 1000")

with subtest("whom the daemons know besides is said before the first prompt"):
    prepare("chown 0 etc-pds/peers.toml", f"echo '{PLANTED}' >> etc-pds/peers.toml")
    use_volume()
    machine.wait_for_console_text("BESIDE THE OPERATOR", SLOW)
    machine.wait_for_console_text("mallory, operator, uid 1000", SLOW)
    machine.wait_for_console_text(GREETING, SLOW)
    for target in ("/etc/pds", "/var/lib/pds", "/home/ceremony"):
        options = machine.succeed(f"findmnt --noheadings --output OPTIONS {target}")
        t.assertLessEqual({"nosuid", "nodev", "noexec", "nosymfollow"}, set(options.strip().split(",")))

machine.shutdown()
