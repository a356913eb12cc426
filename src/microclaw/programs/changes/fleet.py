"""A fleet: which programs shall run on which devices, what differs from that, and the acts that end the difference.

It compiles, to compare what would be installed with what is wanted; it tries nothing. The acts are those of changes.py.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct, json, structs

from microclaw.devices.registry.calls import AppInstall
from microclaw.devices.registry.device import Device
from microclaw.errors import ConfigError, DeviceError, DeviceTimeout, DeviceUnreachable, MicroclawError, PinClaimed
from microclaw.events import AskedProgram, Step
from microclaw.host.operations.operation import Approve, OperationCall, Permission
from microclaw.host.operations.result import filled
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.building import ProgramImage, fit_claim, fit_limits
from microclaw.programs.changes.catalogue import AppListing
from microclaw.programs.changes.change_log import AppVersion
from microclaw.programs.changes.claims import check_free, to_come
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.installer import check_room
from microclaw.programs.changes.many_boards import on_each
from microclaw.programs.changes.program_state import ProgramState, look_at_claims, name_taken
from microclaw.programs.changes.result_views import deployment_view
from microclaw.programs.changes.results import AppCondition
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
_Program: TypeAlias = tuple[ChangeRequest, ProgramImage | MicroclawError]
"""A program with its image for one kind of board, or why it has none."""


class FleetDifference(Struct, frozen=True, kw_only=True):
    """One program on one device, and what an apply does about it.

    "extra" is there and not in the fleet; pruned it is "remove", and never when it is `foreign` (this host did not
    install it). "refused" has the `error` that keeps it from being installed. `differs` says what a replacement
    changes. `condition` is the device's word on the program there now, or "unreachable". `network` is what the act
    allows that the version there may not do.
    """

    device: str
    name: str
    act: Literal["install", "replace", "remove", "unchanged", "extra", "refused"]
    differs: tuple[str, ...] = ()
    sha256: str | None = None
    foreign: bool = False
    condition: AppCondition | None = None
    network: NetworkUse = NO_NETWORK
    error: StreamFailure | None = None

    @property
    def program(self) -> str:
        return program_name(self.name)

    @property
    def note(self) -> str:
        if self.error is not None:
            return self.error.message
        notes = list(self.differs)
        if self.network.text:
            notes.append(self.network.text)
        if self.act == "extra" and self.foreign:
            notes.append("not of this host")
        elif self.act == "extra":
            notes.append("not in the file; --prune takes it off")
        if self.condition in ("missing", "dead", "trapped", "deferred", "unreachable"):
            notes.append(self.condition)
        return "; ".join(notes)


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
    """Return a row for each program on each of the devices: those of the fleet in their order, then the others.

    A device that does not answer counts by what is wanted there. Raises ConfigError for two programs with one
    name on one device, and for a program on a device that is not among `devices`.
    """
    _check_devices(programs, devices)
    fleet = await _build_fleet(apps, programs, devices)

    async def on_device(device: Device) -> list[FleetRow]:
        return await _compare_device(apps, device, fleet[device], prune=prune)

    rows: list[FleetRow] = []
    for outcome in await on_each(devices, on_device, parallel=32):
        if outcome.error is not None:
            raise outcome.error
        rows += outcome.value or ()
    return rows


async def _build_fleet(
    apps: AppServices, programs: Sequence[_Asked], devices: Sequence[Device]
) -> dict[Device, dict[str, _Program]]:
    """Build each program once for each kind of board. Raises ConfigError for two of one name on one device."""
    images: dict[tuple[int, str], ProgramImage | MicroclawError] = {}
    fleet: dict[Device, dict[str, _Program]] = {device: {} for device in devices}
    for request, device_ids in programs:
        for device in devices:
            if device.device_id not in device_ids:
                continue
            if request.name in fleet[device]:
                text = f"two programs are named {request.name} on {device.name}"
                raise ConfigError(text, next_step="give one of them another name")
            board_kind = id(request), f"{device.board} {device.kinds}"
            if board_kind not in images:
                images[board_kind] = await _build(apps, request, device)
            fleet[device][request.name] = request, images[board_kind]
    return fleet


async def _compare_device(
    apps: AppServices, device: Device, programs: Mapping[str, _Program], *, prune: bool
) -> list[FleetRow]:
    """Return the rows of one device."""
    listings: dict[str, AppListing] = {}
    absent: Literal["unreachable"] | None = None
    try:
        for listing in await apps.catalogue.list_apps(device.device_id):
            listings[listing.name] = listing
    except DeviceError:
        # It does not answer, and nothing is wanted there.
        absent = "unreachable"
    there = await look_at_claims(apps.change_log, device)
    names = {name for name, listing in listings.items() if listing.condition not in _NO_PLACE}
    if prune:
        for app in there.wanted:
            if app.name not in programs:
                there = there.without(app.name)
                names.discard(app.name)
    board = _Board(there, names)
    rows = []
    for name, (request, image) in programs.items():
        rows.append(_row(board, request, image, listings.get(name, absent)))
    # The host's own programs for pins come and go with exec.
    for name in sorted(listings.keys() - programs.keys() - device.pin_programs):
        rows.append(_extra(device, listings[name], prune=prune))
    return rows


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
    """Do what the rows say, several devices at a time; return a result for each device that has acts.

    On one device first the extras are taken off, then programs come in their order. One that fails leaves the
    others; a device that does not answer is not asked again.
    """
    acts: dict[Device, list[FleetRow]] = defaultdict(list)
    for row in rows:
        if row.difference.act in ACTS:
            acts[row.device].append(row)

    async def on_device(device: Device) -> FleetResult:
        return await _apply_device(apps, call, device, acts[device])

    results = []
    for outcome in await on_each(list(acts), on_device):
        result = outcome.value or FleetResult(device=outcome.device_name)
        if outcome.value is None and outcome.error is not None:
            result.error = failure_of(outcome.error)
        results.append(result)
    return results


async def _apply_device(
    apps: AppServices, call: OperationCall, device: Device, rows: Sequence[FleetRow]
) -> FleetResult:
    """Do the acts of one device, removals first, until it does not answer."""
    result = FleetResult(device=device.name)
    ordered = sorted(rows, key=lambda row: row.request is not None)
    for number, row in enumerate(ordered):
        try:
            text = await _apply_row(apps, call, row, result)
            call.report(Step("deploy", f"{device.name}: {text}"))
        except MicroclawError as exc:
            name = row.difference.name
            call.report(Step("deploy", f"{device.name}: {name}: {exc.message}", "failed", next_step=exc.next_step))
            result.error = result.error or failure_of(exc)
            if isinstance(exc, DeviceUnreachable | DeviceTimeout):
                result.left += [left.difference.name for left in ordered[number:]]
                break
            result.left.append(name)
    return result


async def _apply_row(apps: AppServices, call: OperationCall, row: FleetRow, result: FleetResult) -> str:
    """Do an act, note it in the result, and return it in words."""
    name = row.difference.name
    request = row.request or ChangeRequest(row.device.device_id, name, "uninstall")
    request = structs.replace(request, begin=call.on_begin, approve=_ask_about_cautions(call))
    # The stages of each act are not shown.
    change = await apps.changes.apply(request, lambda _step: None)
    if change.verified is not True and result.verified is not False:
        result.verified = change.verified
    if row.request is None:
        result.removed.append(name)
        return f"{name} is off"
    result.installed.append(name)
    return f"{name}: {deployment_view(change).told}"


def _ask_about_cautions(call: OperationCall) -> Approve:
    """Return how one installation is asked for after the fleet was approved: only if it drives pins that need care."""

    async def approve(
        text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None
    ) -> None:
        if program is not None and program.cautions:
            await call.approve(text, detail, program, needs)

    return approve


def digest_of(rows: Sequence[FleetRow]) -> str:
    """Return the digest of everything that the rows say: equal digests are equal differences."""
    content = []
    for row in rows:
        content.append((row.device.device_id, structs.replace(row.difference, condition=None, error=None)))
    return hashlib.sha256(json.encode(content)).hexdigest()


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
        app = to_come(there, image)
        try:
            check_free(there, app.version)
        except PinClaimed as exc:
            raise PinClaimed(exc.message, next_step=_ONE_PIN) from exc
        check_room(self.device, name, self.names, ())
        others = self.programs.without(name)
        self.programs = structs.replace(others, wanted=[*others.wanted, app])
        self.names.add(name)


def _row(
    board: _Board,
    request: ChangeRequest,
    image: ProgramImage | MicroclawError,
    there: AppListing | Literal["unreachable"] | None,
) -> FleetRow:
    """Return the row of a program of the fleet, and add the program to the board if it will be installed."""
    device = board.device
    fields: dict[str, Any] = {"device": device.name, "name": request.name, "condition": there}
    listing: AppListing | None = None
    if isinstance(there, AppListing):
        listing = there
        fields["condition"] = listing.condition
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
            # The host no longer puts it back by itself.
            if not differs and listing.condition == "missing" and listing.error is not None:
                differs = (f"it is not there: {listing.error}",)
            act = "replace" if differs else "unchanged"
            if listing.condition == "stopped":
                act = "install"
                differs = (*differs, "it is stopped")
        if act != "unchanged":
            board.take(request.name, image)
    except MicroclawError as exc:
        return FleetRow(device, FleetDifference(act="refused", error=failure_of(exc), **fields))
    network = _new_network(listing, image)
    difference = FleetDifference(act=act, differs=differs, sha256=image.sha256, network=network, **fields)
    return FleetRow(device, difference, structs.replace(request, device=device.device_id))


def _new_network(there: AppListing | None, image: ProgramImage) -> NetworkUse:
    """Return the network of a program if the version that is there has another one."""
    if there is not None and there.network == image.network:
        return NO_NETWORK
    return image.network


def _differences(
    wanted: AppVersion, image: ProgramImage, limits: tuple[int, int], request: ChangeRequest
) -> tuple[str, ...]:
    """Return what an installation of the request would change, in words."""
    differences: list[str] = []
    if wanted.sha256 != image.sha256:
        differences.append("another program")
    if wanted.claims.network != image.network:
        differences.append("another network")
    heap_bytes, timers = limits
    values = (
        ("heap_bytes", wanted.heap_bytes, heap_bytes),
        ("timers", wanted.timers, timers),
        ("watchdog_ms", wanted.watchdog_ms, request.watchdog_ms),
    )
    for name, before, after in values:
        if before != after:
            differences.append(f"{name} {before} -> {after}")
    if wanted.times != request.times:
        differences.append(times_differ_text(wanted.times, request.times))
    if request.wiring is not None and request.wiring != wanted.wiring:
        differences.append("another wiring")
    return tuple(differences)


def _extra(device: Device, there: AppListing, *, prune: bool) -> FleetRow:
    """Return the row of a program that is not in the fleet."""
    act = "extra"
    # One without that time is not of this host, or only deferred.
    if prune and there.installed_ms is not None:
        act = "remove"
    return FleetRow(device, filled(FleetDifference, there, act=act, differs=(), error=None))
