"""The acts of a fleet: what differs between what shall run on many devices and what is wanted there; apply; export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import yaml
from msgspec import Meta, Struct
from msgspec.structs import asdict

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.selection import names_text
from microclaw.errors import BuildError, ConfigError, DeployRejected, PermissionRefused, UnknownName
from microclaw.host.operations.forms import NO_COMMAND, Asks, Steps
from microclaw.host.operations.operation import Effect, OperationCall, Permission, operation
from microclaw.host.operations.result import Listing, Result
from microclaw.programs.building import fit_claim, stored_program
from microclaw.programs.changes.change_log import DesiredApp
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.fleet import (
    ACTS,
    FleetDifference,
    FleetResult,
    FleetRow,
    apply_rows,
    compare,
    digest_of,
)
from microclaw.programs.changes.program_requests import (
    AppName,
    Heap,
    Hosts,
    Language,
    Optimization,
    Timers,
    Watchdog,
    WiringText,
    program_request,
)
from microclaw.programs.changes.services import AppServices
from microclaw.programs.proof.expectation_text import MAX_TEXT_CHARS
from microclaw.programs.run_times import RunTimes, time_word
from microclaw.programs.wasm.source_language import SUFFIX
from microclaw.text import MAX_PROGRAM_CHARS, count_text
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS, DEFAULT_WATCHDOG_MS

FLEET: Final = "fleet.yaml"
LEVELS: Final = ("O3", "Os", "O2", "O1", "Oz", "O0")
_HEAD: Final = "# What this host wanted on its devices; docs/fleet.md has the form.\n"
_MOST: Final = 1_000
MAX_ACTS: Final = 1_000
"""Of one apply: one undo looks at no more changes of one request (host/store/apps.py)."""


class FleetProgram(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program, and the devices (ids or names) that shall run it: `source` or `wasm`, exactly one of the two."""

    name: AppName
    source: Annotated[str, Meta(min_length=1, max_length=MAX_PROGRAM_CHARS)] | None = None
    wasm: bytes | None = None
    language: Language = None
    heap_bytes: Heap = DEFAULT_HEAP_BYTES
    timers: Timers = DEFAULT_TIMERS
    watchdog_ms: Watchdog = DEFAULT_WATCHDOG_MS
    optimization: Optimization = "O3"
    expect: Annotated[str, Meta(max_length=MAX_TEXT_CHARS)] | None = None
    every_ms: int | None = None
    stop_after_ms: int | None = None
    wiring: WiringText = None
    hosts: Hosts = []
    devices: Annotated[list[str], Meta(max_length=_MOST)]

    def request(self) -> ChangeRequest:
        """Return what is asked of each device, without a device. Raises ConfigError."""
        fields = asdict(self)
        fields.pop("devices")
        return program_request("", **fields)


class FleetDiff(Listing, frozen=True, kw_only=True):
    """`digest` goes with the apply of these differences."""

    document: ClassVar = "fleet_diff"
    columns: ClassVar = {"DEVICE": "device", "PROGRAM": "program", "WHAT": "act", "NOTE": "note"}
    empty: ClassVar = "no programs"

    rows: list[FleetDifference]
    counts: dict[str, int]
    differences: int
    digest: str

    @property
    def exit_code(self) -> int:
        return int(self.differences > 0)

    @property
    def note(self) -> str:
        return ", ".join(f"{count} {act}" for act, count in self.counts.items())

    @property
    def question(self) -> str:
        """The question for all of it: "Install 3, remove 1 on hall, kitchen?"."""
        acts = ", ".join(f"{act} {self.counts[act]}" for act in ACTS if act in self.counts)
        devices = {row.device for row in self.rows if row.act in ACTS}
        return f"{acts.capitalize()} on {names_text(sorted(devices))}?"


class FleetExport(Result, frozen=True, kw_only=True):
    """`programs` are the entries of the fleet file; `files` has it and the programs, by their names."""

    document: ClassVar = "fleet_export"

    programs: list[dict[str, Any]]
    files: dict[str, bytes]


class FleetApplied(Result, frozen=True, kw_only=True):
    """A result for each device with acts."""

    document: ClassVar = "fleet_applied"

    results: list[FleetResult]

    @property
    def exit_code(self) -> int:
        if self.done_count == len(self.results):
            return 0
        if self.done_count == 0:
            return 1
        return 5

    @property
    def done_count(self) -> int:
        return sum(result.ok for result in self.results)

    def lines(self) -> Iterable[str]:
        if self.results:
            yield f"{self.done_count} of {count_text(len(self.results), 'device')}"
        else:
            yield "nothing to do"


