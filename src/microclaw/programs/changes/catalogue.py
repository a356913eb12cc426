"""Lists the apps of devices: what this host wants on a device, next to what the device reports. Changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import convert
from msgspec.structs import asdict, replace

from microclaw.devices.registry.calls import AppEntry, AppList, AppState
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import DeviceError, DeviceSilent
from microclaw.host.operations.result import filled
from microclaw.host.store.apps import MAX_NUMBER, ImageRow
from microclaw.host.store.crashes import CrashTable
from microclaw.programs.changes.change_log import AppVersion, Change, ChangeLog, DesiredApp, PutApp
from microclaw.programs.changes.deferring import DeferredAct, DeferredLog
from microclaw.programs.changes.deployment import source_diff
from microclaw.programs.changes.program_state import ask_programs, not_found
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
from microclaw.programs.proof.traps import EXCEPTION, TRACEBACK, trap_words

MAX_CRASHES: Final = 5  # kinds that are shown with a program
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

    `condition`: "listed" is all that stock firmware reports of an app; "ended": its main is over, and nothing of it
    runs; "dead" is loaded without effect; "missing" is wanted but not there; "unreachable" is wanted on a device that
    does not answer; "stopped" is off the device and kept for a start; "waiting" is between two runs (`runs`), or
    until the board has memory for it;
    "deferred" has an act that waits for the device, and `version` is that which it puts there.
    `foreign`: this host did not install it; `sha256`, `installed_ms` and `version` are then None.
    `is_away`: the device did not answer.
    """

    version: AppVersion | None = None
    is_away: bool = False


class Catalogue:
    """`Catalogue(devices=registry, change_log=...)`."""

    def __init__(self, *, devices: Registry, change_log: ChangeLog) -> None:
        self._devices = devices
        self._change_log = change_log
        self._deferred = DeferredLog(change_log.database, change_log.now_ms)
        self._source_log = SourceLog(change_log)

    async def list_apps(self, device: str | None = None) -> tuple[AppListing, ...]:
        """The apps of one device (name or id) or of all. Of a device that does not answer: what is wanted there.

        Raises DeviceError only for a named device that does not answer and has no wanted apps.
        """
        if device is not None:
            return await self._of(self._devices.get(device), named=True)
        targets = [found for found in self._devices.list() if found.supports(AppList.method)]
        async with asyncio.TaskGroup() as tasks:
            lists = [tasks.create_task(self._of(target, named=False), name=f"list {target.name}") for target in targets]
        return tuple(listing for task in lists for listing in task.result())

    async def show(self, device: str, name: str) -> AppWithSource:
        """One app with its source and proof. Raises AppNotFound, which names the apps there are."""
        target = self._devices.get(device)
        listings = await self._of(target, named=True)
        listing = next((found for found in listings if found.name == name), None)
        if listing is None:
            raise not_found(target, name, [found.name for found in listings])
        history = await self._history(target, name)
        known: dict[str, Any] = {"source": None, "proof": None, "before": None}
        if listing.sha256 is not None:
            image = await self._change_log.image(listing.sha256)
            row = await self._change_log.proof(target.device_id, listing.sha256)
            if row is None:
                proof = None
            else:
                proof = {"at_ms": row.at_ms, **json.loads(row.document)}
            before = await self._before(history, image)
            known = {"size_bytes": len(image.code), "source": image.source, "proof": proof, "before": before}
        known["change"] = filled(NewestChange, history[0]) if history else None
        return filled(AppWithSource, listing, crashes=await self._crashes(target, name), **known)

    async def _history(self, device: Device, name: str) -> list[Change]:
        """The changes of this program that are done, newest first."""
        changes = await self._change_log.changes(device.device_id, MAX_NUMBER, state="done", kind="app.%")
        return [change for change in changes if getattr(change.forward, "name", None) == name]

    async def _crashes(self, device: Device, name: str) -> list[ProgramCrash]:
        """The newest kinds of crash of a program of this name there."""
        groups = await CrashTable(self._change_log.database).groups(devices=[device.device_id])
        crashes = [filled(ProgramCrash, group) for group in groups if group.program == name]
        return crashes[:MAX_CRASHES]

    async def _before(self, history: Sequence[Change], now: ImageRow) -> FormerVersion | None:
        """The version that was there before this one; None if this host put no other one there."""
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
        listed: dict[str, AppEntry] = {}
        states: dict[str, AppState] = {}
        try:
            entries, reported = await ask_programs(device, wait=False)
            listed = {app.name: app for app in entries}
            states = {app.name: app for app in reported or ()}
        except DeviceError as exc:
            if named and not wanted and not stopped and not deferred:
                raise
            silence = exc.message if isinstance(exc, DeviceSilent) else None
            absent = "unreachable"
        found: dict[str, AppListing] = {}
        for name in wanted.keys() | listed.keys():
            one = _listing(device, name, wanted.get(name), listed.get(name), states.get(name), absent)
            found[name] = replace(one, error=silence) if silence else await self._in_words(one, wanted.get(name))
        for app in stopped:
            found.setdefault(app.name, _listing(device, app.name, app, None, None, "stopped"))
        for act in deferred:
            found[act.name] = _deferred(device, act, found.get(act.name))
        return tuple(replace(found[name], is_away=absent == "unreachable") for name in sorted(found))

    async def _in_words(self, listing: AppListing, app: DesiredApp | None) -> AppListing:
        """With the error of a program of this host in plain words, of a Python program in the lines of its source.

        A program that crashed and was started again runs, and its error is still the traceback; so does a C program
        after a trap in one of its callbacks.
        """
        error = listing.error
        if error is None or app is None:
            return listing
        if app.version.kind == "py":
            if listing.condition != "trapped" and not error.startswith(TRACEBACK):
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
    there: AppEntry | None,
    state: AppState | None,
    absent: AppCondition,
) -> AppListing:
    """`absent`: the condition of one that the device does not list."""
    if state:
        error = state.error
    elif ours and not there and absent != "stopped":
        error = redeploy_refusal(ours)
    else:
        error = None
    return AppListing(
        device=device.name,
        name=name,
        condition=absent if not there else _CONDITIONS.get(state.state, "dead") if state else "listed",
        foreign=ours is None,
        heap_bytes=there.heap_bytes if there else ours.heap_bytes if ours else 0,
        pins=state.pins if state else ours.pins if ours else (),
        sha256=ours.sha256 if ours else None,
        size_bytes=None,
        error=error,
        installed_ms=ours.since_ms if ours else None,
        deferred=None,
        **_of_version(ours.version if ours else None, state),
    )


def _of_version(version: AppVersion | None, state: AppState | None) -> dict[str, Any]:
    if version is None:
        return dict.fromkeys(("version", "kind", "origin", "runs"))
    origin = version.origin and convert(asdict(version.origin) | {"params": dict(version.origin.params)}, AppOrigin)
    runs = AppRunTimes.seen(version.times, state.runs if state else None)
    return {"version": version, "kind": version.kind, "origin": origin, "runs": runs}


def _deferred(device: Device, act: DeferredAct, before: AppListing | None) -> AppListing:
    """A program with an act that waits; what is there until then is in `before`."""
    version = None if act.order.act == "stop" else act.order.version
    listing = before or replace(_listing(device, act.name, None, None, None, "deferred"), foreign=False)
    listing = replace(
        listing, condition="deferred", deferred=DeferredFacts.of(act), error=None, **_of_version(version, None)
    )
    if version is None:
        return listing
    return replace(listing, sha256=version.sha256, heap_bytes=version.heap_bytes, pins=version.pins, foreign=False)
