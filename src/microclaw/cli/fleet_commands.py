"""`microclaw fleet`: a file says which programs shall run on which devices; every mistake in it has its line. The host
compares and acts (apps/fleet_operations.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import click
import msgspec
import yaml
from msgspec import Struct, field

from microclaw.apps import fleet_operations as fleet
from microclaw.apps.building import check_app_name
from microclaw.apps.fleet_operations import FLEET, FleetProgram
from microclaw.apps.run_times import times_body
from microclaw.cli.many_devices import chosen_names, known_devices
from microclaw.cli.operation_commands import done, show
from microclaw.cli.options import GlobalOptions, command
from microclaw.cli.program_files import expectations_text, name_of_file, program_values
from microclaw.config.schema import did_you_mean
from microclaw.config.yaml_file import YamlFile
from microclaw.devices.calls import AppInstall
from microclaw.devices.selection import names_text
from microclaw.durable import read_given, write_given
from microclaw.errors import ConfigError, MicroclawError, ProtocolError
from microclaw.link_server.device_facts import ListedDevice
from microclaw.text import count_text

fleet_group = click.Group(no_args_is_help=True)
_FILE: Final = re.compile(r"[A-Za-z0-9][\w.-]*\.(c|cpp|ino|py|wasm|yaml)")


@command(fleet_group)
@click.option("-f", "--file", default=Path(FLEET), type=Path, metavar="FILE", help="What shall run where.")
@click.option("--prune", is_flag=True, help="Also take off what is not in it and this host installed.")
@click.option("--dry-run", is_flag=True, help="Show what it would change, and change nothing; exit code 1: something.")
def apply(options: GlobalOptions, file: Path, prune: bool, dry_run: bool) -> None:
    """Make the devices run what a file says. A second time it does nothing."""
    host = options.host()
    asked = {**_read(options, file), "prune": prune}
    found = done(options, host, fleet.diff, asked)
    if dry_run:
        show(options, fleet.diff, found)
        return
    if found.differences and not options.quiet and not options.json:
        options.table(found.table(), head=tuple(found.columns))
    if found.differences and "refused" not in found.counts:
        options.agree(found.question)
    asked |= {"digest": found.digest}
    show(options, fleet.apply, done(options, host, fleet.apply, asked))


@command(fleet_group)
@click.option("--out", type=Path, metavar="DIR", help="Write file and programs there; else the file is printed.")
def export(options: GlobalOptions, out: Path | None) -> None:
    """Export the desired state of the devices, as a file for `apply`."""
    host = options.host()
    many = options.devices or options.labels or options.every
    found = done(options, host, fleet.export, {"devices": chosen_names(options, host) if many else None})
    if out is not None:
        _write(out, found.files)
        told = f"{count_text(len(found.programs), 'program')}, {count_text(len(found.files) - 1, 'file')} beside it"
        made = {"folder": str(out), "files": sorted(found.files), "programs": found.programs}
        options.report(found.document, made, f"{out / fleet.FLEET}: {told}")
    elif not options.wrote_json(found.document, {"folder": None, "files": [], "programs": found.programs}):
        text = found.files[fleet.FLEET].decode()
        options.line(f"{text}# This is the file alone; with the programs' files: microclaw fleet export --out DIR")


def _read(options: GlobalOptions, file: Path) -> dict[str, Any]:
    """The file as the host takes it, for the devices that are meant. Raises FileMistakes with all that is wrong."""
    found = FleetFile(file)
    host = options.host()
    try:
        known = known_devices(host)
    except MicroclawError:
        found.check()  # what is wrong without a host is told without one
        raise
    found.choose_devices(known)
    found.check()
    ids = {one for entry in found.entries for one in entry.ids}
    if options.devices or options.labels or options.every:
        names = chosen_names(options, host)
        meant = [one for one in known if one.name in names]
        ids = {one.device_id for one in meant if AppInstall.method in one.capabilities}
        if len(ids) < len(meant) and (options.devices or not ids):
            others = [one.name for one in meant if one.device_id not in ids]
            raise ConfigError(f"takes no programs: {names_text(others)}", next_step="microclaw device show NAME")
    programs = [{**entry.body, "devices": [one for one in entry.ids if one in ids]} for entry in found.entries]
    devices = [one.device_id for one in known if one.device_id in ids]
    return {"programs": [one for one in programs if one["devices"]], "devices": devices}


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write them all, or raise ConfigError: a file that is there with another content is never replaced."""
    if odd := [name for name in files if not _FILE.fullmatch(name)]:  # the host may be another one
        raise ProtocolError(f"the host named a file {odd[0][:60]!r}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [name for name in files if not (folder / name).exists() and not (folder / name).is_symlink()]
        for name in files.keys() - missing:
            if (at := folder / name).read_bytes() != files[name]:
                raise ConfigError(f"{at} is there and is not the same", next_step="give an empty folder with --out")
        for name in missing:
            write_given(folder / name, [files[name]], next_step="give an empty folder with --out")
    except OSError as exc:
        raise ConfigError(f"cannot write into {folder}: {exc.strerror}", next_step="give another --out DIR") from exc


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
        if root is None:
            fields = {}
        else:
            fields = self.fields(root, ("programs",), "a fleet")
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
            if entry.nodes is None:
                chosen = self._by_labels(entry, known)
            else:
                chosen = self._named(entry.nodes, known)
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
            if entry.labels:
                what = f"no device has the label {' and '.join(entry.labels)}"
            else:
                what = "the host has no device"
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
            details = [one.render() for one in exc.diagnostics]
            self.at(node, "; ".join(details) or exc.message, exc.next_step or "correct it")
        except ValueError as exc:  # a name that no file can have
            self.at(node, str(exc), "docs/fleet.md has what it may be")
