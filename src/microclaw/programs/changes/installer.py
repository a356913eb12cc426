"""Installs one image on one device or takes it off: lock, device's list, change log, install, restore on failure.

It compiles and tries nothing, and does not watch what the program does afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppInstall, AppList, AppState, AppUninstall, GpioGet
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import AppNotFound, DeployRejected, MicroclawError, PinClaimed, TooManyApps
from microclaw.events import Report, Step
from microclaw.programs.board_list import find_by_name
from microclaw.programs.building import read_image
from microclaw.programs.changes.change_log import (
    AppVersion,
    Change,
    ChangeKind,
    ChangeLog,
    DesiredApp,
    DeviceAction,
    PutApp,
    RemoveApp,
    SetLevel,
    SetPwm,
    StartApp,
    StopApp,
    change_origin,
    current_origin,
    no_answer_tells,
)
from microclaw.programs.changes.claims import check_free, pin_roles, shared_ports, unknown_pins_text
from microclaw.programs.changes.deployment import ChangeRequest
from microclaw.programs.changes.program_state import ENDED, Act, ProgramState, app_command, name_taken, not_found
from microclaw.programs.proof.verify import Baseline, take_baseline
from microclaw.programs.run_times import RunTimes
from microclaw.text import count_text

_BEGUN: Final[Mapping[Act, ChangeKind]] = {"start": "app.start", "restart": "app.restart"}


async def recover_changes(device: Device, change_log: ChangeLog) -> tuple[str, ...]:
    """Close every open change of a device, oldest first; one sentence each. Call it `holding` the device.

    Raises DeviceError. After an interrupted upgrade the device's list cannot tell the old image from the new one, so
    it is taken off: the reconciler puts the old one back, which is still the wanted one.
    """
    lines: list[str] = []
    for change in await change_log.unfinished(device.device_id):
        happened, text = await _outcome(device, change)
        await change_log.end(change.change_id, "done" if happened else "failed")
        lines.append(f"change {change.change_id} ({change.summary}) was cut short: {text}")
    return tuple(lines)


async def _outcome(device: Device, change: Change) -> tuple[bool, str]:
    """Find out if the change happened, and how that is known."""
    forward = change.forward
    match forward:
        case SetPwm(pin=pin):
            return False, f"whether PWM on pin {pin} was set is unknown"
        case SetLevel(pin=pin) if device.pin_program(GpioGet.method) is not None:
            # To read it could change it.
            return False, f"whether pin {pin} was set is unknown"
        case SetLevel(pin=pin, level=level):
            if device.supports(GpioGet.method) and (await device.call(GpioGet(pin), wait=False)).level == level:
                return True, f"pin {pin} is at {level}"
            return False, f"pin {pin} is not at {level}"
    name = forward.name
    listed = await device.call(AppList(), wait=False)
    is_listed = find_by_name(listed, name) is not None
    if is_listed and isinstance(forward, PutApp) and isinstance(change.inverse, PutApp):
        await device.call(AppUninstall(name))
        return False, "which of the two was there is not known, so it was taken off; deploy the new one once more"
    puts = isinstance(forward, PutApp | StartApp)
    if is_listed:
        return puts, f"{device.name} lists it"
    return not puts, f"{device.name} does not list it"


class Installation(Struct, frozen=True):
    """An image that the device accepted. Its change is still open: the caller completes or withdraws it.

    `before` is the version of this host that it replaced; None when there was none.
    """

    change_id: int
    replaced: bool
    before: AppVersion | None
    baseline: Baseline
    took_ms: float


class Installer:
    """One per host: it has the lock of each device, so that a device has one change at a time."""

    def __init__(self, devices: Registry, change_log: ChangeLog) -> None:
        self.devices = devices
        self.change_log = change_log
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def holding(self, device: Device) -> asyncio.Lock:
        """`async with installer.holding(device)`: inside, nobody else changes the apps of the device."""
        return self._locks[device.device_id]

    async def put(
        self, there: ProgramState, request: ChangeRequest, code: bytes, version: AppVersion, report: Report
    ) -> Installation:
        """Install it on the board that `there` is a look at.

        Call it `holding` the device, with a look from inside and the image stored in the change log. An app of this
        host with the same name is upgraded: uninstalled, then installed; the old image is installed again when the new
        one is refused. Raises AppExists for an app that this host did not install, TooManyApps before anything is sent,
        DeployRejected, DeviceError.
        """
        device = there.device
        name = there.name
        there = await self._make_room(there, version, report)
        check_place(there, take_over=request.replace)
        before = there.running
        warning = unknown_pins_text(device, there.foreign)
        if warning:
            report(Step("deploy", f"warning: {warning}"))
        change_id = await self._plan_put(there, request, version)
        is_removed = False
        try:
            if there.is_listed:
                await device.call(AppUninstall(name))
                is_removed = True
            baseline = await take_baseline(device)
            started_s = time.perf_counter()
            await device.call(_install_call(name, code, version))
        except MicroclawError as exc:
            is_unknown = no_answer_tells(exc)
            await self.change_log.end(change_id, "unknown" if is_unknown else "failed")
            if before is not None and is_removed and not is_unknown:
                await self._restore(device, name, before, report)
            raise
        took_ms = (time.perf_counter() - started_s) * 1000
        return Installation(change_id, there.is_listed, before, baseline, took_ms)

    async def _plan_put(self, there: ProgramState, request: ChangeRequest, version: AppVersion) -> int:
        """Write the change, with what brings back the program that is there. Return its number."""
        name = there.name
        act = request.act
        device = there.device
        kind: ChangeKind = "app.upgrade"
        if there.running is None:
            kind = "app.deploy"
        kind = _BEGUN.get(act, kind)
        forward: DeviceAction = PutApp(name, version)
        if act == "start":
            forward = StartApp(name, version)
        inverse: DeviceAction | None = None
        if act != "restart":
            inverse = _as_it_stands(there)
        summary = f"{kind.removeprefix('app.')} {name} on {device.name}"
        return await self.change_log.plan(device.device_id, kind, summary, forward, inverse, undoes=request.undoes)

    async def _make_room(self, there: ProgramState, version: AppVersion, report: Report) -> ProgramState:
        """Take off programs that have ended if this one needs their place, pins or ports. Return the rest."""
        device = there.device
        removal = _ended_in_the_way(there, version)
        while removal is not None:
            # One undo reverts both, and starts the other program no second time.
            with change_origin(replace(current_origin(), deferred=None)):
                await self.take_off(there.about(removal.name), removal)
            report(Step("deploy", f"{removal.name} had ended: taken off {device.name} to make room"))
            there = there.without(removal.name)
            removal = _ended_in_the_way(there, version)
        return there

    async def take_off(self, there: ProgramState, request: ChangeRequest) -> tuple[int, AppVersion | None, bool]:
        """Uninstall it and stop wanting it. A stop keeps the version that runs, or that of the request, for a start.

        Returns the change's number, the version that is kept, and whether undo can bring the app back. Call it
        `holding` the device, with a look from inside. Raises AppNotFound when neither the device nor this host knows
        the name, DeployRejected for a stop of a program without a version here.
        """
        name = there.name
        device = there.device
        kept: AppVersion | None = None
        if request.act == "stop":
            kept = request.version or there.running
            if kept is None:
                raise there.refused("stop")
        is_known = kept is not None or there.running is not None or there.stopped is not None
        if not there.is_listed and not is_known:
            raise not_found(device, name, there.names)
        inverse = _undo_of_removal(there, kept)
        if kept is None:
            kind: ChangeKind = "app.remove"
            summary = f"remove {name} from {device.name}"
            forward: DeviceAction = RemoveApp(name)
        else:
            kind = "app.stop"
            summary = f"stop {name} on {device.name}"
            forward = StopApp(name, kept)
        change_id = await self.change_log.plan(device.device_id, kind, summary, forward, inverse, undoes=request.undoes)
        async with self.change_log.closing(change_id):
            if there.is_listed:
                # If it went after the device listed it, the order is carried out.
                with suppress(AppNotFound):
                    await device.call(AppUninstall(name))
        return change_id, kept, inverse is not None

    async def put_back(self, device: Device, app: DesiredApp) -> None:
        """Install a wanted app that the device lost. Undo leaves this change alone. Call it `holding` the device."""
        text = f"put {app.name} back on {device.name}"
        forward = PutApp(app.name, app.version)
        change_id = await self.change_log.plan(device.device_id, "app.restore", text, forward, None)
        async with self.change_log.closing(change_id):
            await self._install_kept(device, app.name, app.version)

    async def withdraw(self, device: Device, name: str, installation: Installation, report: Report) -> bool:
        """Take off an app that was just installed; restore what it replaced. Whether the former one is back."""
        await device.call(AppUninstall(name))
        await self.change_log.end(installation.change_id, "failed")
        return installation.before is not None and await self._restore(device, name, installation.before, report)

    async def _restore(self, device: Device, name: str, version: AppVersion, report: Report) -> bool:
        """Install the former version again. An error is only reported: the reconciler tries it again later."""
        if version.claims.forced:
            text = f"the former {name} is not redeployed on {device.name}: its trial had failed, it was forced"
            report(Step("deploy", text, "failed", next_step="force it again, if it is still wanted"))
            return False
        try:
            await self._install_kept(device, name, version)
        except MicroclawError as exc:
            text = f"the former {name} could not be redeployed on {device.name}: {exc.message}"
            report(Step("deploy", text, "failed", next_step="the host tries again every few seconds"))
            return False
        report(Step("deploy", f"the former {name} is back on {device.name}"))
        return True

    async def _install_kept(self, device: Device, name: str, version: AppVersion) -> None:
        """Install a kept image. Raises BuildError when the firmware, as described now, lacks something."""
        code = (await self.change_log.image(version.sha256)).code
        if version.kind == "wasm" and device.board.firmware.described:
            await asyncio.to_thread(read_image, code, device.board, name, None)
        await device.call(_install_call(name, code, version))


def _as_it_stands(there: ProgramState) -> DeviceAction:
    """Return the action that brings back what this host has there now."""
    if there.running is not None:
        return PutApp(there.name, there.running)
    if there.stopped is None:
        return RemoveApp(there.name)
    return StopApp(there.name, there.stopped)


def _undo_of_removal(there: ProgramState, kept: AppVersion | None) -> DeviceAction | None:
    """Return the action that brings a program back after its removal, or after a stop that keeps a version of it.

    None if this host has no copy of it.
    """
    # An undo does not start a program a second time that has ended.
    if there.desired is not None and there.has_ended(there.desired):
        return StopApp(there.name, there.desired.version)
    if kept is not None and there.running is not None:
        return StartApp(there.name, there.running)
    has_copy = kept is not None or there.running is not None
    if has_copy or (there.stopped is not None and not there.is_listed):
        return _as_it_stands(there)
    return None


def check_place(there: ProgramState, *, take_over: bool) -> None:
    """Raise what `put` would: AppExists, TooManyApps, unless room can be made."""
    if not there.is_listed:
        if _ended_in_the_way(there) is None:
            check_room(there.device, there.name, there.names, there.wanted, is_away=there.is_away)
    elif there.running is None and not take_over:
        raise name_taken(there.device, there.name)


def check_install(there: ProgramState, version: AppVersion, *, take_over: bool) -> None:
    """Raise what keeps this version from being installed, as `check_place` and `check_free` do.

    The error of a full board has only programs of which each makes room for this version. If it conflicts with two of
    them, none does, and the conflict is raised.
    """
    try:
        check_place(there, take_over=take_over)
    except TooManyApps as exc:
        names = [name for name in exc.replaceable if _is_free_without(there, name, version)]
        if not names:
            check_free(there, version)
        step = exc.next_step
        if len(names) < len(exc.replaceable):
            step = f"stop {names[0]} first: {app_command('stop', names[0], there.device, is_away=there.is_away)}"
        raise _full_board(exc.message, step, names) from exc
    check_claims(there, version)


def check_claims(there: ProgramState, version: AppVersion) -> None:
    """Raise what `check_free` does; PinClaimed names the programs of which each alone is in the way."""
    try:
        check_free(there, version)
    except PinClaimed as exc:
        wanted = [app.name for app in there.wanted if not app.waits]
        exc.replaceable = tuple(name for name in wanted if _is_free_without(there, name, version))
        raise


def _is_free_without(there: ProgramState, name: str, version: AppVersion) -> bool:
    """Return True if the version conflicts with no program but the one of this name."""
    try:
        check_free(there.without(name), version)
    except (DeployRejected, PinClaimed):
        return False
    return True


def _ended_in_the_way(there: ProgramState, version: AppVersion | None = None) -> ChangeRequest | None:
    """Return how to take off a program of this host that has ended; None if it is in nobody's way.

    It is in the way if the board is full, or if `version` needs one of its pins or ports: it may begin again at the
    board's next start, in whatever way it ended, and two would drive a pin. One that is done is removed; one that
    crashed or was stopped is kept here, stopped.
    """
    device = there.device
    names = there.names
    is_full = not there.is_listed and len(set(names)) >= device.board.firmware.max_apps
    if not is_full and version is None:
        return None
    for app in there.wanted:
        state = find_by_name(there.states or (), app.name)
        if state is None or state.state not in ENDED:
            continue
        if app.name not in names or app.name == there.name:
            continue
        is_done = _is_done(app, state)
        if _is_needed(app.version, version) or (is_full and is_done):
            act: Act = "uninstall" if is_done else "stop"
            return ChangeRequest(device.device_id, app.name, act)
    return None


def _is_done(app: DesiredApp, state: AppState) -> bool:
    """Return True if an ended program has done what it is for, also if its board restarted and does not begin it."""
    if state.state == "stopped":
        return not app.claims.autostart
    return state.state in ("returned", "exited") and app.version.times is None


def _is_needed(ended: AppVersion, version: AppVersion | None) -> bool:
    """Return True if the version uses a pin or port of a program that has ended."""
    if version is None:
        return False
    return bool(pin_roles(ended).keys() & pin_roles(version).keys() or shared_ports(ended, version))


def _install_call(name: str, code: bytes, version: AppVersion) -> AppInstall:
    times = version.times or RunTimes()
    return AppInstall(
        name=name,
        code=code,
        heap_bytes=version.heap_bytes,
        timers=version.timers,
        watchdog_ms=version.watchdog_ms,
        kind=version.kind,
        every_ms=times.every_ms,
        stop_after_ms=times.stop_after_ms,
        network=version.claims.network,
        autostart=version.claims.autostart,
    )


def check_room(
    device: Device,
    name: str,
    listed: Iterable[str],
    wanted: Sequence[DesiredApp],
    *,
    need: str = "",
    is_away: bool = False,
) -> None:
    """Raise TooManyApps when the board, with what the host wants there, has no place for `name`; `need` says why."""
    limit = device.board.firmware.max_apps
    # A wanted app that the board has just lost needs its place too: the reconciler will put it back.
    names = {*listed, *(app.name for app in wanted)}
    if len(names - {name}) < limit:
        return
    deferred = sorted(app.name for app in wanted if app.waits)
    oldest_first = sorted(wanted, key=lambda app: app.since_ms)
    replaceable = [app.name for app in oldest_first if not app.waits]
    texts = [f"{other} (deferred)" if other in deferred else other for other in sorted(names)]
    step = f"remove one first: {app_command('uninstall', min(names), device, is_away=is_away)}"
    if deferred:
        step = f"drop one that waits: microclaw app cancel {deferred[0]} -d {device.name}"
    text = f"{device.name} has room for {count_text(limit, 'app')} and has {', '.join(texts)}{need}"
    raise _full_board(text, step, replaceable)


def _full_board(text: str, next_step: str | None, replaceable: Sequence[str]) -> TooManyApps:
    error = TooManyApps(text, next_step=next_step)
    error.replaceable = tuple(replaceable)
    return error
