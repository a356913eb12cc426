"""A fleet: which programs shall run on which devices, what differs from that, and the acts that end the difference.

It compiles, to compare what would be installed with what is wanted; it tries nothing. The deployer does the acts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from microclaw.apps.building import Compile, ProgramImage, check_app_name, check_kind, read_image
from microclaw.apps.catalogue import AppCondition, AppListing
from microclaw.apps.changes import AppVersion
from microclaw.apps.claims import pin_roles
from microclaw.apps.deferring import Deferral, away, offer_when_back
from microclaw.apps.deploy import Deployment, DeployRequest, Removal
from microclaw.apps.firmware_fit import fit_claim, fit_limits
from microclaw.apps.late_proof import Place
from microclaw.apps.many import on_each
from microclaw.apps.parts import Apps
from microclaw.apps.run_times import check_keeper, keeper_text, times_differ_text
from microclaw.boards.profile import BoardProfile
from microclaw.devices.calls import AppInstall
from microclaw.devices.device import Device
from microclaw.errors import (
    AppExists,
    ConfigError,
    DeviceError,
    DeviceTimeout,
    DeviceUnreachable,
    MicroclawError,
    PinClaimed,
    TooManyApps,
)
from microclaw.events import ProgramKind, Report, Step

MAX_ACTS: Final = 1_000
"""Of one apply: one undo looks at no more changes of one request (store/apps.py)."""
_ASKED_AT_ONCE: Final = 32
_OFF: Final = frozenset({"stopped", "deferred"})
"""Conditions of what is not on the device and holds no pin there now."""

FleetAct: TypeAlias = Literal["install", "replace", "unchanged", "extra", "refused"]


@dataclass(frozen=True, slots=True)
class FleetProgram:
    """A program and the devices (ids) that shall run it. The device of `request` is not looked at."""

    request: DeployRequest
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One program on one device, and what an apply does about it.

    "extra" is there and not in the fleet; it is taken off only when the extras are pruned, and never when it is
    `foreign` (this host did not install it). "refused" has the `error` that keeps it from being installed. `differs`
    says what a replacement changes. An extra that `is_only_deferred` is not there yet.
    `blocked`: why it cannot be installed while the extras stay; it is refused then. `pins` are those its source names.
    `condition` is the device's word on the program there now, or "unreachable".
    """

    device: Device
    name: str
    act: FleetAct
    differs: tuple[str, ...] = ()
    sha256: str | None = None
    foreign: bool = False
    condition: AppCondition | None = None
    error: MicroclawError | None = None
    request: DeployRequest | None = None
    is_only_deferred: bool = False
    pins: tuple[int, ...] = ()
    blocked: MicroclawError | None = None

    def refusal(self, *, prune: bool) -> MicroclawError | None:
        """Why it cannot be installed."""
        return self.error or (None if prune else self.blocked)

    def is_act(self, *, prune: bool) -> bool:
        """Whether an apply changes something here."""
        if self.refusal(prune=prune) is not None:
            return False
        return self.act in ("install", "replace") or (prune and self.act == "extra" and not self.foreign)


@dataclass(frozen=True, slots=True)
class DeviceActs:
    """What became of the acts on one device. `error` is the first that failed; `left` are the programs not done.

    `deferred`: done when the device is back; `cancelled`: programs whose deferred installation was dropped.
    """

    deployed: tuple[Deployment, ...] = ()
    removed: tuple[Removal, ...] = ()
    deferred: tuple[Deferral, ...] = ()
    cancelled: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    error: MicroclawError | None = None


