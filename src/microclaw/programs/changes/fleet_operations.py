"""The acts of a fleet: what differs between what shall run on many devices and what is wanted there; apply; export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import yaml
from msgspec import Meta, Struct

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
    Language,
    Optimization,
    Timers,
    Watchdog,
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
    devices: Annotated[list[str], Meta(max_length=_MOST)]

    def request(self) -> ChangeRequest:
        """Raises ConfigError."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if name != "devices"}
        return program_request("", **given)


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
        return 1 if self.differences else 0

    @property
    def note(self) -> str:
        return ", ".join(f"{count} {act}" for act, count in self.counts.items())

    @property
    def question(self) -> str:
        """The question for all of it: "Install 3, remove 1 on hall, kitchen?"."""
        said = ", ".join(f"{act} {self.counts[act]}" for act in ACTS if act in self.counts)
        return f"{said.capitalize()} on {names_text(sorted({row.device for row in self.rows if row.act in ACTS}))}?"


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
        failed = sum(not one.ok for one in self.results)
        if not failed:
            return 0
        if failed == len(self.results):
            return 1
        return 5

    def lines(self) -> Iterable[str]:
        done = f"{sum(one.ok for one in self.results)} of {count_text(len(self.results), 'device')}"
        yield done if self.results else "nothing to do"


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
    rows = await compare(apps, *_read(apps, programs, devices), prune=prune)
    found = [row.difference for row in rows]
    counts = Counter[str](row.act for row in found)
    differences = sum(counts[act] for act in (*ACTS, "refused"))
    return FleetDiff(rows=found, counts=dict(counts), differences=differences, digest=digest_of(rows))


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
    programs: Programs,
    devices: Devices,
    prune: bool = False,
    digest: Annotated[str | None, Meta(max_length=64, description="Of the differences that were agreed to.")] = None,
) -> FleetApplied:
    """Install, replace, and with `prune` take off, until nothing differs; nothing at all where one is refused."""
    asked, meant = _read(apps, programs, devices)
    rows = await compare(apps, asked, meant, prune=prune)
    _check(rows, digest)
    detail = _act_texts(rows)
    if detail:
        await call.approve(f"apply a fleet of {count_text(len(meant), 'device')}", detail)
        if call.asks and digest_of(await compare(apps, asked, meant, prune=prune)) != digest_of(rows):
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
    chosen = apps.registry.list() if devices is None else map(apps.registry.get, devices)
    known = {one.device_id: one for one in chosen}
    built: dict[tuple[str, ...], tuple[str, bytes, int, str]] = {}
    alike: dict[tuple[str, str, bytes, str], tuple[dict[str, Any], list[str]]] = {}
    for app in await apps.change_log.desired():
        device = known.get(app.device_id)
        if device is None:
            continue
        which = (app.name, app.version.sha256, device.board.board_id)
        if which not in built:
            built[which] = await _rebuilt(apps, app, device)
        suffix, content, usual_heap_bytes, level = built[which]
        terms = _terms(app, usual_heap_bytes, level)
        alike.setdefault((app.name, suffix, content, str(terms)), (terms, []))[1].append(device.name)
    files: dict[str, bytes] = {}
    programs: list[dict[str, Any]] = []
    for (name, suffix, content, _), (terms, names) in sorted(alike.items(), key=lambda one: (one[0][0], one[1][1])):
        file = f"{name}{suffix}"
        number = 2
        while files.setdefault(file, content) != content:
            file = f"{name}.{number}{suffix}"
            number = number + 1
        programs.append({"file": file, "name": name, "devices": sorted(names), **terms})
    fleet = {"programs": programs}
    text = yaml.safe_dump(fleet, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return FleetExport(programs=programs, files={**files, FLEET: (_HEAD + str(text)).encode()})


def _read(
    apps: AppServices, programs: Sequence[FleetProgram], devices: Sequence[str]
) -> tuple[list[tuple[ChangeRequest, set[str]]], list[Device]]:
    get = apps.registry.get
    asked = [(one.request(), {get(name).device_id for name in one.devices}) for one in programs]
    return asked, list(dict.fromkeys(get(name) for name in devices))


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
    """A line for each program: what is done with it where."""
    devices: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.difference.act in ACTS:
            devices.setdefault((row.difference.act, row.difference.name), []).append(row.device.name)
    return [f"{act} {name}: {names_text(names)}" for (act, name), names in devices.items()]


def _terms(app: DesiredApp, usual_heap_bytes: int, level: str) -> dict[str, Any]:
    """The unusual terms of an entry."""
    version = app.version
    times = app.version.times or RunTimes()
    values = (
        ("heap_bytes", version.heap_bytes, usual_heap_bytes),
        ("timers", version.timers, DEFAULT_TIMERS),
        ("watchdog_ms", version.watchdog_ms, DEFAULT_WATCHDOG_MS),
        ("optimization", level, LEVELS[0]),
        ("every", times.every_ms and time_word(times.every_ms), None),
        ("stop_after", times.stop_after_ms and time_word(times.stop_after_ms), None),
    )
    return {key: value for key, value, usual in values if value != usual}


async def _rebuilt(apps: AppServices, app: DesiredApp, device: Device) -> tuple[str, bytes, int, str]:
    """The file's suffix and content, its usual heap and the level that make these very bytes of it; else the bytes."""
    stored = await apps.change_log.image(app.version.sha256)
    if app.version.kind == "py":
        image = stored_program(stored.code, stored.source, stored.meta)
        return ".py", image.source.encode(), fit_claim(image, DEFAULT_HEAP_BYTES), LEVELS[0]
    for level, language in product(LEVELS, SUFFIX) if stored.source is not None else ():
        try:
            made = await apps.compile(stored.source or "", device.board, app.name, level, language, ("wasm",))
        except (BuildError, UnknownName):
            continue
        if made.sha256 == stored.sha256:
            return SUFFIX[language], (stored.source or "").encode(), DEFAULT_HEAP_BYTES, level
    return ".wasm", stored.code, DEFAULT_HEAP_BYTES, LEVELS[0]
