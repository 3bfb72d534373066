"""The policy is locked on untouched media: people confirm it at the console, and what is locked stays locked."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.policy_lock import DIRECTORY, OVER, REQUEST, WRITES_OVER, PolicyLock

NUMBER, SOURCE, LENGTH = "0123456789abcdef", "Ceremony script, section 4", "unlock.minimum_password_length"
LOCK = f"sesame policy lock crypto.kdf {LENGTH}=14 --source '{SOURCE}'"
FINE = f"printf '%s\\n' {NUMBER} source crypto.kdf=argon2id"
PASSWORD, LEFT = "a password of many letters", f"> {REQUEST}.new && mv {REQUEST}.new {REQUEST}"
console = CeremonyConsole(machine)
policy = PolicyLock(machine, console)


def leave_in_vain(request: str) -> None:
    """Leaves a hostile request; root removes it, and that was all."""
    policy.leave(request)
    t.assertEqual(console.succeed("sesame policy show"), locked)


machine.start()
console.keep_state()
locked = console.succeed("sesame policy show")
t.assertEqual(locked, "No setting is locked.\n")

with subtest("what nobody confirms is not locked"):
    status, shown = policy.lock(LOCK, "")
    t.assertEqual((status, "nothing was locked" in shown), (28, True), shown)
    t.assertEqual(console.succeed("sesame policy show"), locked)

with subtest("a request that is none changes nothing, and asks nobody"):
    asked = policy.asked()
    leave_in_vain(f"{FINE} > ~/request && ln -s ~/request {REQUEST}")
    leave_in_vain(f"head -c 10M /dev/zero > {REQUEST}.new && mv {REQUEST}.new {REQUEST}")
    leave_in_vain(f"mkfifo {REQUEST}")
    leave_in_vain(f"mkdir -p {REQUEST}/policy")
    # What would be off the screen, or in a directory that isn't as it was made.
    leave_in_vain(f'{FINE} "auth.policy.required=password,$(printf %7000s)tpm" {LEFT}')
    t.assertIn(f"{NUMBER} 1", console.succeed("cat /run/ceremony/policy-answer"))
    leave_in_vain(f"chmod 1770 {DIRECTORY} && mkdir -p {REQUEST}/policy")
    # Whole, but nobody waits for the answer.
    leave_in_vain(f"chmod 700 {DIRECTORY} && {FINE} {LEFT}")
    t.assertEqual(policy.asked(), asked)

with subtest("what is confirmed is locked, and in force at once; nobody writes over what root shows"):
    status, shown = policy.lock(f"{WRITES_OVER} & {LOCK}", "lock")
    t.assertEqual((status, "started anew" in shown), (0, True), shown)
    locked = console.succeed("sesame policy show")
    t.assertEqual((OVER in policy.of_root(shown), OVER in machine.get_console_log()), (False, True))
    t.assertIn(f'crypto.kdf = "argon2id"  # {SOURCE}\n{LENGTH} = 14  # {SOURCE}\n', locked)
    init = "sesame init --org example.org --password-stdin"
    t.assertIn("14", console.fail(f"{init} <<< '12 letters!!'"))
    console.succeed(f"{init} <<< '{PASSWORD}' && sesame unlock --password-stdin <<< '{PASSWORD}'")

with subtest("locked is locked: for the command, and for whoever leaves the request by hand"):
    status, shown = console.execute("sesame policy lock crypto.kdf=pbkdf2-sha256 --source another")
    t.assertEqual(status, 9, shown)
    # The shell holds the lock that says that somebody waits.
    leave_in_vain(f"exec 9> {REQUEST}.new && flock 9 && {FINE} >&9 && mv {REQUEST}.new {REQUEST}")
    t.assertIn(f"{NUMBER} 9", console.succeed("cat /run/ceremony/policy-answer"))
    t.assertIn("default (default): active", console.succeed("sesame status"))
