"""Stops, starts and restarts programs that are installed, from their kept images: no build and no trial.

A stopped program is off its board, so that not even the board's own reset starts it; this host keeps its image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from microclaw.apps.building import check_kind, in_source_lines, stored_program
from microclaw.apps.changes import (
    AppVersion,
    ChangeKind,
    DeviceAction,
    PutApp,
    RemoveApp,
    StartApp,
    StopApp,
    version_of,
)
from microclaw.apps.claims import check_free, claiming
from microclaw.apps.installer import Installer, check_room, not_found, stored_call
from microclaw.apps.listing import names_after_change, removal_text
from microclaw.apps.run_times import first_only_text
from microclaw.apps.stage_text import fail
from microclaw.apps.traps import trap_words
from microclaw.apps.verify import NO_READ_BACK, PATIENCE_MS, Baseline, edges_since, take_baseline
from microclaw.devices.calls import AppList, AppState, AppStates, AppStop, AppUninstall, EdgesRead
from microclaw.devices.device import Device
from microclaw.errors import AppNotFound, DeployRejected, DeviceError, MicroclawError
from microclaw.events import Edge, Evidence, Report, Stage, Step
from microclaw.store.apps import ImageRow
from microclaw.text import format_duration

_POLL_MS: Final = 50.0
_ENOUGH_EDGES: Final = 2
_STILL_LISTED: Final = "restart the board, then microclaw app list; the host does not put it back"


@dataclass(frozen=True, slots=True)
class Switched:
    """A program that was stopped, started or restarted. `verified` is False when the board shows that it does not run.

    `sha256` is that of the image that is kept, or runs.
    """

    device_id: str
    device_name: str
    name: str
    evidence: Evidence
    verified: bool
    sha256: str
    change_id: int


class Lifecycle:
    """Each act is a change in the change log."""

    def __init__(self, installer: Installer, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._installer, self._devices, self._change_log = installer, installer.devices, installer.change_log
        self._sleep = sleep

    async def stop(
        self, device: str, name: str, report: Report, *, undoes: int | None = None, keep: AppVersion | None = None
    ) -> Switched:
        """Take a program off and keep its image for a start. With `keep`, which an undo gives, this version is kept.

        Raises AppNotFound for a program that is not there, DeployRejected for one that is stopped already or that this
        host did not install, DeviceError.
        """
        target = self._devices.get(device)
        stage: Stage = "deploy"
        try:
            async with self._installer.holding(target):
                names = [app.name for app in await target.call(AppList())]
                running = version_of(name, await self._change_log.desired(target.device_id))
                kept = keep or running
                if kept is None:
                    raise await self._nothing_to_stop(target, name, names)
                change_id = await self._change_log.plan(
                    target.device_id,
                    "app.stop",
                    f"stop {name} on {target.name}",
                    StopApp(name, kept),
                    RemoveApp(name) if running is None else StartApp(name, running),
                    undoes=undoes,
                )
                async with self._change_log.closing(change_id):
                    if name in names:
                        with suppress(AppNotFound):  # it went after the device listed it
                            await target.call(AppUninstall(name))
                stage = "verify"
                text = await removal_text(target, name, self._sleep, next_step=_STILL_LISTED)
        except MicroclawError as exc:
            fail(report, stage, exc)
        report(Step("deploy", f"{name} stopped on {target.name}; its image is kept"))
        report(Step("verify", text))
        evidence = Evidence("reported", text)
        return Switched(target.device_id, target.name, name, evidence, True, kept.sha256, change_id)

    async def start(
        self, device: str, name: str, report: Report, *, undoes: int | None = None, kept: AppVersion | None = None
    ) -> Switched:
        """Install the kept image of a stopped program, or of one that has ended. An undo gives the version as `kept`.

        Raises AppNotFound, DeployRejected for one that runs, PinClaimed and TooManyApps as an installation does.
        """
        target = self._devices.get(device)
        try:
            async with self._installer.holding(target):
                names = [app.name for app in await target.call(AppList())]
                running = version_of(name, await self._change_log.desired(target.device_id))
                if running is not None and kept is None:
                    await _check_ended(target, name, names)
                    return await self._put(target, name, running, names, "app.restart", None, report, None)
                stopped = version_of(name, await self._change_log.stopped(target.device_id))
                version = kept or stopped
                if version is None:
                    raise _unknown(target, name, names, "started")
                inverse = StopApp(name, version)
                return await self._put(target, name, version, names, "app.start", inverse, report, undoes)
        except MicroclawError as exc:
            fail(report, "deploy", exc)

    async def restart(self, device: str, name: str, report: Report) -> Switched:
        """Take a program off and install the same image again. It is no change that undo takes back."""
        target = self._devices.get(device)
        try:
            async with self._installer.holding(target):
                names = [app.name for app in await target.call(AppList())]
                version = version_of(name, await self._change_log.desired(target.device_id))
                if version is None:
                    if version_of(name, await self._change_log.stopped(target.device_id)) is not None:
                        raise DeployRejected(
                            f"{name} is stopped on {target.name}",
                            next_step=f"microclaw app start {name} -d {target.name}",
                        )
                    raise _unknown(target, name, names, "restarted")
                return await self._put(target, name, version, names, "app.restart", None, report, None)
        except MicroclawError as exc:
            fail(report, "deploy", exc)

    async def _put(
        self,
        device: Device,
        name: str,
        version: AppVersion,
        names: Sequence[str],
        kind: ChangeKind,
        inverse: DeviceAction | None,
        report: Report,
        undoes: int | None,
    ) -> Switched:
        """Install the stored image of this version and look at what the board shows of it. Call it `holding`."""
        is_start = kind == "app.start"
        stored = await self._check(device, name, version, is_start=is_start)
        call = stored_call(device, name, stored.code, version)
        change_id = await self._change_log.plan(
            device.device_id,
            kind,
            f"{'start' if is_start else 'restart'} {name} on {device.name}",
            StartApp(name, version) if is_start else PutApp(name, version),
            inverse,
            undoes=undoes,
        )
        dead: tuple[str, str] | None = None
        async with self._change_log.closing(change_id):
            if name in names:
                with suppress(AppNotFound):
                    await device.call(AppUninstall(name))
            baseline = await take_baseline(device)
            await device.call(call)
            self._installer.note_begun(device, name)
            report(Step("deploy", f"{name} -> {device.name}, from the kept image"))
            evidence, dead = await self._look(device, name, version, stored, baseline)
            if dead is not None and is_start:
                await device.call(AppUninstall(name))
                raise DeployRejected(f"{name} stays stopped on {device.name}: {dead[0]}", next_step=dead[1])
        state, step = ("done", None) if dead is None else ("failed", dead[1])
        report(Step("verify", evidence.text, "failed" if state == "failed" else "done", next_step=step))
        if version.times is not None:
            report(Step("verify", first_only_text(version.times, version.kind)))
        return Switched(device.device_id, device.name, name, evidence, dead is None, version.sha256, change_id)

    async def _check(self, device: Device, name: str, version: AppVersion, *, is_start: bool) -> ImageRow:
        """The stored image; raises what keeps it from being installed."""
        if version.claims.forced:
            raise DeployRejected(
                f"the trial of {name} had failed and it was forced: it is not installed again without a person's force",
                next_step="install it from its source with --force",
            )
        check_kind(version.kind, device.kinds)
        wanted = await self._change_log.desired(device.device_id)
        await check_free(device, name, version.pins, version.claims, await claiming(device, wanted))
        if is_start:
            listed = await device.call(AppList())
            check_room(device, name, listed, wanted)
        return await self._change_log.image(version.sha256)

    async def _nothing_to_stop(self, device: Device, name: str, names: Sequence[str]) -> MicroclawError:
        if name in names:
            return _unknown(device, name, names, "stopped")
        if version_of(name, await self._change_log.stopped(device.device_id)) is not None:
            return DeployRejected(
                f"{name} is stopped on {device.name} already",
                next_step=f"microclaw app start {name} -d {device.name}",
            )
        return not_found(device, name, names)

    async def _look(
        self, device: Device, name: str, version: AppVersion, stored: ImageRow, before: Baseline
    ) -> tuple[Evidence, tuple[str, str] | None]:
        """What the board shows of it, and why it does not run, if so. An error of the board is told, not raised."""
        try:
            edges, waited_ms = await self._edges(device, version, before)
            state = await _state(device, name)
            dead = _dead(state, version, stored)
            if dead is not None:
                return Evidence("reported", dead[0]), dead
            if name not in await names_after_change(device, name, there=True, sleep=self._sleep):
                why = f"{device.name} answered that it took {name}, but does not list it"
                return Evidence("reported", why), (why, "restart the board, then start it again")
        except DeviceError as exc:
            text = f"accepted, but the board could not be read back: {exc.message}"
            return Evidence("accepted", text), (text, exc.next_step or "microclaw app list")
        if edges:
            pins = sorted({edge.pin for edge in edges})
            shown = ", ".join(f"{sum(e.pin == pin for e in edges)} on pin {pin}" for pin in pins)
            within = format_duration(waited_ms, decimals=2)
            return Evidence("counted", f"counted on the board: edges within {within}: {shown}", edges), None
        if state is None:
            return Evidence("accepted", NO_READ_BACK), None
        text = f"{device.name} reports it {state.state}"
        if version.pins and before.edge_cursor is not None:
            text += f"; no edge on its pins in {format_duration(waited_ms, decimals=2)}"
        return Evidence("reported", text), None

    async def _edges(self, device: Device, version: AppVersion, before: Baseline) -> tuple[tuple[Edge, ...], float]:
        """Edges on its pins since it was installed: two of them, or those of PATIENCE_MS; and the time in ms."""
        if before.edge_cursor is None:
            return (), 0.0
        found: list[Edge] = []
        cursor, slept_ms = before.edge_cursor, 0.0
        while True:
            page = await device.call(EdgesRead(cursor=cursor))
            cursor = page.cursor
            found += [edge for edge in edges_since(page, before) if edge.pin in version.pins]
            if len(found) >= _ENOUGH_EDGES or not version.pins or slept_ms >= PATIENCE_MS:
                return tuple(found), max(page.now_ms - before.now_ms, 0.0)
            await self._sleep(_POLL_MS / 1000)
            slept_ms += _POLL_MS


def _unknown(device: Device, name: str, names: Sequence[str], done: str) -> MicroclawError:
    """Of a program that this host has no image of."""
    if name not in names:
        return not_found(device, name, names)
    step = f"take it off: microclaw app uninstall {name} -d {device.name}"
    if device.supports(AppStop.method):
        step += f"; or microclaw exec {device.name} apps.stop {name}, until the board's next start"
    return DeployRejected(
        f"{name} on {device.name} was not installed from here: this host has no copy, so it cannot be {done}",
        next_step=step,
    )


async def _state(device: Device, name: str) -> AppState | None:
    if not device.supports(AppStates.method):
        return None
    return next((app for app in await device.call(AppStates()) if app.name == name), None)


async def _check_ended(device: Device, name: str, names: Sequence[str]) -> None:
    """Raise DeployRejected when the program runs, as far as the board tells."""
    if name not in names:
        return  # the board has lost it
    state = await _state(device, name)
    if state is None or state.state == "running":
        raise DeployRejected(
            f"{name} runs on {device.name} already"
            if state is not None
            else f"{device.name} lists {name}, and does not tell more",
            next_step=f"microclaw app restart {name} -d {device.name}",
        )


def _dead(state: AppState | None, version: AppVersion, stored: ImageRow) -> tuple[str, str] | None:
    """Why it does not run, with the next step; one that ends as it did in its trial is well."""
    if state is None or state.state in ("running", "returned") or (state.state == "waiting" and not state.has_failed):
        return None
    if state.state == "exited" and version.claims.ended:
        return None
    if state.has_failed:
        text = state.error or "no text"
        if version.kind == "py":
            text = in_source_lines(stored_program(stored.code, stored.source, stored.meta), text)
        error, step = trap_words(text)
        return f"on the board {error}", step
    why = f": {state.error}" if state.error else ""
    return f"the board reports it {state.state}{why}", "see why: microclaw logs, or deploy it again from its source"
