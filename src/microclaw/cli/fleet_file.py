"""Reads a fleet.yaml: which programs shall run on which devices. Every mistake has its line. It asks no host."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from microclaw.apps.building import check_app_name, program_language
from microclaw.apps.run_times import times_body
from microclaw.cli.program_files import WASM_MAGIC, name_of_file, read_expectations, read_program, source_text
from microclaw.config.schema import did_you_mean
from microclaw.config.yaml_file import YamlFile, is_number, is_word
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.durable import read_given
from microclaw.errors import MicroclawError
from microclaw.link_server.device_facts import ListedDevice

MAX_BYTES: Final = 1 << 20
KEYS: Final = (
    "file",
    "name",
    "devices",
    "labels",
    "heap_bytes",
    "timers",
    "watchdog_ms",
    "optimization",
    "expect",
    "every",
    "stop_after",
)
NUMBERS: Final = {"heap_bytes": (256, 16 << 20), "timers": (1, 255), "watchdog_ms": (1000, 86_400_000)}
"""With the least and the most, as the host takes them."""
TIMES: Final = ("every", "stop_after")
LEVELS: Final = ("O0", "O1", "O2", "O3", "Os", "Oz")
EVERY: Final = "all"


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
        self._read()

    def choose_devices(self, known: Sequence[ListedDevice]) -> None:
        """Give each entry the ids of its devices, of those that the host knows."""
        taken: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            chosen = self._chosen(entry, known)
            twice: dict[int, list[str]] = {}
            for one in chosen:
                first = taken.setdefault((entry.name, one.device_id), entry.line)
                if first != entry.line:
                    twice.setdefault(first, []).append(one.name)
            for first, names in twice.items():
                text = f"{entry.name} is on {names_text(names)} already, by the entry in line {first}"
                self.wrong(entry.line, text, "give one of the two another name, or other devices")
            entry.ids = [one.device_id for one in chosen]

    def _chosen(self, entry: FleetEntry, known: Sequence[ListedDevice]) -> list[ListedDevice]:
        if entry.devices is not None:
            return self._named(entry.devices, known)
        found = [one for one in known if set(entry.labels).issubset(one.labels)]
        taking = [one for one in found if AppInstall.method in one.capabilities]
        if not taking:
            what = f"no device has the label {' and '.join(entry.labels)}" if entry.labels else "the host has no device"
            labels = sorted({label for one in known for label in one.labels})
            step = f"labels: {names_text(labels)}" if labels else "microclaw device label NAME LABEL"
            if found:
                what = f"none of these takes programs: {names_text([one.name for one in found])}"
            self.wrong(entry.choice_line, what, step)
        return taking

    def _named(self, wanted: list[tuple[str, int]], known: Sequence[ListedDevice]) -> list[ListedDevice]:
        found: list[ListedDevice] = []
        for word, line in wanted:
            one = next((one for one in known if word in (one.name, one.device_id)), None)
            if one is None:
                near = did_you_mean(word, [one.name for one in known])
                self.wrong(line, f"no device is named {word!r}{near}", "microclaw device list")
            elif one in found:
                self.wrong(line, f"{one.name} is there twice", "leave one of them out")
            elif AppInstall.method not in one.capabilities:
                self.wrong(line, f"{one.name} takes no programs", f"microclaw device show {one.name}")
            else:
                found.append(one)
        return found

    def _read(self) -> None:
        root = self.root(read_given(self.path, MAX_BYTES), "write programs:, and below it - file: blink.c")
        if root is None:
            return
        fields = self.fields(root, ("programs",), "a fleet")
        programs = fields.get("programs")
        if fields and not isinstance(programs, yaml.SequenceNode) and programs is not None:
            self.at(programs, "programs has to be a list", "write - file: blink.c, one for each program")
        elif programs is None:
            self.at(root, "programs is missing", "write programs:, and below it - file: blink.c")
        else:
            for node in programs.value:
                self._entry(node)

    def _entry(self, node: yaml.Node) -> None:
        fields = self.fields(node, KEYS, "a program")
        if not fields:
            return
        body: dict[str, Any] = {}
        file = self.text(fields["file"], "file") if "file" in fields else None
        if "file" not in fields:
            self.at(node, "file is missing", "write file: blink.c, a path beside this file")
        name = self.text(fields["name"], "name") if "name" in fields else name_of_file(Path(file or ""))
        if name:
            self._try(fields.get("name", fields.get("file", node)), lambda: check_app_name(name))
        if file:
            self._try(fields["file"], lambda: body.update(_program(self.path.parent / file)))
        for key, (least, most) in NUMBERS.items():
            if key in fields:
                body[key] = self.number(fields[key], key, least, most)
        if "optimization" in fields:
            body["optimization"] = self.text(fields["optimization"], "optimization")
            if body["optimization"] is not None and body["optimization"] not in LEVELS:
                self.at(fields["optimization"], "optimization has to be one of these", ", ".join(LEVELS))
        if "expect" in fields and (expect := self.text(fields["expect"], "expect")):
            at = self.path.parent / expect
            self._try(fields["expect"], lambda: body.update(expect=read_expectations(at).text))
        self._times(fields, body)
        entry = FleetEntry(node.start_mark.line + 1, name or "", {"name": name, **body})
        self._choice(node, fields, entry)
        if name and entry.choice_line:  # its devices are looked at, too, when something else in it is wrong
            self.entries.append(entry)

    def _times(self, fields: Mapping[str, yaml.Node], body: dict[str, Any]) -> None:
        """When the program runs: `every: 10m`, `stop_after: 30s`, as `run` has them."""
        there = [key for key in TIMES if key in fields]
        words = {key: self._time(fields[key], key) for key in there}
        if there and None not in words.values():
            times = partial(times_body, words.get("every"), words.get("stop_after"))
            self._try(fields[there[0]], lambda: body.update(times()))

    def _time(self, node: yaml.Node, key: str) -> str | None:
        """As a text, or a number of seconds."""
        return str(node.value) if is_number(node) else self.text(node, key)

    def _choice(self, node: yaml.Node, fields: Mapping[str, yaml.Node], entry: FleetEntry) -> None:
        """Exactly one of devices and labels."""
        if ("devices" in fields) == ("labels" in fields):
            both = "devices" in fields
            text = "devices and labels together have two meanings" if both else "it says no devices"
            self.at(fields.get("labels", node), text, "give devices: [NAME], labels: [LABEL] or devices: all")
            return
        key = "devices" if "devices" in fields else "labels"
        chosen = fields[key]
        if isinstance(chosen, yaml.ScalarNode):
            if key == "devices" and is_word(chosen, EVERY):
                entry.choice_line = chosen.start_mark.line + 1
                return
            self.at(chosen, f"{key} has to be a list", f"write {key}: [{chosen.value:.40}]")
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


def _program(file: Path) -> dict[str, Any]:
    """The program as the host takes it. Raises ConfigError and BuildError."""
    content = read_program(file)
    if content.startswith(WASM_MAGIC):
        return {"wasm": base64.b64encode(content).decode()}
    return {"source": source_text(content, file), "language": program_language(file.name)}