class Fleet:
    def __init__(self, apps: Apps) -> None:
        self._apps = apps

    async def compare(self, programs: Sequence[FleetProgram], devices: Sequence[Device]) -> tuple[FleetRow, ...]:
        """A row for each program on each of the devices: those of the fleet in their order, then the others.

        A device that does not answer counts by what is wanted there. Raises ConfigError for two programs with one
        name on one device, and for a program on a device that is not among `devices`.
        """
        _check_devices(programs, devices)
        builds = _Builds(self._apps.compile)

        async def on_device(device: Device) -> tuple[FleetRow, ...]:
            listings = await self._listed(device)
            there = {one.name: one for one in listings or () if not _goes(one)}
            meant = [one.request for one in programs if device.device_id in one.devices]
            rows = [await _row(device, request, there.get(request.name), builds) for request in meant]
            names = {request.name for request in meant}
            if listings is None:
                rows = [replace(row, condition="unreachable") for row in rows]
            rows = _with_blocked(device, rows, there)
            others = there.keys() - names - device.pin_programs  # microclaw's own come and go with what exec sets
            return (*rows, *(_extra(device, there[name]) for name in sorted(others)))

        outcomes = await on_each(devices, on_device, parallel=_ASKED_AT_ONCE)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        return tuple(row for outcome in outcomes for row in outcome.value or ())

    async def apply(
        self,
        rows: Sequence[FleetRow],
        report: Report,
        *,
        prune: bool,
        when_back: Place | bool = False,
        begin: Callable[[], None] = lambda: None,
    ) -> dict[str, DeviceActs]:
        """Do what the rows say, several devices at a time; what became of each device that has acts, by its id.

        On one device first the extras are taken off, then programs come in their order. One that fails leaves the
        others; a device that does not answer is not asked again. With `when_back` its acts are deferred, and told in
        that place.
        """
        acts: dict[str, list[FleetRow]] = {}
        for row in rows:
            if row.is_act(prune=prune):
                acts.setdefault(row.device.device_id, []).append(row)
        devices = list({row.device.device_id: row.device for row in rows if row.device.device_id in acts}.values())

        async def on_device(device: Device) -> DeviceActs:
            ordered = sorted(acts[device.device_id], key=lambda row: row.act != "extra")
            done = DeviceActs()
            place = when_back if isinstance(when_back, Place) else None
            why = await away(device) if when_back else None
            for number, row in enumerate(ordered):
                try:
                    if row.is_only_deferred:
                        done = await self._cancel(row, done, report)
                    elif why is not None:
                        done = await self._defer(row, done, place, why, report)
                    else:
                        done = await self._act(row, done, report, begin)
                except MicroclawError as exc:
                    offer_when_back(exc)
                    report(
                        Step("deploy", f"{device.name}: {row.name}: {exc.message}", "failed", next_step=exc.next_step)
                    )
                    gone = isinstance(exc, DeviceUnreachable | DeviceTimeout)
                    left = [one.name for one in (ordered[number:] if gone else [row])]
                    done = replace(done, left=(*done.left, *left), error=done.error or exc)
                    if gone:
                        break
            return done

        outcomes = await on_each(devices, on_device)
        return {
            device.device_id: outcome.value or DeviceActs(left=_names(acts[device.device_id]), error=outcome.error)
            for device, outcome in zip(devices, outcomes, strict=True)
        }

    async def _cancel(self, row: FleetRow, done: DeviceActs, report: Report) -> DeviceActs:
        await self._apps.deferrals.cancel(row.device.device_id, row.name)
        report(Step("deploy", f"{row.device.name}: {row.name} was deferred, and is dropped"))
        return replace(done, cancelled=(*done.cancelled, row.name))

    async def _defer(
        self, row: FleetRow, done: DeviceActs, place: Place | None, why: str, report: Report
    ) -> DeviceActs:
        device = row.device.device_id
        if row.act == "extra":
            made = await self._apps.deferrals.uninstall(device, row.name, place, why, _silent)
        else:
            assert row.request is not None
            made = await self._apps.deferrals.install(replace(row.request, place=place), why, _silent)
        report(Step("deploy", f"{row.device.name}: {row.name}: deferred until it is back"))
        return replace(done, deferred=(*done.deferred, made))

    async def _act(self, row: FleetRow, done: DeviceActs, report: Report, begin: Callable[[], None]) -> DeviceActs:
        if row.act == "extra":
            begin()
            removal = await self._apps.deployer.remove(row.device.device_id, row.name, _silent)
            report(Step("deploy", f"{row.device.name}: {row.name} is off"))
            return replace(done, removed=(*done.removed, removal))
        assert row.request is not None
        made = await self._apps.deployer.deploy(row.request, _silent, begin=begin)
        if made.verified:
            times = f"; {keeper_text(row.request.times, made.image.kind)}" if row.request.times else ""
            report(Step("deploy", f"{row.device.name}: {row.name}: {made.evidence.text}{times}"))
        else:
            told = f"{row.device.name}: {row.name} runs, but was not verified: {made.evidence.text}"
            report(Step("verify", told, "failed"))
        return replace(done, deployed=(*done.deployed, made))

    async def _listed(self, device: Device) -> tuple[AppListing, ...] | None:
        """None when it does not answer and nothing is wanted there."""
        try:
            return await self._apps.catalogue.list_apps(device.device_id)
        except DeviceError:
            return None


class _Builds:
    """What each program becomes on each kind of board, built once."""

    def __init__(self, compile: Compile) -> None:
        self._compile = compile
        self._one_at_a_time: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)  # of each program
        self._made: list[
            tuple[DeployRequest, BoardProfile, tuple[ProgramKind, ...], ProgramImage | MicroclawError]
        ] = []

    async def image(self, request: DeployRequest, device: Device) -> ProgramImage:
        """Raises what the build raised."""
        board, kinds = device.board, tuple(device.kinds)
        async with self._one_at_a_time[id(request)]:
            found = next((made for *which, made in self._made if which == [request, board, kinds]), None)
            if found is None:
                try:
                    found = await self._build(request, device)
                except MicroclawError as exc:
                    found = exc
                self._made.append((request, board, kinds, found))
        if isinstance(found, MicroclawError):
            raise found
        return found

    async def _build(self, request: DeployRequest, device: Device) -> ProgramImage:
        if request.wasm is not None:
            check_kind("wasm", device.kinds)
            return read_image(request.wasm, device.board, request.name, None)
        assert request.source is not None
        return await self._compile(
            request.source, device.board, request.name, request.optimization, request.language, device.kinds
        )


def digest(rows: Sequence[FleetRow]) -> str:
    """Of everything that the rows say: equal digests are equal differences."""
    said = [(row.device.device_id, row.name, row.act, row.differs, row.sha256, row.foreign) for row in rows]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


