"""What a scenario needs, from the TOML file beside it.

```toml
time_limit_seconds = 300

[machines.machine]
boot = "direct"                # or "media"
tpm = true                     # false
memory_mb = 1024               # 1024
append = "secretmem.enable=0"  # "", for boot = "direct"
smbios = []                    # strings of SMBIOS type 11, as an attacker could set them

[[machines.machine.disks]]     # none
name = "stick"                 # machines that name the same disk share it, one after the other
size_mb = 64
format = "vfat"                # "none", "vfat" or "ext4"
label = "SESAME"               # ""
```

`media` is the untouched disk behind the firmware: the ceremony console is the serial line, and there is
no shell. `direct` is the same kernel, initrd and root, without the firmware and with a root shell.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

Boot = Literal["media", "direct"]
Format = Literal["none", "vfat", "ext4"]
BOOTS: tuple[Boot, ...] = ("media", "direct")
FORMATS: tuple[Format, ...] = ("none", "vfat", "ext4")

# A machine's name is a variable of the scenario, and a directory.
NAME = re.compile(r"[a-z][a-z0-9_]*")
DISK_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
DEFAULT_MEMORY_MB = 1024


class ScenarioError(Exception):
    """A TOML file that does not say what machines a scenario needs."""


@dataclass(frozen=True)
class Disk:
    """A disk beside the one that is booted; made once, kept over crash and start."""

    name: str
    size_mb: int
    format: Format
    label: str


@dataclass(frozen=True)
class MachineSpec:
    """One machine of a scenario."""

    name: str
    boot: Boot
    tpm: bool
    memory_mb: int
    append: str
    smbios: tuple[str, ...]
    disks: tuple[Disk, ...]


@dataclass(frozen=True)
class Scenario:
    """A scenario's file and what it runs on."""

    name: str
    script: Path
    time_limit_seconds: int
    machines: tuple[MachineSpec, ...]


def names(directory: Path) -> list[str]:
    """The scenarios of a directory: each Python file."""
    return sorted(path.stem for path in directory.glob("*.py"))


def load(directory: Path, name: str) -> Scenario:
    """Reads NAME.toml beside NAME.py."""
    script = directory / f"{name}.py"
    if not script.is_file():
        known = ", ".join(names(directory))
        raise ScenarioError(f"there is no scenario {name}; there are {known}")
    description = script.with_suffix(".toml")
    try:
        text = description.read_text()
    except OSError as error:
        raise ScenarioError(f"cannot read {description}: {error}") from error
    try:
        return parse(text, script)
    except ScenarioError as error:
        raise ScenarioError(f"{description}: {error}") from error


def parse(text: str, script: Path) -> Scenario:
    """A scenario from the text of its TOML file."""
    try:
        table = _Table("the file", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(str(error)) from error
    limit = table.positive("time_limit_seconds")
    machines = tuple(
        _machine(name, _Table(f"machines.{name}", value)) for name, value in table.take("machines", dict).items()
    )
    table.finish()
    if not machines:
        raise ScenarioError("machines: none")
    _check_shared(machines)
    return Scenario(script.stem, script, limit, machines)


def _machine(name: str, table: "_Table") -> MachineSpec:
    if not NAME.fullmatch(name):
        raise ScenarioError(f"machines.{name}: a name is lower-case letters, digits and _")
    boot = table.one_of("boot", BOOTS)
    append = table.take("append", str, "")
    if append and boot != "direct":
        raise ScenarioError(f'machines.{name}: append needs boot = "direct"; media are untouched')
    spec = MachineSpec(
        name=name,
        boot=boot,
        tpm=table.take("tpm", bool, False),
        memory_mb=table.positive("memory_mb", DEFAULT_MEMORY_MB),
        append=append,
        smbios=tuple(table.strings("smbios")),
        disks=tuple(
            _disk(_Table(f"machines.{name}.disks[{index}]", value))
            for index, value in enumerate(table.take("disks", list, []))
        ),
    )
    table.finish()
    return spec


def _disk(table: "_Table") -> Disk:
    disk = Disk(
        name=table.take("name", str),
        size_mb=table.positive("size_mb"),
        format=table.one_of("format", FORMATS),
        label=table.take("label", str, ""),
    )
    table.finish()
    if not DISK_NAME.fullmatch(disk.name):
        raise ScenarioError(f"{table.place}: a disk's name is at most 20 letters, digits and -")
    if disk.label and disk.format == "none":
        raise ScenarioError(f"{table.place}: a label needs a file system")
    return disk


def _check_shared(machines: tuple[MachineSpec, ...]) -> None:
    disks: dict[str, Disk] = {}
    for machine in machines:
        names = [disk.name for disk in machine.disks]
        if len(set(names)) != len(names):
            raise ScenarioError(f"machines.{machine.name}: two disks of one name")
        for disk in machine.disks:
            if disks.setdefault(disk.name, disk) != disk:
                raise ScenarioError(f"disk {disk.name}: described in two ways")


T = TypeVar("T")
Choice = TypeVar("Choice", bound=str)


class _Table:
    """A TOML table from which each key is taken once; what is left over is a mistake."""

    def __init__(self, place: str, table: object) -> None:
        if not isinstance(table, dict):
            raise ScenarioError(f"{place}: a table is wanted")
        self.place = place
        self._left: dict[str, object] = dict(table)

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        value = self._left.pop(key, default)
        if value is None:
            raise ScenarioError(f"{self.place}: {key} is missing")
        # To Python, true is a number.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ScenarioError(f"{self.place}: {key} must be of type {kind.__name__}")
        return value

    def positive(self, key: str, default: int | None = None) -> int:
        value = self.take(key, int, default)
        if value <= 0:
            raise ScenarioError(f"{self.place}: {key} must be above 0")
        return value

    def one_of(self, key: str, choices: tuple[Choice, ...]) -> Choice:
        value = self.take(key, str)
        for choice in choices:
            if value == choice:
                return choice
        raise ScenarioError(f"{self.place}: {key} is one of {', '.join(choices)}, not {value}")

    def strings(self, key: str) -> list[str]:
        values: list[str] = []
        for value in self.take(key, list, []):
            if not isinstance(value, str):
                raise ScenarioError(f"{self.place}: {key} holds strings")
            values.append(value)
        return values

    def finish(self) -> None:
        if self._left:
            raise ScenarioError(f"{self.place}: unknown: {', '.join(sorted(self._left))}")
