"""Reads a fleet.yaml: which programs shall run on which devices. Every mistake has its line. It asks no host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec
import yaml
from msgspec import Struct, field

from microclaw.apps.building import check_app_name
from microclaw.apps.fleet_operations import FleetProgram
from microclaw.apps.run_times import times_body
from microclaw.cli.program_files import expectations_text, name_of_file, program_values
from microclaw.config.schema import did_you_mean
from microclaw.config.yaml_file import YamlFile
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.durable import read_given
from microclaw.errors import MicroclawError
from microclaw.link_server.device_facts import ListedDevice

MAX_BYTES: Final = 1 << 20
_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
_Names = Annotated[list[_Text], msgspec.Meta(min_length=1)]
_FILES: Final[dict[str, Any]] = {
    "file": _Text,
    "name": _Text,
    "devices": _Names | Literal["all"],
    "labels": _Names,
    "expect": _Text,
    "every": str | int,
    "stop_after": str | int,
}
_MADE: Final = ("source", "wasm", "language", "every_ms", "stop_after_ms")  # of the fields above
_TERMS: Final[dict[str, Any]] = {
    key: kind
    for key, kind in get_type_hints(FleetProgram, include_extras=True).items()
    if key not in _FILES and key not in _MADE
}
_FORM: Final = {**_FILES, **_TERMS}
_EMPTY: Final = "write programs:, and below it - file: blink.c"


class FleetEntry(Struct):
    """A program of the file. `body` is what the host takes, without its devices; these are chosen by `nodes`."""

    line: int
    name: str
    body: dict[str, Any]
    labels: list[str]
    nodes: list[yaml.Node] | None  # of names or ids; None: by labels, or all
    choice: yaml.Node
    ids: list[str] = field(default_factory=list)  # `choose_devices` finds them


class FleetFile(YamlFile):
    """`entries` are those that could be read, `mistakes` is what is wrong so far."""

    page = "docs/fleet.md"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entries: list[FleetEntry] = []
        root = self.root(read_given(path, MAX_BYTES), _EMPTY)
        fields = {} if root is None else self.fields(root, ("programs",), "a fleet")
        programs = fields.get("programs")
        if root is not None and programs is None:
            self.at(root, "programs is missing", _EMPTY)
        elif isinstance(programs, yaml.SequenceNode):
            for node in programs.value:
                self._entry(node)
        elif programs is not None:
            self.at(programs, "programs has to be a list", "write - file: blink.c, one for each program")

    def choose_devices(self, known: Sequence[ListedDevice]) -> None:
        """Give each entry the ids of its devices, of those that the host knows."""
        taken: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            chosen = self._by_labels(entry, known) if entry.nodes is None else self._named(entry.nodes, known)
            firsts = {taken.setdefault((entry.name, one.device_id), entry.line): one.name for one in chosen}
            for first, name in firsts.items():
                if first != entry.line:
                    text = f"{entry.name} is on {name} already, by the entry in line {first}"
                    self.wrong(entry.line, text, "give one of the two another name, or other devices")
            entry.ids = [one.device_id for one in chosen]

    def _by_labels(self, entry: FleetEntry, known: Sequence[ListedDevice]) -> list[ListedDevice]:
        found = [one for one in known if set(entry.labels).issubset(one.labels)]
        taking = [one for one in found if AppInstall.method in one.capabilities]
        if not taking:
            what = f"no device has the label {' and '.join(entry.labels)}" if entry.labels else "the host has no device"
            none = f"none of these takes programs: {names_text([one.name for one in found])}"
            self.at(entry.choice, none if found else what, "microclaw device list")
        return taking

    def _named(self, wanted: list[yaml.Node], known: Sequence[ListedDevice]) -> list[ListedDevice]:
        found: list[ListedDevice] = []
        for node in wanted:
            one = next((one for one in known if node.value in (one.name, one.device_id)), None)
            if one is None:
                near = did_you_mean(node.value, [one.name for one in known])
                self.at(node, f"no device is named {node.value!r}{near}", "microclaw device list")
            elif one in found:
                self.at(node, f"{one.name} is there twice", "leave one of them out")
            elif AppInstall.method not in one.capabilities:
                self.at(node, f"{one.name} takes no programs", f"microclaw device show {one.name}")
            else:
                found.append(one)
        return found

    def _entry(self, node: yaml.Node) -> None:
        fields = self.fields(node, tuple(_FORM), "a program")
        if not fields:
            return
        values = {key: self.value(at, key, _FORM[key]) for key, at in fields.items()}
        found = {key: value for key, value in values.items() if value is not None}
        if "file" not in fields:
            self.at(node, "file is missing", "write file: blink.c, a path beside this file")
        name = found.get("name", "" if "name" in fields else name_of_file(Path(found.get("file", ""))))
        body: dict[str, Any] = {"name": name, **{key: found[key] for key in _TERMS if key in found}}
        if name:
            self._tried(fields.get("name", fields.get("file", node)), lambda: check_app_name(name))
        for key, read in (("file", program_values), ("expect", lambda file: {"expect": expectations_text(file)})):
            if key in found:
                body |= self._tried(fields[key], partial(read, self.path.parent / found[key])) or {}
        times = [str(found[key]) if key in found else None for key in ("every", "stop_after")]
        body |= self._tried(fields.get("every", fields.get("stop_after", node)), lambda: times_body(*times)) or {}
        both = [key for key in ("devices", "labels") if key in fields]
        if len(both) != 1:
            text = "devices and labels together have two meanings" if both else "it says no devices"
            self.at(fields.get("labels", node), text, "give devices: [NAME], labels: [LABEL] or devices: all")
        elif name and both[0] in found:  # its devices are looked at, too, when something else in it is wrong
            choice = fields[both[0]]
            nodes = choice.value if isinstance(found.get("devices"), list) else None
            entry = FleetEntry(node.start_mark.line + 1, name, body, found.get("labels", []), nodes, choice)
            self.entries.append(entry)

    def _tried(self, node: yaml.Node, act: Callable[[], Any]) -> Any:
        """Its result; what it raises is a mistake at this place, and gives None."""
        try:
            return act()
        except MicroclawError as exc:
            details = [one.render() for one in getattr(exc, "diagnostics", ())]
            self.at(node, "; ".join(details) or exc.message, exc.next_step or "correct it")
        except ValueError as exc:  # a name that no file can have
            self.at(node, str(exc), "docs/fleet.md has what it may be")
