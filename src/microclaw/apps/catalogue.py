"""Lists the apps of devices: what this host wants on a device, next to what the device reports. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from microclaw.apps.building import stored_program
from microclaw.apps.changes import ChangeLog, DesiredApp
from microclaw.apps.installer import not_found
from microclaw.apps.reconciler import left_off
from microclaw.apps.traps import TRACEBACK, trap_words
from microclaw.devices.calls import AppEntry, AppList, AppState, AppStates
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import DeviceError, DeviceSilent

AppCondition: TypeAlias = Literal[
    "running", "listed", "returned", "exited", "trapped", "dead", "missing", "unreachable"
]


@dataclass(frozen=True, slots=True)
class AppListing:
    """One app on one device.

    `condition`: "listed" is all that stock firmware reports of an app; "dead" is loaded without effect; "missing" is
    wanted but not there; "unreachable" is wanted on a device that does not answer. `foreign`: this host did not install
    it; `sha256` and `installed_ms` are then None. `size_bytes` and `source` come only with `show`.
    """

    device_id: str
    device_name: str
    name: str
    condition: AppCondition
    foreign: bool
    heap_bytes: int
    pins: tuple[int, ...]
    sha256: str | None = None
    error: str | None = None
    installed_ms: int | None = None
    size_bytes: int | None = None
    source: str | None = None


class Catalogue:
    """`Catalogue(devices=registry, change_log=...)`"""

    def __init__(self, *, devices: Registry, change_log: ChangeLog) -> None:
        self._devices = devices
        self._change_log = change_log

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

    async def show(self, device: str, name: str) -> AppListing:
        """One app with its size and source. Raises AppNotFound, which names the apps there are."""
        target = self._devices.get(device)
        listings = await self._of(target, named=True)
        listing = next((found for found in listings if found.name == name), None)
        if listing is None:
            raise not_found(target, name, [found.name for found in listings])
        if listing.sha256 is None:
            return listing
        image = await self._change_log.image(listing.sha256)
        return replace(listing, size_bytes=len(image.code), source=image.source)

    async def _of(self, device: Device, *, named: bool) -> tuple[AppListing, ...]:
        wanted = {app.name: app for app in await self._change_log.desired(device.device_id)}
        absent: AppCondition = "missing"
        silence: str | None = None
        listed: dict[str, AppEntry] = {}
        states: dict[str, AppState] = {}
        try:
            listed = {app.name: app for app in await device.call(AppList(), wait=False)}
            if device.supports(AppStates.method):
                states = {app.name: app for app in await device.call(AppStates(), wait=False)}
        except DeviceError as exc:
            if named and not wanted:
                raise
            silence = exc.message if isinstance(exc, DeviceSilent) else None
            absent = "unreachable"
        names = sorted(wanted.keys() | listed.keys())
        listings = [_listing(device, name, wanted, listed, states, absent) for name in names]
        if silence:
            return tuple(replace(one, error=silence) for one in listings)
        return tuple([await self._in_source_lines(one, wanted.get(one.name)) for one in listings])

    async def _in_source_lines(self, listing: AppListing, app: DesiredApp | None) -> AppListing:
        """With the error of a Python program of this host in plain words and in the lines of its source.

        A program that crashed and was started again runs, and its error is still the traceback.
        """
        if listing.error is None or app is None or app.version.kind != "py":
            return listing
        if listing.condition != "trapped" and not listing.error.startswith(TRACEBACK):
            return listing
        stored = await self._change_log.image(app.version.sha256)
        image = stored_program(stored.code, stored.source, stored.meta)
        return replace(listing, error=trap_words(image.source_traceback(listing.error))[0])


def _listing(
    device: Device,
    name: str,
    wanted: Mapping[str, DesiredApp],
    listed: Mapping[str, AppEntry],
    states: Mapping[str, AppState],
    absent: AppCondition,
) -> AppListing:
    ours, there, state = wanted.get(name), listed.get(name), states.get(name)
    absent_now = there is None
    heap_bytes = there.heap_bytes if there else ours.version.heap_bytes if ours else 0
    pins = state.pins if state else ours.version.pins if ours else ()
    return AppListing(
        device_id=device.device_id,
        device_name=device.name,
        name=name,
        condition=absent if there is None else _condition(state),
        foreign=ours is None,
        heap_bytes=heap_bytes,
        pins=pins,
        sha256=ours.version.sha256 if ours else None,
        error=state.error if state else left_off(ours) if ours is not None and absent_now else None,
        installed_ms=ours.since_ms if ours else None,
    )


def _condition(state: AppState | None) -> AppCondition:
    if state is None:
        return "listed"
    match state.state:
        case "running" | "returned" | "exited" | "trapped":
            return state.state
        case _:
            return "dead"
