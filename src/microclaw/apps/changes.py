"""Puts a program onto a device and takes it off: every act is a request, and each that is done a change in the log.

To install is to build, check, try, approve, deploy and verify: deploy.py's stages. A stop takes a program off, so that
not even the board's own reset starts it; its image is kept, and a start or a restart installs that, without a build and
a trial. An upgrade is an installation on the terms of the version there. One change a device at a time (installer.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from msgspec import UNSET, UnsetType, structs

from microclaw.apps.act_results import Deployed, Former
from microclaw.apps.building import check_kind, in_source_lines, stored_program
from microclaw.apps.change_log import AppVersion, DesiredApp, PutApp, StartApp, StopApp
from microclaw.apps.claims import check_free, claiming
from microclaw.apps.deploy import Deployer
from microclaw.apps.deployment import ChangeRequest, Deployment, Made, with_terms
from microclaw.apps.installer import Installer, check_room, stored_call
from microclaw.apps.listing import names_after_change, removal_text
from microclaw.apps.results import Times
from microclaw.apps.run_times import RunTimes, first_only_text, run_times, times_differ_text
from microclaw.apps.stage_text import fail
from microclaw.apps.standing import Standing, standing
from microclaw.apps.traps import trap_words
from microclaw.apps.verify import NO_READ_BACK, PATIENCE_MS, Baseline, edges_since, state_of, take_baseline
from microclaw.devices.calls import AppState, AppUninstall, EdgesRead
from microclaw.devices.device import Device
from microclaw.errors import AppNotFound, DeployRejected, DeviceError, MicroclawError
from microclaw.events import Edge, Evidence, Report, Stage, Step
from microclaw.operations.operation import Approve
from microclaw.store.apps import ImageRow
from microclaw.text import format_duration

_POLL_MS: Final = 50.0
_ENOUGH_EDGES: Final = 2
_STILL_LISTED: Final = "restart the board, then microclaw app list; the host does not put it back"


def upgrade_request(request: ChangeRequest, former: AppVersion) -> ChangeRequest:
    """The request on the terms of the version that is there, and only for good if it is verified."""
    return with_terms(structs.replace(request, only_verified=True), former)


class ProgramChanges:
    """Does what a request asks for."""

    def __init__(
        self, installer: Installer, deployer: Deployer, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._installer, self._devices, self._change_log = installer, installer.devices, installer.change_log
        self.deployer = deployer
        self._sleep = sleep

    async def apply(
        self,
        request: ChangeRequest,
        report: Report,
        *,
        undoes: int | None = None,
        begin: Callable[[], None] = lambda: None,
    ) -> Made:
        """Do what is asked for. `begin` is called before anything on the device changes.

        Raises as Deployer.deploy; AppNotFound for a program that is not there, DeployRejected for one that is in
        another state or not of this host. Before it raises, it reports the failed stage.
        """
        device = self._devices.get(request.device)
        match request.act:
            case "install":
                return await self.deployer.deploy(request, report, undoes=undoes, begin=begin)
            case "upgrade":
                return await self._upgrade(device, request, report, begin)
            case "uninstall" | "stop":
                return await self._take_off(device, request, report, undoes, begin)
            case "start" | "restart":
                return await self._begin(device, request, report, undoes, begin)

    async def set_times(
        self,
        device: str,
        name: str,
        report: Report,
        *,
        every_ms: int | UnsetType | None = UNSET,
        stop_after_ms: int | UnsetType | None = UNSET,
        approve: Approve | None = None,
    ) -> Deployment | Deployed:
        """Other times for a program: its image is tried with them, installed again, and begins again. None drops one.

        One that has these times already stays as it is: then the answer is made here.

        Raises as `apply` of an upgrade; ConfigError for times that cannot be.
        """
        target = self._devices.get(device)
        before = (await self._running(target, name)).version
        known = before.times or RunTimes()
        times = run_times(
            known.every_ms if every_ms is UNSET else every_ms,
            known.stop_after_ms if stop_after_ms is UNSET else stop_after_ms,
        )
        if times == before.times:
            runs = times.text() if times else "none, it runs on"
            text = f"{name} on {target.name} has these times already ({runs}): nothing to do"
            kept = Times.of(times)
            return Deployed(device=target.name, name=name, unchanged=True, times=kept, text=text)
        report(Step("check", f"{name} on {target.name}: {times_differ_text(before.times, times)}"))
        version = structs.replace(before, times=times)
        request = ChangeRequest(target.device_id, name, version=version, only_verified=True, approve=approve)
        return await self.deployer.deploy(request, report)

    async def _running(self, device: Device, name: str) -> DesiredApp:
        """The program as it is wanted there. Raises what keeps it from being changed."""
        there = await standing(self._change_log, device, name, asks=False)
        if there.desired is None:
            there = there if there.stopped else await standing(self._change_log, device, name)
            raise there.refused("upgrade")
        return there.desired

    async def _upgrade(
        self, device: Device, request: ChangeRequest, report: Report, begin: Callable[[], None]
    ) -> Deployment:
        """A new version that the board does not show as its trial did is taken off, and the former one redeployed."""
        former = await self._running(device, request.name)
        stored = await self._change_log.image(former.sha256)
        made = await self.deployer.deploy(upgrade_request(request, former.version), report, begin=begin)
        before = Former(sha256=former.sha256, size_bytes=len(stored.code), since_ms=former.since_ms)
        return structs.replace(made, former=before)

    async def _take_off(
        self, device: Device, request: ChangeRequest, report: Report, undoes: int | None, begin: Callable[[], None]
    ) -> Made:
        """Off the device, as its own list confirms. A stop keeps the version that runs, or that an undo gives."""
        name, stops = request.name, request.act == "stop"
        stage: Stage = "deploy"
        try:
            async with self._installer.holding(device):
                begin()
                change_id, kept, undoable = await self._installer.take_off(
                    device, name, stops=stops, keep=request.version, undoes=undoes
                )
                stage = "verify"
                text = await removal_text(device, name, self._sleep, next_step=_STILL_LISTED)
        except MicroclawError as exc:
            fail(report, stage, exc)
        how = f"stopped on {device.name}; its image is kept" if stops else f"removed from {device.name}"
        hint = None if undoable else "this host did not install it and has no copy: undo cannot bring it back"
        if name in device.pin_programs and not stops:
            hint = "it was microclaw's own: the next exec that sets a pin puts it there again"
        report(Step("deploy", f"{name} {how}"))
        report(Step("verify", text, next_step=hint))
        sha256, evidence = None if kept is None else kept.sha256, Evidence("reported", text)
        return Made(device.device_id, device.name, name, evidence, change_id, sha256=sha256, undoable=undoable)

    async def _begin(
        self, device: Device, request: ChangeRequest, report: Report, undoes: int | None, begin: Callable[[], None]
    ) -> Made:
        """Install a kept image: of a stopped program, or again of one that shall begin again.

        The second is no change that undo reverts. An undo gives the version.
        """
        try:
            async with self._installer.holding(device):
                begin()
                there = await standing(self._change_log, device, request.name)
                version = request.version or there.stopped
                if there.running is not None and request.version is None:
                    if request.act == "start":
                        await _check_ended(there)
                    return await self._put(there, there.running, report)
                if version is None or request.act == "restart":
                    raise there.refused(request.act)
                return await self._put(there, version, report, is_start=True, undoes=undoes)
        except MicroclawError as exc:
            fail(report, "deploy", exc)

    async def _put(
        self, there: Standing, version: AppVersion, report: Report, *, is_start: bool = False, undoes: int | None = None
    ) -> Made:
        """Install the stored image of this version and look at what the board shows of it. Call it `holding`."""
        device, name = there.device, there.name
        stored = await self._check(there, version, is_start=is_start)
        call = stored_call(device, name, stored.code, version)
        change_id = await self._change_log.plan(
            device.device_id,
            "app.start" if is_start else "app.restart",
            f"{'start' if is_start else 'restart'} {name} on {device.name}",
            StartApp(name, version) if is_start else PutApp(name, version),
            StopApp(name, version) if is_start else None,
            undoes=undoes,
        )
        async with self._change_log.closing(change_id):
            if there.is_listed:
                with suppress(AppNotFound):
                    await device.call(AppUninstall(name))
            baseline = await take_baseline(device)
            await device.call(call)
            report(Step("deploy", f"{name} -> {device.name}, from the kept image"))
            evidence, dead = await self._look(device, name, version, stored, baseline)
            if dead is not None and is_start:
                await device.call(AppUninstall(name))
                raise DeployRejected(f"{name} stays stopped on {device.name}: {dead[0]}", next_step=dead[1])
        report(Step("verify", evidence.text, "failed" if dead else "done", next_step=dead[1] if dead else None))
        if version.times is not None:
            report(Step("verify", first_only_text(version.times)))
        return Made(device.device_id, device.name, name, evidence, change_id, dead is None, version.sha256)

    async def _check(self, there: Standing, version: AppVersion, *, is_start: bool) -> ImageRow:
        """The stored image; raises what keeps it from being installed."""
        device, name = there.device, there.name
        if version.claims.forced:
            raise DeployRejected(
                f"the trial of {name} had failed and it was forced: it is not installed again without a person's force",
                next_step="install it from its source with --force",
            )
        check_kind(version.kind, device.kinds)
        await check_free(device, name, version.pins, version.claims, await claiming(device, there.wanted))
        if is_start:
            check_room(device, name, there.names, there.wanted)
        return await self._change_log.image(version.sha256)

    async def _look(
        self, device: Device, name: str, version: AppVersion, stored: ImageRow, before: Baseline
    ) -> tuple[Evidence, tuple[str, str] | None]:
        """Read what the board shows of it, and why it does not run, if so. A board's error is told, not raised."""
        try:
            edges, waited_ms = await self._edges(device, version, before)
            state = await state_of(device, name)
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


async def _check_ended(there: Standing) -> None:
    """Raise DeployRejected when the program runs, as far as the board tells."""
    if not there.is_listed:
        return  # the board has lost it
    name, device = there.name, there.device
    state = await state_of(device, name)
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