async def _row(device: Device, request: DeployRequest, there: AppListing | None, builds: _Builds) -> FleetRow:
    condition = None if there is None else there.condition
    try:
        check_app_name(request.name)
        device.transport_for(AppInstall.method)
        if there is not None and there.foreign:
            raise AppExists(
                f"{device.name} has a program {request.name} that this host did not install",
                next_step=f"give it another name, or take that place first: "
                f"microclaw run FILE --name {request.name} -d {device.name} --replace",
            )
        image = await builds.image(request, device)
        check_keeper(request.times, image.kind)
        heap_bytes, timers = fit_limits(device.board, fit_claim(image, request.heap_bytes), request.timers)
    except MicroclawError as exc:
        return FleetRow(device, request.name, "refused", condition=condition, error=exc)
    request = replace(request, device=device.device_id)
    wanted = None if there is None else there.version
    if there is None or wanted is None:
        return FleetRow(device, request.name, "install", sha256=image.sha256, request=request, pins=image.pins)
    differs = _differences(wanted, image, heap_bytes, timers, request)
    if not differs and condition == "missing" and there.error is not None:  # the host no longer puts it back by itself
        differs = (f"it is not there: {there.error}",)
    act: FleetAct = "replace" if differs else "unchanged"
    return FleetRow(
        device, request.name, act, differs, image.sha256, condition=condition, request=request, pins=image.pins
    )


def _with_blocked(device: Device, rows: Sequence[FleetRow], there: Mapping[str, AppListing]) -> list[FleetRow]:
    """The rows with what keeps them out while the extras stay: a pin of an extra, or no room beside them.

    The pins are those that a source names, as before a trial. An extra that has ended gives its room away.
    """
    names = {row.name for row in rows}
    extras = {name: one for name, one in there.items() if name not in names and one.condition not in _OFF}
    holders = [(name, pin_roles(one.version)) for name, one in sorted(extras.items()) if one.version is not None]
    limit = device.board.firmware.max_apps
    staying = {name for name, one in extras.items() if one.condition != "ended" and not one.foreign}
    places = (
        {name for name, one in extras.items() if one.foreign}
        | staying
        | {name for name in names if name in there and there[name].condition != "ended"}
    )
    found: list[FleetRow] = []
    for row in rows:
        if row.act not in ("install", "replace"):
            found.append(row)
            continue
        shared = ((pin, name) for name, roles in holders for pin in row.pins if roles.get(pin, "reads") != "reads")
        taken = next(shared, None)
        blocked: MicroclawError | None = None
        if taken is not None:
            text = f"pin {taken[0]} of {device.name} belongs to {taken[1]}, which is not in the fleet and stays"
            blocked = PinClaimed(text, next_step=f"--prune takes {taken[1]} off; or choose another pin")
        elif row.name not in places and len(places) >= limit and staying:
            text = f"{device.name} has room for {limit} programs, and {', '.join(sorted(staying))} stays there"
            blocked = TooManyApps(text, next_step="--prune takes off what is not in the fleet")
        else:
            places.add(row.name)
        found.append(replace(row, blocked=blocked))
    return found


def _differences(
    wanted: AppVersion, image: ProgramImage, heap_bytes: int, timers: int, request: DeployRequest
) -> tuple[str, ...]:
    values = (
        ("heap_bytes", wanted.heap_bytes, heap_bytes),
        ("timers", wanted.timers, timers),
        ("watchdog_ms", wanted.watchdog_ms, request.watchdog_ms),
    )
    program = () if wanted.sha256 == image.sha256 else ("another program",)
    times = () if wanted.times == request.times else (times_differ_text(wanted.times, request.times),)
    return (*program, *(f"{what} {before} -> {after}" for what, before, after in values if before != after), *times)


def _goes(there: AppListing) -> bool:
    """Whether its removal waits for the device: it counts as gone."""
    return there.deferred is not None and there.deferred.order.act == "uninstall"


def _extra(device: Device, there: AppListing) -> FleetRow:
    return FleetRow(
        device,
        there.name,
        "extra",
        sha256=there.sha256,
        foreign=there.foreign,
        condition=there.condition,
        is_only_deferred=there.deferred is not None and there.installed_ms is None,
    )


def _check_devices(programs: Sequence[FleetProgram], devices: Sequence[Device]) -> None:
    known = {device.device_id: device.name for device in devices}
    taken: set[tuple[str, str]] = set()
    for one in programs:
        for device_id in one.devices:
            if device_id not in known:
                raise ConfigError(
                    f"{one.request.name} is for device {device_id}, which is not among the devices of this fleet",
                    next_step="name it in devices",
                )
            if (device_id, one.request.name) in taken:
                raise ConfigError(
                    f"two programs are named {one.request.name} on {known[device_id]}",
                    next_step="give one of them another name",
                )
            taken.add((device_id, one.request.name))


def _names(rows: Sequence[FleetRow]) -> tuple[str, ...]:
    return tuple(row.name for row in rows)


def _silent(_step: Step) -> None:
    """The stages of one of many programs are not shown; how it ends is."""
