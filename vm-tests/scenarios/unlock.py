"""What opens a profile in each mode, what becomes of wrong tries, and what locks it again."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator

OFFICER, DEPUTY, WRONG = "correct horse battery", "another good password", "a password nobody has"
# Seconds: the wait after the second wrong try in a row, and without use until it locks itself.
WAIT, IDLE = 60, 40
UNLOCK, GET = "sesame unlock --password-stdin", "set -o pipefail; sesame secret get ca/key | cat"
SPLIT = "sesame share split --threshold 2 --shares 3 --label board --show-all --password-stdin"


def restart() -> None:
    """Starts the daemon anew, more often than its unit allows within a minute."""
    machine.succeed("systemctl reset-failed sesame-secrets.service", "systemctl restart sesame-secrets.service")


def settings(*lines: str) -> None:
    """Root's settings, which the daemon reads when it starts."""
    written = "\n".join(lines)
    machine.succeed(f"echo '{written}' > /etc/pds/config.toml")
    restart()


def give_shares(*given: str) -> None:
    """Custodians type theirs at the console, one after the other."""
    for left, share in zip(range(len(given), 0, -1), given, strict=True):
        console.answer(f"{left} more needed: ", share)
    console.wait_for_prompt()


def unlock_all() -> None:
    """Gives all factors, in mode all."""
    operator.expect(29, f"{UNLOCK} --factor deputy", DEPUTY)
    operator.expect(29, f"{UNLOCK} --factor password", OFFICER)
    console.type("sesame unlock --factor board")
    give_shares(shares[0], shares[1])
    operator.succeed(GET)


start_all()
console, operator = CeremonyConsole(machine), Operator(machine)
console.keep_state()
operator.succeed("sesame init --org example.org --password-stdin", OFFICER)
operator.succeed("sesame factor enroll password --label deputy --password-stdin", OFFICER, DEPUTY)
shares = [line for line in operator.succeed(SPLIT, OFFICER).splitlines() if line.startswith("SHARE:")]

with subtest("any: each factor opens it alone, and a new start of the daemon locks it"):
    for password in (OFFICER, DEPUTY):
        operator.expect(5, GET)
        operator.succeed(UNLOCK, password)
        operator.succeed("sesame secret set ca/key", "a value")
        restart()
    operator.expect(5, GET)
    console.type("sesame unlock --factor board")
    give_shares(shares[0], shares[2])
    t.assertEqual(operator.succeed(GET), "a value\n")

with subtest("policy: what is required, and one of the others"):
    policy = "sesame factor policy policy --require password --additional 1 --password-stdin"
    operator.succeed(policy, OFFICER)
    operator.succeed("sesame lock")
    operator.expect(29, f"{UNLOCK} --factor password", OFFICER)
    # A second password is not one of the others.
    operator.expect(24, f"{UNLOCK} --factor deputy", DEPUTY)
    operator.expect(5, GET)
    console.type("sesame unlock --factor board")
    give_shares(shares[1], shares[2])
    operator.succeed(GET)

with subtest("all: one factor too few opens nothing, and a start forgets those that were given"):
    console.type("sesame factor policy all")
    console.answer("Password.*: ", OFFICER)
    give_shares(shares[0], shares[1])
    t.assertIn("all factors", operator.succeed("sesame status"))
    restart()
    operator.expect(29, f"{UNLOCK} --factor password", OFFICER)
    restart()
    operator.expect(29, f"{UNLOCK} --factor deputy", DEPUTY)
    console.type("sesame unlock --factor board")
    give_shares(shares[1], shares[2])
    operator.expect(5, GET)
    operator.succeed(f"{UNLOCK} --factor password", OFFICER)
    operator.succeed(GET)

with subtest("wrong tries are refused, recorded and slowed down, also after a start of the daemon"):
    settings("unlock.free_attempts = 1", f"unlock.backoff_base_seconds = {WAIT}")
    for _ in range(2):
        operator.expect(6, f"{UNLOCK} --factor deputy", WRONG)
    operator.expect(7, f"{UNLOCK} --factor deputy", DEPUTY)
    restart()
    operator.expect(7, f"{UNLOCK} --factor deputy", DEPUTY)
    t.assertIn("2 wrong tries", operator.succeed("sesame status"))
    t.assertRegex(operator.succeed("sesame audit tail -n 12"), r"(failed|refused) +factor\.try")
    machine.sleep(WAIT)
    operator.expect(29, f"{UNLOCK} --factor deputy", DEPUTY)

with subtest("without use it locks itself, and a clock that is set back does not keep it open"):
    settings(f"unlock.auto_lock_seconds = {IDLE}")
    unlock_all()
    machine.succeed("date -s '-1 day'")
    machine.sleep(IDLE + 5)
    operator.expect(5, GET)
    trail = operator.succeed("sesame audit tail -n 8")
    t.assertIn("clock.step", trail)
    t.assertIn("reason=idle", trail)

machine.shutdown()
