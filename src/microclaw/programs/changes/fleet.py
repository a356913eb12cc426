"""A fleet: which programs shall run on which devices, what differs from that, and the acts that end the difference.

It compiles, to compare what would be installed with what is wanted; it tries nothing. The acts are those of changes.py.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, json, structs

from microclaw.devices.registry.calls import AppInstall
from microclaw.devices.registry.device import Device
from microclaw.errors import ConfigError, DeviceError, DeviceTimeout, DeviceUnreachable, MicroclawError, PinClaimed
from microclaw.events import Step
from microclaw.host.operations.operation import OperationCall
from microclaw.host.operations.result import filled
from microclaw.programs.building import ProgramImage, fit_claim, fit_limits
from microclaw.programs.changes.catalogue import AppListing
from microclaw.programs.changes.change_log import AppVersion
from microclaw.programs.changes.claims import check_named, to_come
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.installer import check_room
from microclaw.programs.changes.many_boards import on_each
from microclaw.programs.changes.program_state import ProgramState, look_at_claims, name_taken
from microclaw.programs.changes.results import AppCondition, deployment_view
from microclaw.programs.changes.services import AppServices
from microclaw.programs.run_times import check_times, times_differ_text
from microclaw.text import program_name
from microclaw.wire.host_api import StreamFailure, failure_of

ACTS: Final = ("install", "replace", "remove")
_NO_PLACE: Final = ("stopped", "deferred", "ended")
"""Conditions of programs that are not on the board, or are taken off to make room."""
_ONE_PIN: Final = "give one of the two another pin or device, or take the other off"

_Asked: TypeAlias = tuple[ChangeRequest, Collection[str]]
"""A program with the ids of its devices. The device of the request is not looked at."""


class FleetDifference(Struct, frozen=True, kw_only=True):
    """One program on one device, and what an apply does about it.

    "extra" is there and not in the fleet; pruned it is "remove", and never when it is `foreign` (this host did not
    install it). "refused" has the `error` that keeps it from being installed. `differs` says what a replacement
    changes. `condition` is the device's word on the program there now, or "unreachable".
    """

    device: str
    name: str
    act: Literal["install", "replace", "remove", "unchanged", "extra", "refused"]
    differs: tuple[str, ...] = ()
    sha256: str | None = None
    foreign: bool = False
    condition: AppCondition | None = None
    error: StreamFailure | None = None

    @property
    def program(self) -> str:
        return program_name(self.name)

    @property
    def note(self) -> str:
        if self.error is not None:
            return self.error.message
        left = "not of this host" if self.foreign else "not in the file; --prune takes it off"
        shown = ("missing", "dead", "trapped", "deferred", "unreachable")
        said = [*self.differs, left if self.act == "extra" else "", self.condition if self.condition in shown else ""]
        return "; ".join(filter(None, said))


class FleetResult(Struct, kw_only=True):
    """The outcome of the acts on one device. `error` is the first that failed; `left` are the programs not done.

    `verified` is the weakest of its programs': false before null before true.
    """

    device: str
    installed: list[str] = []
    removed: list[str] = []
    left: list[str] = []
    verified: bool | None = True
    error: StreamFailure | None = None

    @property
    def ok(self) -> bool:
        return self.verified is not False and self.error is None


class FleetRow(Struct, frozen=True):
    """A difference with what its act needs."""

    device: Device
    difference: FleetDifference
    request: ChangeRequest | None = None


async def compare(
    apps: AppServices, programs: Sequence[_Asked], devices: Sequence[Device], *, prune: bool
) -> list[FleetRow]:
    """A row for each program on each of the devices: those of the fleet in their order, then the others.

    A device that does not answer counts by what is wanted there. Raises ConfigError for two programs with one
    name on one device, and for a program on a device that is not among `devices`.
    """
    _check_devices(programs, devices)
    made: dict[tuple[int, str], ProgramImage | MicroclawError] = {}  # of each program on each kind of board
    meant: dict[Device, dict[str, tuple[ChangeRequest, ProgramImage | MicroclawError]]] = {one: {} for one in devices}
    for request, ids in programs:
        for device in (one for one in devices if one.device_id in ids):
            if request.name in meant[device]:
                text = f"two programs are named {request.name} on {device.name}"
                raise ConfigError(text, next_step="give one of them another name")
            which = id(request), f"{device.board} {device.kinds}"
            if which not in made:
                made[which] = await _build(apps, request, device)
            meant[device][request.name] = request, made[which]

    async def on_device(device: Device) -> list[FleetRow]:
        try:
            there = {one.name: one for one in await apps.catalogue.list_apps(device.device_id)}
            absent: Literal["unreachable"] | None = None
        except DeviceError:  # it does not answer, and nothing is wanted there
            there = {}
            absent = "unreachable"
        programs_there = await look_at_claims(apps.change_log, device)
        names = {name for name, app in there.items() if app.condition not in _NO_PLACE}
        if prune:
            for app in programs_there.wanted:
                if app.name not in meant[device]:
                    programs_there = programs_there.without(app.name)
                    names.discard(app.name)
        board = _Board(programs_there, names)
        rows = [_row(board, *program, there.get(name, absent)) for name, program in meant[device].items()]
        others = there.keys() - meant[device].keys() - device.pin_programs  # those come and go with exec
        return [*rows, *(_extra(device, there[name], prune=prune) for name in sorted(others))]

    outcomes = await on_each(devices, on_device, parallel=32)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [row for outcome in outcomes for row in outcome.value or ()]


def _check_devices(programs: Sequence[_Asked], devices: Sequence[Device]) -> None:
    """Raise ConfigError if a program is for a device that is not among `devices`."""
    known_ids = {device.device_id for device in devices}
    for request, ids in programs:
        unknown_ids = set(ids) - known_ids
        if unknown_ids:
            text = f"{request.name} is for device {min(unknown_ids)}, which is not among the devices of this fleet"
            raise ConfigError(text, next_step="name it in devices")


async def _build(apps: AppServices, request: ChangeRequest, device: Device) -> ProgramImage | MicroclawError:
    try:
        return await apps.changes.build(device, request, lambda _step: None)
    except MicroclawError as exc:
        return exc


async def apply_rows(apps: AppServices, call: OperationCall, rows: Sequence[FleetRow]) -> list[FleetResult]:
    """Do what the rows say, several devices at a time; a result for each device that has acts.

    On one device first the extras are taken off, then programs come in their order. One that fails leaves the
    others; a device that does not answer is not asked again.
    """
    acts: dict[Device, list[FleetRow]] = defaultdict(list)
    for row in rows:
        if row.difference.act in ACTS:
            acts[row.device].append(row)

    async def on_device(device: Device) -> FleetResult:
        done = FleetResult(device=device.name)
        ordered = sorted(acts[device], key=lambda row: row.request is not None)
        for number, row in enumerate(ordered):
            name = row.difference.name
            try:
                request = row.request or ChangeRequest(device.device_id, name, "uninstall")
                # the stages of each are not shown
                made = await apps.changes.apply(structs.replace(request, begin=call.on_begin), lambda _step: None)
                if made.verified is not True and done.verified is not False:
                    done.verified = made.verified
                (done.removed if row.request is None else done.installed).append(name)
                if row.request is None:
                    said = " is off"
                else:
                    said = f": {deployment_view(made).told}"
                call.report(Step("deploy", f"{device.name}: {name}{said}"))
            except MicroclawError as exc:
                call.report(Step("deploy", f"{device.name}: {name}: {exc.message}", "failed", next_step=exc.next_step))
                gone = isinstance(exc, DeviceUnreachable | DeviceTimeout)
                done.left += [one.difference.name for one in (ordered[number:] if gone else [row])]
                done.error = done.error or failure_of(exc)
                if gone:
                    break
        return done

    return [
        one.value or FleetResult(device=one.device_name, error=None if one.error is None else failure_of(one.error))
        for one in await on_each(list(acts), on_device)
    ]


def digest_of(rows: Sequence[FleetRow]) -> str:
    """Of everything that the rows say: equal digests are equal differences."""
    said = [(row.device.device_id, structs.replace(row.difference, condition=None, error=None)) for row in rows]
    return hashlib.sha256(json.encode(said)).hexdigest()


class _Board(Struct):
    """A device as it will be when the next row is applied: its programs with their claims, and the names on it."""

    programs: ProgramState
    names: set[str]

    @property
    def device(self) -> Device:
        return self.programs.device

    def take(self, name: str, image: ProgramImage) -> None:
        """Add a program. Raises PinClaimed and TooManyApps, as its installation would."""
        there = self.programs.about(name)
        try:
            check_named(there, image)
        except PinClaimed as exc:
            raise PinClaimed(exc.message, next_step=_ONE_PIN) from exc
        check_room(self.device, name, self.names, ())
        others = self.programs.without(name)
        self.programs = structs.replace(others, wanted=[*others.wanted, to_come(there, image)])
        self.names.add(name)


def _row(
    board: _Board,
    request: ChangeRequest,
    image: ProgramImage | MicroclawError,
    there: AppListing | Literal["unreachable"] | None,
) -> FleetRow:
    device = board.device
    listing = there if isinstance(there, AppListing) else None
    condition = there if listing is None else listing.condition
    fields: dict[str, Any] = {"device": device.name, "name": request.name, "condition": condition}
    act: Literal["install", "replace", "unchanged"] = "install"
    differs = tuple[str, ...]()
    try:
        device.transport_for(AppInstall.method)
        if listing is not None and listing.foreign:
            raise name_taken(device, request.name)
        if isinstance(image, MicroclawError):
            raise image
        check_times(request.times, image.kind)
        limits = fit_limits(device.board, fit_claim(image, request.heap_bytes), request.timers)
        if listing is not None and listing.version is not None:
            differs = _differences(listing.version, image, limits, request)
            if not differs and listing.condition == "missing" and listing.error is not None:
                differs = (f"it is not there: {listing.error}",)  # the host no longer puts it back by itself
            act = "replace" if differs else "unchanged"
            if listing.condition == "stopped":
                act = "install"
                differs = (*differs, "it is stopped")
        if act != "unchanged":
            board.take(request.name, image)
    except MicroclawError as exc:
        return FleetRow(device, FleetDifference(act="refused", error=failure_of(exc), **fields))
    found = FleetDifference(act=act, differs=differs, sha256=image.sha256, **fields)
    return FleetRow(device, found, structs.replace(request, device=device.device_id))


def _differences(
    wanted: AppVersion, image: ProgramImage, limits: tuple[int, int], request: ChangeRequest
) -> tuple[str, ...]:
    values = (
        ("heap_bytes", wanted.heap_bytes, limits[0]),
        ("timers", wanted.timers, limits[1]),
        ("watchdog_ms", wanted.watchdog_ms, request.watchdog_ms),
    )
    program = () if wanted.sha256 == image.sha256 else ("another program",)
    times = () if wanted.times == request.times else (times_differ_text(wanted.times, request.times),)
    return (*program, *(f"{what} {before} -> {after}" for what, before, after in values if before != after), *times)


def _extra(device: Device, there: AppListing, *, prune: bool) -> FleetRow:
    act = "remove" if prune and there.installed_ms is not None else "extra"  # or not of this host, or only deferred
    return FleetRow(device, filled(FleetDifference, there, act=act, differs=(), error=None))
