"""Lists the apps of devices: what this host wants on a device, next to what the device reports. Changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import asdict, replace

from microclaw.conversion import convert
from microclaw.devices.registry.calls import AppEntry, AppList, AppState, LogsRead
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import DeviceError, DeviceSilent
from microclaw.hardware.parts.wiring_file import wiring_text
from microclaw.host.operations.result import filled
from microclaw.host.store.apps import MAX_NUMBER, ImageRow
from microclaw.host.store.crashes import CrashTable
from microclaw.programs.board_list import ask_programs, find_by_name
from microclaw.programs.changes.change_log import AppVersion, Change, ChangeLog, DesiredApp, PutApp, StartApp
from microclaw.programs.changes.deferring import DeferredAct, DeferredLog
from microclaw.programs.changes.deployment import source_diff
from microclaw.programs.changes.page_boards import has_pages
from microclaw.programs.changes.program_state import not_found
from microclaw.programs.changes.reconciler import redeploy_refusal
from microclaw.programs.changes.results import (
    AppCondition,
    AppFacts,
    AppOrigin,
    AppRunTimes,
    AppWithSource,
    DeferredFacts,
    FormerVersion,
    NewestChange,
    ProgramCrash,
)
from microclaw.programs.changes.source_log import SourceLog
from microclaw.programs.changes.trapped_programs import trapped_by_lines
from microclaw.programs.proof.traps import EXCEPTION, is_traceback, trap_words
from microclaw.wire.host_api import program_page_path

# The kinds that are shown with a program.
MAX_CRASHES: Final = 5
_CONDITIONS: Final[Mapping[str, AppCondition]] = {
    "running": "running",
    "trapped": "trapped",
    "stopped": "stopped",
    "waiting": "waiting",
    "returned": "ended",
    "exited": "ended",
}


class AppListing(AppFacts, frozen=True, kw_only=True):
    """One app on one device, with what only this host looks at.

    `condition`: "listed" is all that stock firmware reports of an app; it is "trapped" there if the app's own lines
    say so; "ended": its main is over, and nothing of it
    runs; "dead" is loaded without effect; "missing" is wanted but not there; "unreachable" is wanted on a device that
    does not answer; "stopped" is off the device and kept for a start; "waiting" is between two runs (`runs`), or
    until the board has memory for it;
    "deferred" has an act that waits for the device, and `version` is that which it puts there.
    `foreign`: this host did not install it; `sha256`, `installed_ms` and `version` are then None.
    `is_away`: the device did not answer. `is_silent`: it takes connections, and `error` is about its silence.
    """

    version: AppVersion | None = None
    is_away: bool = False
    is_silent: bool = False


class Catalogue:
    """`Catalogue(devices=registry, change_log=...)`."""

    def __init__(self, *, devices: Registry, change_log: ChangeLog) -> None:
        self._devices = devices
        self._change_log = change_log
        self._deferred = DeferredLog(change_log.database, change_log.now_ms)
        self._source_log = SourceLog(change_log)

    async def list_apps(self, device: str | None = None) -> tuple[AppListing, ...]:
        """Return the apps of one device (name or id) or of all. Of a device that does not answer: what is wanted there.

        Raises DeviceError only for a named device that does not answer and has no wanted apps.
        """
        if device is not None:
            return await self._of(self._devices.get(device), named=True)
        lists: list[asyncio.Task[tuple[AppListing, ...]]] = []
        async with asyncio.TaskGroup() as tasks:
            for target in self._devices.list():
                if target.supports(AppList.method):
                    listing = self._of(target, named=False)
                    lists.append(tasks.create_task(listing, name=f"list {target.name}"))
        listings: list[AppListing] = []
        for task in lists:
            listings += task.result()
        return tuple(listings)

    async def show(self, device: str, name: str) -> AppWithSource:
        """Return one app with its source and proof. Raises AppNotFound, which names the apps there are."""
        target = self._devices.get(device)
        listings = {listing.name: listing for listing in await self._of(target, named=True)}
        if name not in listings:
            raise not_found(target, name, list(listings))
        listing = listings[name]
        history = await self._history(target, name)
        facts: dict[str, Any] = {"source": None, "proof": None, "before": None, "change": None, "page": None}
        if listing.sha256 is not None:
            image = await self._change_log.image(listing.sha256)
            facts["size_bytes"] = len(image.code)
            facts["source"] = image.source
            if has_pages(image.code, listing.network):
                facts["page"] = program_page_path(f"{name}@{target.name}")
            facts["before"] = await self._before(history, image)
            row = await self._change_log.proof(target.device_id, listing.sha256)
            if row is not None:
                document = json.loads(row.document)
                # They are for the bench alone, and pictures are long.
                document.pop("parts", None)
                facts["proof"] = {"at_ms": row.at_ms, **document}
        if history:
            facts["change"] = filled(NewestChange, history[0])
        facts["wiring"] = await self._own_wiring(target, name)
        return filled(AppWithSource, listing, crashes=await self._crashes(target, name), **facts)

    async def _own_wiring(self, device: Device, name: str) -> str | None:
        """Return the wiring file of a program, None if it has none of its own."""
        for is_stopped in (False, True):
            app = find_by_name(await self._change_log.desired(device.device_id, stopped=is_stopped), name)
            if app is not None and app.wiring is not None:
                return wiring_text(app.wiring)
        return None

    async def _history(self, device: Device, name: str) -> list[Change]:
        """Return the changes of this program that are done, newest first."""
        changes = await self._change_log.changes(device.device_id, MAX_NUMBER, state="done", kind="app.%")
        history: list[Change] = []
        for change in changes:
            if getattr(change.forward, "name", None) == name:
                history.append(change)
        return history

    async def _crashes(self, device: Device, name: str) -> list[ProgramCrash]:
        """Return the newest kinds of crash of a program of this name there."""
        crashes: list[ProgramCrash] = []
        for group in await CrashTable(self._change_log.database).groups(devices=[device.device_id]):
            if group.program == name:
                crashes.append(filled(ProgramCrash, group))
        return crashes[:MAX_CRASHES]

    async def _before(self, history: Sequence[Change], now: ImageRow) -> FormerVersion | None:
        """Return the version that was there before this one; None if this host put no other one there."""
        for change in history:
            match change.forward:
                case PutApp(version=version) if version.sha256 != now.sha256:
                    image = await self._change_log.image(version.sha256)
                    diff = list(await source_diff(image.source, now.source))
                    return filled(FormerVersion, change, sha256=image.sha256, diff=diff)
        return None

    async def _of(self, device: Device, *, named: bool) -> tuple[AppListing, ...]:
        wanted = {app.name: app for app in await self._change_log.desired(device.device_id)}
        stopped = await self._change_log.desired(device.device_id, stopped=True)
        deferred = await self._deferred.waiting(device.device_id)
        absent: AppCondition = "missing"
        silence: str | None = None
        entries: Sequence[AppEntry] = ()
        states: Sequence[AppState] | None = None
        trapped: Mapping[str, str] = {}
        try:
            entries, states = await ask_programs(device, wait=False)
            if states is None and wanted and device.supports(LogsRead.method):
                trapped = await trapped_by_lines(self._change_log, device)
        except DeviceError as exc:
            has_facts = bool(wanted or stopped or deferred)
            if named and not has_facts:
                raise
            silence = exc.message if isinstance(exc, DeviceSilent) else None
            absent = "unreachable"
        listed = {entry.name: entry for entry in entries}
        listings: dict[str, AppListing] = {}
        for name in wanted.keys() | listed.keys():
            state = find_by_name(states or (), name)
            listing = _listing(device, name, wanted.get(name), listed.get(name), state, absent=absent)
            if listing.condition == "listed" and name in trapped:
                listing = replace(listing, condition="trapped", error=trapped[name])
            if silence is not None:
                listing = replace(listing, error=silence, is_silent=True)
            else:
                listing = await self._in_words(listing, wanted.get(name))
            listings[name] = listing
        await self._know_own(device, listings)
        await self._count_crashes(device, listings)
        for app in stopped:
            listings.setdefault(app.name, _listing(device, app.name, app, absent="stopped"))
        for act in deferred:
            listings[act.name] = _deferred(device, act, listings.get(act.name))
        is_away = absent == "unreachable"
        return tuple(replace(listings[name], is_away=is_away) for name in sorted(listings))

    async def _know_own(self, device: Device, listings: dict[str, AppListing]) -> None:
        """Mark as not foreign the programs that this host puts on the device just now."""
        foreign = [name for name, listing in listings.items() if listing.foreign]
        if not foreign:
            return
        own = set()
        # The planned changes first: one that ends meanwhile is among the wanted programs.
        for change in await self._change_log.changes(device.device_id, MAX_NUMBER, state="planned", kind="app.%"):
            if isinstance(change.forward, PutApp | StartApp):
                own.add(change.forward.name)
        for app in await self._change_log.desired(device.device_id):
            own.add(app.name)
        for name in own.intersection(foreign):
            listings[name] = replace(listings[name], foreign=False)

    async def _count_crashes(self, device: Device, listings: dict[str, AppListing]) -> None:
        """Give each program with an error the number of crashes of its version there."""
        failed = [listing for listing in listings.values() if listing.error and listing.sha256 is not None]
        if not failed:
            return
        groups = await CrashTable(self._change_log.database).groups(devices=[device.device_id])
        for listing in failed:
            crash_count = 0
            for group in groups:
                if group.program == listing.name and (listing.sha256 or "").startswith(group.version or "-"):
                    crash_count += group.count
            listings[listing.name] = replace(listing, crash_count=crash_count)

    async def _in_words(self, listing: AppListing, app: DesiredApp | None) -> AppListing:
        """With the error of a program of this host in plain words, of a Python program in the lines of its source.

        A program that crashed and was started again runs, and its error is still the traceback; so does a C program
        after a trap in one of its callbacks.
        """
        error = listing.error
        if error is None or app is None:
            return listing
        if app.version.kind == "py":
            if listing.condition != "trapped" and not is_traceback(error):
                return listing
            words = await self._source_log.words(app.version.sha256)
            error = (words and words(error)) or error
        elif not error.startswith(EXCEPTION):
            return listing
        return replace(listing, error=trap_words(error)[0])


def _listing(
    device: Device,
    name: str,
    ours: DesiredApp | None,
    there: AppEntry | None = None,
    state: AppState | None = None,
    *,
    absent: AppCondition,
) -> AppListing:
    """Return a program as this host wants it, and as it is there. `absent`: the condition if it is not listed."""
    error: str | None = None
    if state is not None:
        error = state.error
    elif ours is not None and there is None and absent != "stopped":
        error = redeploy_refusal(ours)
    listing = AppListing(
        device=device.name,
        name=name,
        condition=_condition(there, state, absent),
        foreign=ours is None,
        heap_bytes=0,
        pins=(),
        sha256=None,
        size_bytes=None,
        error=error,
        installed_ms=None,
        kind=None,
        origin=None,
        deferred=None,
        runs=None,
    )
    if ours is not None:
        listing = _with_version(listing, ours.version, state)
        listing = replace(listing, installed_ms=ours.since_ms)
    if there is not None:
        listing = replace(listing, heap_bytes=there.heap_bytes)
    if state is not None:
        listing = replace(listing, pins=state.pins)
    return listing


def _condition(there: AppEntry | None, state: AppState | None, absent: AppCondition) -> AppCondition:
    if there is None:
        return absent
    if state is None:
        return "listed"
    return _CONDITIONS.get(state.state, "dead")


def _with_version(listing: AppListing, version: AppVersion, state: AppState | None) -> AppListing:
    """Return the listing with the facts of a version, and how its runs go on the board."""
    origin: AppOrigin | None = None
    if version.origin is not None:
        origin = convert({**asdict(version.origin), "params": dict(version.origin.params)}, AppOrigin)
    return replace(
        listing,
        sha256=version.sha256,
        heap_bytes=version.heap_bytes,
        pins=version.pins,
        network=version.claims.network,
        version=version,
        kind=version.kind,
        origin=origin,
        runs=AppRunTimes.seen(version.times, None if state is None else state.runs),
    )


def _deferred(device: Device, act: DeferredAct, before: AppListing | None) -> AppListing:
    """Return a program with an act that waits; what is there until then is in `before`."""
    listing = before
    if listing is None:
        listing = replace(_listing(device, act.name, None, absent="deferred"), foreign=False)
    facts = DeferredFacts.of(act)
    if act.order.act == "stop" or act.order.version is None:
        return replace(
            listing, condition="deferred", deferred=facts, error=None, version=None, kind=None, origin=None, runs=None
        )
    listing = _with_version(listing, act.order.version, None)
    return replace(listing, condition="deferred", deferred=facts, error=None, foreign=False)
