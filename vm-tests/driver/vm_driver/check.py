"""`python3 -m vm_driver.check DIRECTORY`: ruff, mypy and the driver's own tests.

Scenarios, those that measure included, are type-checked as NixOS does it: after a prelude that declares what
they find in their globals, one file each, in DIRECTORY. Needs the packages of requirements.txt.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vm_driver import prelude, scenario
from vm_driver.scenario import Scenario, ScenarioError

VM_TESTS = Path(__file__).resolve().parents[2]
# What `cargo xtask bench --image` runs, too.
MEASUREMENTS = VM_TESTS.parent / "crates/bench/image"
SCENARIOS = (VM_TESTS / "scenarios", MEASUREMENTS)
# For files that aren't below it, too.
SETTINGS = ("--config", "pyproject.toml")
# mypy's `FILE:LINE: …`, about a file that we wrote.
COMPLAINT = re.compile(r"^.*scenario_([\w-]+)\.py:(\d+):", re.MULTILINE)


@dataclass(frozen=True)
class Typed:
    """A scenario below the prelude: the script that it is, and how many lines come before it."""

    script: Path
    offset: int


def main(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("scenario_*.py"):
        old.unlink()
    try:
        typed = dict(
            _write_typed(directory, scenario.load(place, name))
            for place in SCENARIOS
            for name in scenario.names(place)
        )
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    cache = ["--cache-dir", str(directory.resolve() / "ruff")]
    passed = [
        _run("ruff", "check", "--quiet", *cache, *SETTINGS, ".", str(MEASUREMENTS)),
        _run("ruff", "format", "--check", "--quiet", *cache, *SETTINGS, ".", str(MEASUREMENTS)),
        _types(directory, typed),
        _run(
            "unittest",
            "discover",
            "--start-directory",
            "driver/tests",
            "--top-level-directory",
            "driver",
        ),
    ]
    return 0 if all(passed) else 1


def located(complaints: str, typed: Mapping[str, Typed]) -> str:
    """What mypy says of the files that we wrote, as if it were of the scenarios."""

    def of_scenario(match: re.Match[str]) -> str:
        chosen = typed[match[1]]
        return f"{chosen.script}:{int(match[2]) - chosen.offset}:"

    return COMPLAINT.sub(of_scenario, complaints)


def _write_typed(directory: Path, chosen: Scenario) -> tuple[str, Typed]:
    assert prelude.__file__ is not None
    lines = Path(prelude.__file__).read_text().splitlines()
    lines += [f"{machine.name}: QemuMachine" for machine in chosen.machines]
    if len(chosen.machines) == 1 and chosen.machines[0].name != "machine":
        lines.append("machine: QemuMachine")
    text = "\n".join([*lines, chosen.script.read_text()])
    (directory / f"scenario_{chosen.name}.py").write_text(text)
    return chosen.name, Typed(chosen.script, len(lines))


def _types(directory: Path, typed: Mapping[str, Typed]) -> bool:
    files = [str((directory / f"scenario_{name}.py").resolve()) for name in typed]
    cache = str(directory.resolve() / "mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--cache-dir",
        cache,
        "driver",
        "nixos/nixos_driver",
        *files,
    ]
    done = subprocess.run(command, cwd=VM_TESTS, stdout=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(located(done.stdout, typed))
    return done.returncode == 0


def _run(module: str, *arguments: str) -> bool:
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=VM_TESTS, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
