"""What opens a profile in each mode."""

from scenario_lib.ceremony import CeremonyConsole
from scenario_lib.operator import Operator
from scenario_lib.unlocking import DEPUTY, GET, LOCKED, MORE_WANTED, OFFICER, UNLOCK, Board, restart

BOARD = "sesame unlock --factor board"

start_all()
console, operator = CeremonyConsole(machine), Operator(machine)
console.keep_state()
board = Board(console, operator)

with subtest("any: each factor opens it alone, and a new start of the daemon locks it"):
    for password in (OFFICER, DEPUTY):
        operator.expect(LOCKED, GET)
        operator.succeed(UNLOCK, password)
        operator.succeed("sesame secret set ca/key", "a value")
        restart(machine)
    operator.expect(LOCKED, GET)
    board.type(BOARD, 0, 2)
    t.assertEqual(operator.succeed(GET), "a value\n")

with subtest("policy: what is required, and one of the others"):
    policy = "sesame factor policy policy --require password --additional 1 --password-stdin"
    operator.succeed(policy, OFFICER)
    operator.succeed("sesame lock")
    operator.expect(MORE_WANTED, f"{UNLOCK} --factor password", OFFICER)
    # A second password is not one of the others.
    operator.expect(24, f"{UNLOCK} --factor deputy", DEPUTY)
    operator.expect(LOCKED, GET)
    board.type(BOARD, 1, 2)
    operator.succeed(GET)

with subtest("all: one factor too few opens nothing, and a start forgets those that were given"):
    console.type("sesame factor policy all")
    console.answer("Password.*: ", OFFICER)
    board.give(0, 1)
    t.assertIn("all factors", operator.succeed("sesame status"))
    restart(machine)
    operator.expect(MORE_WANTED, f"{UNLOCK} --factor password", OFFICER)
    restart(machine)
    operator.expect(MORE_WANTED, f"{UNLOCK} --factor deputy", DEPUTY)
    board.type(BOARD, 1, 2)
    operator.expect(LOCKED, GET)
    operator.succeed(f"{UNLOCK} --factor password", OFFICER)
    operator.succeed(GET)

machine.shutdown()
