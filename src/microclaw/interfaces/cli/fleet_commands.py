"""`microclaw fleet`: reads a file with the programs that devices shall run, and reports every mistake with its line.

The host compares it with the devices and changes them (programs/changes/fleet_operations.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import click
import msgspec
import yaml
from msgspec import Struct, field

from microclaw.devices.link.results import ListedDevice
from microclaw.devices.registry.calls import AppInstall
from microclaw.devices.registry.selection import names_text
from microclaw.durable import read_given, write_given
from microclaw.errors import ConfigError, MicroclawError, ProtocolError
from microclaw.host.config.schema import did_you_mean
from microclaw.host.config.yaml_file import YamlFile
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.operation_commands import run_act, show
from microclaw.interfaces.cli.options import GlobalOptions, command
from microclaw.interfaces.cli.program_files import expectations_text, name_of_file, program_values, program_wiring
from microclaw.interfaces.cli.targets import chosen_names, known_devices
from microclaw.programs.building import check_app_name
from microclaw.programs.changes import fleet_operations as fleet
from microclaw.programs.changes.fleet_operations import FLEET, FleetProgram
from microclaw.programs.run_times import times_body
from microclaw.text import count_text

fleet_group = click.Group(no_args_is_help=True)
MAX_BYTES: Final = 1 << 20
_FILE: Final = re.compile(r"[A-Za-z0-9][\w.-]*\.(c|cpp|ino|py|wasm|yaml)")


@command(fleet_group)
@click.option("-f", "--file", default=Path(FLEET), type=Path, metavar="FILE", help="What shall run where.")
@click.option("--prune", is_flag=True, help="Also remove programs of this host that are not in the file.")
@click.option("--dry-run", is_flag=True, help="Show the changes, and make none; exit code 1 if there are any.")
def apply(options: GlobalOptions, file: Path, prune: bool, dry_run: bool) -> None:
    """Make the devices run what a file says. A second time it does nothing."""
    host = options.host()
    request = {**_read_request(options, file), "prune": prune}
    diff = run_act(options, host, fleet.diff, request)
    if dry_run:
        show(options, fleet.diff, diff)
        return
    if diff.differences and not options.quiet and not options.json:
        options.table(diff.table(), head=tuple(diff.columns))
    if diff.differences and "refused" not in diff.counts:
        options.agree(diff.question)
    # The digest lets the host refuse if the devices have changed since the user agreed.
    request["digest"] = diff.digest
    show(options, fleet.apply, run_act(options, host, fleet.apply, request))


@command(fleet_group)
@click.option("--out", type=Path, metavar="DIR", help="Write file and programs there; else the file is printed.")
def export(options: GlobalOptions, out: Path | None) -> None:
    """Export the desired state of the devices, as a file for `apply`."""
    host = options.host()
    names = chosen_names(options, host) if _chooses_devices(options) else None
    result = run_act(options, host, fleet.export, {"devices": names})
    if out is not None:
        _write_files(out, result.files)
        counts = f"{count_text(len(result.programs), 'program')}, {count_text(len(result.files) - 1, 'file')} beside it"
        document = {"folder": str(out), "files": sorted(result.files), "programs": result.programs}
        options.report(result.document, document, f"{out / fleet.FLEET}: {counts}")
    elif not options.wrote_json(result.document, {"folder": None, "files": [], "programs": result.programs}):
        text = result.files[fleet.FLEET].decode()
        options.line(f"{text}# This is only the file; with the programs' files: microclaw fleet export --out DIR")


def _read_request(options: GlobalOptions, path: Path) -> dict[str, Any]:
    """Return the file's programs as the host takes them, for the chosen devices.

    Raises FileMistakes with all mistakes, ConfigError if a chosen device takes no programs.
    """
    file = FleetFile(path)
    host = options.host()
    try:
        known = known_devices(host)
    except MicroclawError:
        # Report the mistakes that can be found without a host first.
        file.check()
        raise
    file.choose_devices(known)
    file.check()
    if _chooses_devices(options):
        ids = _chosen_ids(options, host, known)
    else:
        ids = set()
        for entry in file.entries:
            ids.update(entry.ids)
    programs = []
    for entry in file.entries:
        devices = [device_id for device_id in entry.ids if device_id in ids]
        if devices:
            programs.append({**entry.body, "devices": devices})
    return {"programs": programs, "devices": [device.device_id for device in known if device.device_id in ids]}


def _chooses_devices(options: GlobalOptions) -> bool:
    return bool(options.devices or options.labels or options.every)


def _chosen_ids(options: GlobalOptions, host: Client, known: Sequence[ListedDevice]) -> set[str]:
    """Return the ids of the chosen devices that take programs.

    Raises ConfigError if a named one takes none, or if all of a label take none.
    """
    names = chosen_names(options, host)
    ids: set[str] = set()
    others = []
    for device in known:
        if device.name not in names:
            continue
        if _takes_programs(device):
            ids.add(device.device_id)
        else:
            others.append(device.name)
    if others and (options.devices or not ids):
        raise ConfigError(f"takes no programs: {names_text(others)}", next_step="microclaw device show NAME")
    return ids


def _takes_programs(device: ListedDevice) -> bool:
    return AppInstall.method in device.capabilities


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files into a folder. Never replaces a file with other content: raises ConfigError before it writes."""
    # The names come from a host, which may be on another machine and must not choose paths here.
    for name in files:
        if not _FILE.fullmatch(name):
            raise ProtocolError(f"the host named a file {name[:60]!r}")
    step = "give an empty folder with --out"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = []
        for name, content in files.items():
            path = folder / name
            if not path.exists() and not path.is_symlink():
                missing.append(name)
            elif path.read_bytes() != content:
                raise ConfigError(f"{path} is there and is not the same", next_step=step)
        for name in missing:
            write_given(folder / name, [files[name]], next_step=step)
    except OSError as exc:
        raise ConfigError(f"cannot write into {folder}: {exc.strerror}", next_step="give another --out DIR") from exc


_Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
_Names = Annotated[list[_Text], msgspec.Meta(min_length=1)]
_FILES: Final[dict[str, Any]] = {
    "file": _Text,
    "name": _Text,
    "devices": _Names | Literal["all"],
    "labels": _Names,
    "expect": _Text,
    "wiring": _Text,
    "every": str | int,
    "stop_after": str | int,
}
# These fields of a program are derived from the fields above.
_DERIVED: Final = ("source", "wasm", "language", "every_ms", "stop_after_ms")
_TERMS: Final[dict[str, Any]] = {
    key: kind
    for key, kind in get_type_hints(FleetProgram, include_extras=True).items()
    if key not in _FILES and key not in _DERIVED
}
_FORM: Final = {**_FILES, **_TERMS}
_EMPTY: Final = "write programs:, and below it - file: blink.c"


class FleetEntry(Struct):
    """A program of the file.

    `body` has the fields of the host's request without the devices. `nodes` are names or ids of its devices, None if
    `labels` chooses them (all devices, if it is empty). `choose_devices` sets `ids`.
    """

    line: int
    name: str
    body: dict[str, Any]
    labels: list[str]
    nodes: list[yaml.Node] | None
    choice: yaml.Node
    ids: list[str] = field(default_factory=list)


class FleetFile(YamlFile):
    """A fleet file: the entries that could be read, and the mistakes so far."""

    page = "docs/fleet.md"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entries: list[FleetEntry] = []
        root = self.root(read_given(path, MAX_BYTES), _EMPTY)
        if root is None:
            return
        programs = self.fields(root, ("programs",), "a fleet").get("programs")
        if programs is None:
            self.at(root, "programs is missing", _EMPTY)
        elif isinstance(programs, yaml.SequenceNode):
            for node in programs.value:
                self._read_entry(node)
        else:
            self.at(programs, "programs has to be a list", "write - file: blink.c, one for each program")

    def choose_devices(self, known: Sequence[ListedDevice]) -> None:
        """Set the device ids of each entry; `known` are the host's devices."""
        first_lines: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            if entry.nodes is None:
                devices = self._match_labels(entry, known)
            else:
                devices = self._find_named(entry.nodes, known)
            self._report_duplicates(entry, devices, first_lines)
            entry.ids = [device.device_id for device in devices]

    def _report_duplicates(
        self, entry: FleetEntry, devices: Sequence[ListedDevice], first_lines: dict[tuple[str, str], int]
    ) -> None:
        """Report the entries that put a program of the same name on a device before; one mistake for each line."""
        names_by_line: dict[int, str] = {}
        for device in devices:
            line = first_lines.setdefault((entry.name, device.device_id), entry.line)
            names_by_line[line] = device.name
        for line, name in names_by_line.items():
            if line != entry.line:
                text = f"{entry.name} is on {name} already, by the entry in line {line}"
                self.wrong(entry.line, text, "give one of the two another name, or other devices")

    def _match_labels(self, entry: FleetEntry, known: Sequence[ListedDevice]) -> list[ListedDevice]:
        """Return the devices with all labels of an entry that take programs. Reports a mistake if there are none."""
        labelled = [device for device in known if set(entry.labels).issubset(device.labels)]
        devices = [device for device in labelled if _takes_programs(device)]
        if devices:
            return devices
        text = "the host has no device"
        if labelled:
            text = f"none of these takes programs: {names_text([device.name for device in labelled])}"
        elif entry.labels:
            text = f"no device has the label {' and '.join(entry.labels)}"
        self.at(entry.choice, text, "microclaw device list")
        return []

    def _find_named(self, nodes: list[yaml.Node], known: Sequence[ListedDevice]) -> list[ListedDevice]:
        """Return the devices of names or ids. Reports unknown and repeated ones, and devices that take no programs."""
        devices: list[ListedDevice] = []
        for node in nodes:
            matches = [device for device in known if node.value in (device.name, device.device_id)]
            if not matches:
                hint = did_you_mean(node.value, [device.name for device in known])
                self.at(node, f"no device is named {node.value!r}{hint}", "microclaw device list")
                continue
            device = matches[0]
            if device in devices:
                self.at(node, f"{device.name} is there twice", "leave one of them out")
            elif not _takes_programs(device):
                self.at(node, f"{device.name} takes no programs", f"microclaw device show {device.name}")
            else:
                devices.append(device)
        return devices

    def _read_entry(self, node: yaml.Node) -> None:
        """Read an entry and append it. Reports all its mistakes; one without a name or devices is not appended."""
        fields = self.fields(node, tuple(_FORM), "a program")
        if not fields:
            return
        values = self._read_values(fields)
        if "file" not in fields:
            self.at(node, "file is missing", "write file: blink.c, a path beside this file")
        name = values.get("name", "")
        if "name" not in fields:
            name = name_of_file(Path(values.get("file", "")))
        body = self._read_body(node, fields, values, name)
        choices = [key for key in ("devices", "labels") if key in fields]
        if len(choices) != 1:
            text = "devices and labels together have two meanings" if choices else "it says no devices"
            self.at(fields.get("labels", node), text, "give devices: [NAME], labels: [LABEL] or devices: all")
        elif name and choices[0] in values:
            # An entry with other mistakes is appended too, so that mistakes in its devices are reported with them.
            choice = fields[choices[0]]
            nodes = choice.value if isinstance(values.get("devices"), list) else None
            line = node.start_mark.line + 1
            self.entries.append(FleetEntry(line, name, body, values.get("labels", []), nodes, choice))

    def _read_values(self, fields: dict[str, yaml.Node]) -> dict[str, Any]:
        """Return the valid values of an entry's fields."""
        values = {}
        for key, node in fields.items():
            value = self.value(node, key, _FORM[key])
            if value is not None:
                values[key] = value
        return values

    def _read_body(
        self, node: yaml.Node, fields: dict[str, yaml.Node], values: dict[str, Any], name: str
    ) -> dict[str, Any]:
        """Return the fields of the host's request, with the contents of the program's files."""
        body: dict[str, Any] = {"name": name}
        body |= {key: values[key] for key in _TERMS if key in values}
        if name:
            self._try(fields.get("name", fields.get("file", node)), lambda: check_app_name(name))
        folder = self.path.parent
        if "file" in values:
            body |= self._try(fields["file"], lambda: program_values(folder / values["file"], app=name)) or {}
            body |= self._read_wiring(fields, values)
        if "expect" in values:
            text = self._try(fields["expect"], lambda: expectations_text(folder / values["expect"]))
            if text is not None:
                body["expect"] = text
        times = {key: str(values[key]) for key in ("every", "stop_after") if key in values}
        times_node = fields.get("every", fields.get("stop_after", node))
        return body | (self._try(times_node, lambda: times_body(times.get("every"), times.get("stop_after"))) or {})

    def _read_wiring(self, fields: dict[str, yaml.Node], values: dict[str, Any]) -> dict[str, str]:
        """Return the field of the wiring, from its file or from the one beside the program."""
        folder = self.path.parent
        file = folder / values["wiring"] if "wiring" in values else None
        node = fields.get("wiring", fields["file"])
        wiring = self._try(node, lambda: program_wiring(folder / values["file"], file))
        if wiring is None:
            return {}
        return {"wiring": wiring.text}

    def _try(self, node: yaml.Node, act: Callable[[], Any]) -> Any:
        """Return the result of `act`; report its error as a mistake at this place, and return None."""
        try:
            return act()
        except MicroclawError as exc:
            details = [diagnostic.render() for diagnostic in exc.diagnostics]
            self.at(node, "; ".join(details) or exc.message, exc.next_step or "correct it")
        # A file name with a null character raises ValueError.
        except ValueError as exc:
            self.at(node, str(exc), "docs/fleet.md lists the allowed values")