Programs: TypeAlias = Annotated[list[FleetProgram], Meta(max_length=_MOST)]
Devices: TypeAlias = Annotated[
    list[str], Meta(max_length=_MOST, description="All that the fleet is about; what else runs on them is extra.")
]


@operation(
    "fleet.diff", http="POST /v1/fleet/diff", words="compare a fleet", command=NO_COMMAND, steps=Steps.CANCELLABLE
)
async def diff(
    apps: AppServices, _: OperationCall, programs: Programs, devices: Devices, prune: bool = False
) -> FleetDiff:
    """Compare what shall run with what is wanted. It changes nothing."""
    wanted = _wanted(apps, programs)
    rows = await compare(apps, wanted, _members(apps, devices), prune=prune)
    differences = [row.difference for row in rows]
    counts = Counter[str](difference.act for difference in differences)
    difference_count = sum(counts[act] for act in (*ACTS, "refused"))
    return FleetDiff(rows=differences, counts=dict(counts), differences=difference_count, digest=digest_of(rows))


@operation(
    "fleet.apply",
    http="POST /v1/fleet/apply",
    permission=Permission.ACT,
    effect=Effect.IDEMPOTENT,
    words="apply a fleet",
    command=NO_COMMAND,
    asks=Asks.ITSELF,
    steps=Steps.CANCELLABLE,
)
async def apply(
    apps: AppServices,
    call: OperationCall,
    *,
    programs: Programs,
    devices: Devices,
    prune: bool = False,
    digest: Annotated[str | None, Meta(max_length=64, description="Of the differences that were agreed to.")] = None,
) -> FleetApplied:
    """Install, replace, and with `prune` take off, until nothing differs; nothing at all where one is refused."""
    wanted = _wanted(apps, programs)
    members = _members(apps, devices)
    rows = await compare(apps, wanted, members, prune=prune)
    _check(rows, digest)
    detail = _act_texts(rows)
    if detail:
        needs = Permission.ACT
        if any(row.difference.network.text for row in rows):
            needs = Permission.RISKY
        await call.approve(f"apply a fleet of {count_text(len(members), 'device')}", detail, None, needs)
        if call.asks and digest_of(await compare(apps, wanted, members, prune=prune)) != digest_of(rows):
            raise PermissionRefused("something was changed while somebody was asked", next_step="ask again")
    return FleetApplied(results=await apply_rows(apps, call, rows))


