"""Reads a fleet.yaml: which programs shall run on which devices. Every mistake has its line. It asks no host."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec
import yaml

from microclaw.apps.building import check_app_name, program_language
from microclaw.apps.fleet_operations import FleetProgram
from microclaw.apps.run_times import times_body
from microclaw.cli.program_files import WASM_MAGIC, name_of_file, read_expectations, read_program, source_text
from microclaw.config.schema import did_you_mean
from microclaw.config.yaml_file import YamlFile, is_word
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.durable import read_given
from microclaw.errors import ConfigError, MicroclawError

MAX_BYTES: Final = 1 << 20
TERMS: Final = ("heap_bytes", "timers", "watchdog_ms", "optimization")
TIMES: Final = ("every", "stop_after")
KEYS: Final = ("file", "name", "devices", "labels", *TERMS, "expect", *TIMES)
_TYPES: Final = get_type_hints(FleetProgram, include_extras=True)
_EMPTY: Final = "write programs:, and below it - file: blink.c"


@dataclass(slots=True)
class FleetEntry:
    """A program of the file. `body` is what the host takes, without its devices; these are chosen by `words`."""

    line: int
    name: str
    body: dict[str, Any]
    devices: list[tuple[str, int]] | None = None  # names or ids with their lines; None: by labels, or all
    labels: list[str] = field(default_factory=list)
    choice_line: int = 0  # 0: the choice itself is wrong
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

    def choose_devices(self, known: Sequence[Mapping[str, Any]]) -> None:
        """Give each entry the ids of its devices, of those that the host knows."""
        taken: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            chosen = self._by_labels(entry, known) if entry.devices is None else self._named(entry.devices, known)
            for one in chosen:
                first = taken.setdefault((entry.name, one["device_id"]), entry.line)
                if first != entry.line:
                    text = f"{entry.name} is on {one['name']} already, by the entry in line {first}"
                    self.wrong(entry.line, text, "give one of the two another name, or other devices")
                    break
            entry.ids = [str(one["device_id"]) for one in chosen]

    def _by_labels(self, entry: FleetEntry, known: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        found = [one for one in known if set(entry.labels).issubset(one["labels"])]
        taking = [one for one in found if AppInstall.method in one["capabilities"]]
        if found and not taking:
            names = names_text([one["name"] for one in found])
            self.wrong(entry.choice_line, f"none of these takes programs: {names}", "microclaw device list")
        elif not taking:
            what = f"no device has the label {' and '.join(entry.labels)}" if entry.labels else "the host has no device"
            self.wrong(entry.choice_line, what, "microclaw device list")
        return taking

    def _named(self, wanted: list[tuple[str, int]], known: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for word, line in wanted:
            one = next((one for one in known if word in (one["name"], one["device_id"])), None)
            if one is None:
                near = did_you_mean(word, [str(one["name"]) for one in known])
                self.wrong(line, f"no device is named {word!r}{near}", "microclaw device list")
            elif one in found:
                self.wrong(line, f"{one['name']} is there twice", "leave one of them out")
            elif AppInstall.method not in one["capabilities"]:
                self.wrong(line, f"{one['name']} takes no programs", f"microclaw device show {one['name']}")
            else:
                found.append(one)
        return found

    def _entry(self, node: yaml.Node) -> None:
        fields = self.fields(node, KEYS, "a program")
        if not fields:
            return
        body: dict[str, Any] = {}
        texts = {key: self.text(fields[key], key) for key in ("file", "name", "expect") if key in fields}
        file, name, expect = texts.get("file"), texts.get("name"), texts.get("expect")
        if "file" not in fields:
            self.at(node, "file is missing", "write file: blink.c, a path beside this file")
        if "name" not in fields:
            name = name_of_file(Path(file or ""))
        if name:
            self._try(fields.get("name", fields.get("file", node)), lambda: check_app_name(name))
        if file:
            self._try(fields["file"], lambda: body.update(_program(self.path.parent / file)))
        if expect:
            at = self.path.parent / expect
            self._try(fields["expect"], lambda: body.update(expect=read_expectations(at).text))
        for key in TERMS:
            if key in fields:
                self._try(fields[key], partial(_put, body, key, fields[key]))
        if any(key in fields for key in TIMES):
            self._try(next(fields[key] for key in TIMES if key in fields), lambda: body.update(_times(fields)))
        entry = FleetEntry(node.start_mark.line + 1, name or "", {"name": name, **body})
        self._choice(node, fields, entry)
        if name and entry.choice_line:  # its devices are looked at, too, when something else in it is wrong
            self.entries.append(entry)

    def _choice(self, node: yaml.Node, fields: Mapping[str, yaml.Node], entry: FleetEntry) -> None:
        """Exactly one of devices and labels."""
        if ("devices" in fields) == ("labels" in fields):
            both = "devices" in fields
            text = "devices and labels together have two meanings" if both else "it says no devices"
            self.at(fields.get("labels", node), text, "give devices: [NAME], labels: [LABEL] or devices: all")
            return
        key = "devices" if "devices" in fields else "labels"
        chosen = fields[key]
        if key == "devices" and is_word(chosen, "all"):
            entry.choice_line = chosen.start_mark.line + 1
        elif not isinstance(chosen, yaml.SequenceNode) or not chosen.value:
            self.at(chosen, f"{key} has to be a list of names", f"write {key}: [NAME]")
        else:
            words = [(self.text(one, f"a name in {key}"), one.start_mark.line + 1) for one in chosen.value]
            if None not in (word for word, _ in words):
                entry.choice_line = chosen.start_mark.line + 1
            entry.devices = [(word, line) for word, line in words if word] if key == "devices" else None
            entry.labels = [word for word, _ in words if word] if key == "labels" else []

    def _try(self, node: yaml.Node, act: Callable[[], object]) -> None:
        """Do it; what it raises is a mistake at this place."""
        try:
            act()
        except MicroclawError as exc:
            details = [one.render() for one in getattr(exc, "diagnostics", ())]
            self.at(node, "; ".join(details) or exc.message, exc.next_step or "correct it")


def _put(body: dict[str, Any], key: str, node: yaml.Node) -> None:
    body[key] = _value(node, _TYPES[key])


def _times(fields: Mapping[str, yaml.Node]) -> dict[str, int | None]:
    """When the program runs: `every: 10m`, `stop_after: 30s`, as `run` has them."""
    return times_body(*(str(_value(fields[key], str | int)) if key in fields else None for key in TIMES))


def _value(node: yaml.Node, kind: Any) -> Any:
    """A value of this type. Raises ConfigError."""
    try:
        return msgspec.convert(yaml.safe_load(yaml.serialize(node)), kind)
    except (msgspec.ValidationError, yaml.YAMLError, ValueError) as exc:
        raise ConfigError(f"{exc}".replace("`", ""), next_step="docs/fleet.md has what it may be") from exc


def _program(file: Path) -> dict[str, Any]:
    """The program as the host takes it. Raises ConfigError and BuildError."""
    content = read_program(file)
    if content.startswith(WASM_MAGIC):
        return {"wasm": base64.b64encode(content).decode()}
    return {"source": source_text(content, file), "language": program_language(file.name)}
