"""`python3 -m vm_driver.check DIRECTORY`: ruff, mypy and the driver's own tests.

Scenarios are type-checked as NixOS does it: after a prelude that declares what they find in their
globals, one file each, in DIRECTORY. Needs the packages of requirements.txt.
"""

import re
import subprocess
import sys
from pathlib import Path

from vm_driver import prelude, scenario
from vm_driver.scenario import ScenarioError

VM_TESTS = Path(__file__).resolve().parents[2]
SCENARIOS = VM_TESTS / "scenarios"
# mypy's `FILE:LINE: …`, about a file that we wrote.
COMPLAINT = re.compile(r"^.*scenario_([\w-]+)\.py:(\d+):", re.MULTILINE)


def main(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("scenario_*.py"):
        old.unlink()
    try:
        offsets = {name: _write_typed(directory, name) for name in scenario.names(SCENARIOS)}
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    cache = ["--cache-dir", str(directory.resolve() / "ruff")]
    passed = [
        _run("ruff", "check", "--quiet", *cache, "."),
        _run("ruff", "format", "--check", "--quiet", *cache, "."),
        _types(directory, offsets),
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


def _write_typed(directory: Path, name: str) -> int:
    """Writes a scenario below the prelude; how many lines come before it."""
    chosen = scenario.load(SCENARIOS, name)
    assert prelude.__file__ is not None
    lines = Path(prelude.__file__).read_text().splitlines()
    lines += [f"{machine.name}: QemuMachine" for machine in chosen.machines]
    if len(chosen.machines) == 1 and chosen.machines[0].name != "machine":
        lines.append("machine: QemuMachine")
    text = "\n".join([*lines, chosen.script.read_text()])
    (directory / f"scenario_{name}.py").write_text(text)
    return len(lines)


def _types(directory: Path, offsets: dict[str, int]) -> bool:
    files = [str((directory / f"scenario_{name}.py").resolve()) for name in offsets]
    cache = str(directory.resolve() / "mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--cache-dir",
        cache,
        "driver",
        *files,
    ]
    done = subprocess.run(command, cwd=VM_TESTS, stdout=subprocess.PIPE, text=True, check=False)

    def in_scenario(match: re.Match[str]) -> str:
        return f"scenarios/{match[1]}.py:{int(match[2]) - offsets[match[1]]}:"

    sys.stderr.write(COMPLAINT.sub(in_scenario, done.stdout))
    return done.returncode == 0


def _run(module: str, *arguments: str) -> bool:
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=VM_TESTS, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
