"""`python3 -m vm_driver`: runs scenarios; `cargo xtask test --vm NAME` calls it."""

import argparse
import os
import sys
from pathlib import Path

from vm_driver import acceleration, runner, scenario, tools_tree
from vm_driver.command_line import Programs
from vm_driver.driver import Driver
from vm_driver.errors import MachineError
from vm_driver.log import Logger
from vm_driver.qemu_machine import Environment
from vm_driver.scenario import ScenarioError

VM_TESTS = Path(__file__).resolve().parents[2]
# Where scenario_lib.programs finds programs of ours; its variables.
OUR_PROGRAMS = ("SESAME_TEST_PROGRAMS", "SESAME_PROGRAM")


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    for name in OUR_PROGRAMS:
        if name in os.environ:
            os.environ[name] = str(_path(os.environ[name]))
    try:
        if options.tools is not None:
            inner = [*_arguments(options, options.accelerator), f"--jobs={options.jobs}", *options.names]
            tools_tree.enter(options.tools, _visible(options), inner)
        if options.one is not None:
            return _one(options)
        return _all(options)
    except (MachineError, ScenarioError) as error:
        print(f"vm-tests: {error}", file=sys.stderr)
        return 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    target = VM_TESTS.parent / "target"
    parser = argparse.ArgumentParser(prog="vm_driver", description="Runs VM scenarios.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; all where none is named")
    parser.add_argument("--scenarios", type=_path, default=VM_TESTS / "scenarios", help="where they are")
    parser.add_argument("--image", type=_path, default=target / "image", help="where the image is")
    parser.add_argument("--out", type=_path, default=target / "vm", help="where logs go")
    parser.add_argument("--tools", type=_path, help="the tools tree; without it, programs of the host")
    parser.add_argument("--qemu", type=_program, default=Programs.qemu)
    parser.add_argument("--swtpm", type=_program, default=Programs.swtpm)
    parser.add_argument("--firmware", type=_path, default=Programs.firmware, help="OVMF's directory")
    parser.add_argument("--accelerator", choices=["auto", "kvm", "tcg"], default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at a time")
    parser.add_argument("--verbose", action="store_true", help="every step, and the consoles")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _path(text: str) -> Path:
    """Absolute, since neither the tools tree nor a machine has our current directory."""
    return Path(text).resolve()


def _program(text: str) -> str:
    """A name to look up in PATH as it is; a path is made absolute."""
    return str(_path(text)) if "/" in text else text


def _visible(options: argparse.Namespace) -> list[Path]:
    options.out.mkdir(parents=True, exist_ok=True)
    programs = [os.environ[name] for name in OUR_PROGRAMS if name in os.environ]
    directories = [path if path.is_dir() else path.parent for path in map(Path, programs)]
    return [VM_TESTS.parent, options.scenarios, options.image, options.out, *directories]


def _arguments(options: argparse.Namespace, accelerator: str) -> list[str]:
    """The options again, for a process of ours that already sees the tools."""
    names = ("scenarios", "image", "out", "qemu", "swtpm", "firmware")
    words = [f"--{name}={getattr(options, name)}" for name in names]
    return [*words, f"--accelerator={accelerator}", *(["--verbose"] if options.verbose else [])]


def _all(options: argparse.Namespace) -> int:
    names = options.names or scenario.names(options.scenarios)
    scenarios = [scenario.load(options.scenarios, name) for name in names]
    programs = _programs(options)
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = acceleration.choose(programs, _only(options.image, ".efi"))
    how = "KVM" if accelerator == "kvm" else "emulation"
    print(f"vm-tests: {', '.join(names)}; {options.jobs} at a time, {how}", file=sys.stderr)
    failed = runner.run(scenarios, _arguments(options, accelerator), options.jobs)
    if failed:
        print(f"vm-tests: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _one(options: argparse.Namespace) -> int:
    chosen = scenario.load(options.scenarios, options.one)
    environment = Environment(
        programs=_programs(options),
        accelerator=options.accelerator,
        disk=_only(options.image, ".raw"),
        uki=_only(options.image, ".efi"),
        disks_dir=options.out / chosen.name / "disks",
    )
    # For scenario_lib.image.
    os.environ["SESAME_DISK"] = str(environment.disk)
    os.environ["SESAME_UKI"] = str(environment.uki)
    logger = Logger(chosen.name, verbose=options.verbose)
    driver = Driver(chosen, environment, logger, options.out)
    passed = driver.run()
    if not passed:
        for path in driver.logs():
            logger.warning(f"kept: {path}")
    return 0 if passed else 1


def _programs(options: argparse.Namespace) -> Programs:
    return Programs(options.qemu, options.swtpm, options.firmware)


def _only(directory: Path, ending: str) -> Path:
    """The image's file of a kind; its name has the version."""
    found = [path for path in directory.glob(f"sesame-ceremony_*{ending}") if ".signed." not in path.name]
    if len(found) != 1:
        raise MachineError(f"{directory} has {len(found)} images ({ending}); `cargo xtask image` makes one")
    return found[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
