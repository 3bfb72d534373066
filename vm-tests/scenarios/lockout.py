"""What becomes of wrong tries in mode all, and what locks a profile again that was opened."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator
from scenario_lib.unlocking import DEPUTY, GET, LOCKED, MORE_WANTED, OFFICER, UNLOCK, Board, restart, settings

WRONG = "a password nobody has"
# Seconds: the wait after the second wrong try in a row, and without use until it locks itself.
WAIT, IDLE = 60, 40


def unlock_all() -> None:
    operator.expect(MORE_WANTED, f"{UNLOCK} --factor deputy", DEPUTY)
    operator.expect(MORE_WANTED, f"{UNLOCK} --factor password", OFFICER)
    board.type("sesame unlock --factor board", 0, 1)
    operator.succeed(GET)


start_all()
console, operator = CeremonyConsole(machine), Operator(machine)
console.keep_state()
board = Board(console, operator)
operator.succeed(UNLOCK, OFFICER)
operator.succeed("sesame secret set ca/key", "a value")
operator.succeed("sesame factor policy all --password-stdin", OFFICER)

with subtest("wrong tries are refused, recorded and slowed down, also after a start of the daemon"):
    settings(machine, "unlock.free_attempts = 1", f"unlock.backoff_base_seconds = {WAIT}")
    for _ in range(2):
        operator.expect(6, f"{UNLOCK} --factor deputy", WRONG)
    operator.expect(7, f"{UNLOCK} --factor deputy", DEPUTY)
    restart(machine)
    operator.expect(7, f"{UNLOCK} --factor deputy", DEPUTY)
    t.assertIn("2 wrong tries", operator.succeed("sesame status"))
    t.assertRegex(operator.succeed("sesame audit tail -n 12"), r"(failed|refused) +factor\.try")
    machine.sleep(WAIT)
    operator.expect(MORE_WANTED, f"{UNLOCK} --factor deputy", DEPUTY)

with subtest("without use it locks itself, and a clock that is set back does not keep it open"):
    settings(machine, f"unlock.auto_lock_seconds = {IDLE}")
    unlock_all()
    machine.succeed("date -s '-1 day'")
    machine.sleep(IDLE + 5)
    operator.expect(LOCKED, GET)
    trail = operator.succeed("sesame audit tail -n 8")
    t.assertIn("clock.step", trail)
    t.assertIn("reason=idle", trail)

machine.shutdown()