@operation(
    "fleet.export", http="POST /v1/fleet/export", words="export a fleet", command=NO_COMMAND, steps=Steps.CANCELLABLE
)
async def export(
    apps: AppServices,
    _call: OperationCall,
    devices: Annotated[list[str] | None, Meta(max_length=_MOST, description="Of these alone.")] = None,
) -> FleetExport:
    """Export the desired state of the devices, as a fleet file with the programs beside it."""
    registry = apps.registry
    members = registry.list() if devices is None else _members(apps, devices)
    entries = await _entries(apps, members)
    files: dict[str, bytes] = {}
    programs: list[dict[str, Any]] = []
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.devices)):
        file = _put_file(files, entry)
        programs.append({"file": file, "name": entry.name, "devices": sorted(entry.devices), **entry.terms})
    fleet = {"programs": programs}
    text = yaml.safe_dump(fleet, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    head = _HEAD + "".join(await _stopped_lines(apps, members))
    return FleetExport(programs=programs, files={**files, FLEET: (head + str(text)).encode()})


class _ExportedFile(Struct, frozen=True):
    """A file's suffix and content; its usual heap, and the level that makes just these bytes of it."""

    suffix: str
    content: bytes
    usual_heap_bytes: int = DEFAULT_HEAP_BYTES
    level: str = LEVELS[0]


class _ExportedEntry(Struct):
    """An entry of the fleet file: a program, its unusual terms, and the names of its devices."""

    name: str
    program: _ExportedFile
    terms: dict[str, Any]
    devices: list[str]


async def _entries(apps: AppServices, members: Sequence[Device]) -> list[_ExportedEntry]:
    """Return what is desired on the devices; those with the same program and terms are one entry."""
    devices = {device.device_id: device for device in members}
    programs: dict[tuple[str, ...], _ExportedFile] = {}
    entries: dict[tuple[str, str, bytes, str], _ExportedEntry] = {}
    for app in await apps.change_log.desired():
        device = devices.get(app.device_id)
        if device is None:
            continue
        build = (app.name, app.version.sha256, device.board.board_id)
        if build not in programs:
            programs[build] = await _rebuilt(apps, app, device)
        program = programs[build]
        terms = _terms(app, program)
        same = (app.name, program.suffix, program.content, str(terms))
        if same not in entries:
            entries[same] = _ExportedEntry(app.name, program, terms, [])
        entries[same].devices.append(device.name)
    return list(entries.values())


async def _stopped_lines(apps: AppServices, members: Sequence[Device]) -> list[str]:
    """Return a comment for each stopped program of the devices: no entry is for it, as an apply would start it."""
    names = {device.device_id: device.name for device in members}
    lines: list[str] = []
    for app in await apps.change_log.desired(stopped=True):
        if app.device_id in names:
            lines.append(f"# Left out, as it is stopped: {app.name} on {names[app.device_id]}.\n")
    return sorted(lines)


def _put_file(files: dict[str, bytes], entry: _ExportedEntry) -> str:
    """Add the entry's program to the files; return its name, with a number if another one has the name."""
    suffix = entry.program.suffix
    file = f"{entry.name}{suffix}"
    number = 2
    while files.setdefault(file, entry.program.content) != entry.program.content:
        file = f"{entry.name}.{number}{suffix}"
        number = number + 1
    return file


def _wanted(apps: AppServices, programs: Sequence[FleetProgram]) -> list[tuple[ChangeRequest, set[str]]]:
    """Return each program's request with the ids of its devices."""
    wanted = []
    for program in programs:
        request = program.request()
        device_ids = {apps.registry.get(name).device_id for name in program.devices}
        wanted.append((request, device_ids))
    return wanted


def _members(apps: AppServices, names: Sequence[str]) -> list[Device]:
    """Return the devices, each once."""
    return list(dict.fromkeys(map(apps.registry.get, names)))


def _check(rows: Sequence[FleetRow], shown: str | None) -> None:
    """Raise what keeps the whole apply from being begun."""
    if shown not in (None, digest_of(rows)):
        raise ConfigError(
            "the differences are not those that were shown: something was changed meanwhile; nothing was done",
            next_step="look again: microclaw fleet apply --dry-run -f FILE",
        )
    for row in rows:
        why = row.difference.error
        if why is not None:
            text = f"nothing was done, as {row.difference.name} cannot be installed on {row.device.name}: {why.message}"
            raise DeployRejected(text, next_step=why.next_step)
    acts = sum(row.difference.act in ACTS for row in rows)
    if acts > MAX_ACTS:
        raise ConfigError(
            f"{acts:,} changes in one request; at most {MAX_ACTS:,}, so that one undo takes all of them back",
            next_step="choose fewer devices: -l LABEL or -d NAME",
        )


def _act_texts(rows: Sequence[FleetRow]) -> list[str]:
    """Return a line for each program: its act, and the devices of it."""
    devices: dict[str, list[str]] = {}
    for row in rows:
        if row.difference.act in ACTS:
            what = f"{row.difference.act} {row.difference.name}"
            if row.difference.network.text:
                what += f", which {row.difference.network.text}"
            devices.setdefault(what, []).append(row.device.name)
    return [f"{what}: {names_text(names)}" for what, names in devices.items()]


def _terms(app: DesiredApp, program: _ExportedFile) -> dict[str, Any]:
    """Return the unusual terms of an entry."""
    version = app.version
    times = app.version.times or RunTimes()
    values: tuple[tuple[str, Any, Any], ...] = (
        ("heap_bytes", version.heap_bytes, program.usual_heap_bytes),
        ("timers", version.timers, DEFAULT_TIMERS),
        ("watchdog_ms", version.watchdog_ms, DEFAULT_WATCHDOG_MS),
        ("optimization", program.level, LEVELS[0]),
        ("every", times.every_ms and time_word(times.every_ms), None),
        ("hosts", list(version.claims.named_hosts), []),
        ("stop_after", times.stop_after_ms and time_word(times.stop_after_ms), None),
    )
    return {key: value for key, value, usual in values if value != usual}


async def _rebuilt(apps: AppServices, app: DesiredApp, device: Device) -> _ExportedFile:
    """Return the source that makes just the bytes of the app; else the bytes themselves."""
    stored = await apps.change_log.image(app.version.sha256)
    if app.version.kind == "py":
        image = stored_program(stored.code, stored.source, stored.meta)
        return _ExportedFile(".py", image.source.encode(), fit_claim(image, DEFAULT_HEAP_BYTES))
    if stored.source is not None:
        for level, language in product(LEVELS, SUFFIX):
            try:
                built = await apps.compile(stored.source, device.board, app.name, level, language, ("wasm",))
            except (BuildError, UnknownName):
                continue
            if built.sha256 == stored.sha256:
                return _ExportedFile(SUFFIX[language], stored.source.encode(), level=level)
    return _ExportedFile(".wasm", stored.code)
