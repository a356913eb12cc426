"""Acts for devices that do not answer: checked and tried when they are ordered, done when the device is back.

The reconciler notices that. Deploying and switching are those of deploy.py and lifecycle.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.apps.changes import AppVersion, made_by, version_of
from microclaw.apps.deferred import DeferredAct, DeferredKind, DeferredLog, Order, act_text
from microclaw.apps.deploy import Deployer, DeployRequest
from microclaw.apps.expectation_text import parse_expectations
from microclaw.apps.installer import Installer
from microclaw.apps.late_proof import Place, Tell
from microclaw.apps.lifecycle import Lifecycle
from microclaw.apps.trial import Trial
from microclaw.apps.upgrade import stopped_error, upgrade_request
from microclaw.auth.gate import Gate, Permission
from microclaw.devices.calls import AppList
from microclaw.devices.device import Device
from microclaw.errors import (
    AppNotFound,
    DeployRejected,
    DeviceTimeout,
    DeviceUnreachable,
    InstallInterrupted,
    MicroclawError,
    OutcomeUnknown,
)
from microclaw.events import Report, Step

MAX_TRIES: Final = 3
"""Of an act that is cut short: the host died in it, or the device was gone."""
_UNWATCHED: Final = "the host or the device was gone in the middle of it; the device's list says that it is done"
_OFFER: Final = "have it done when it is back: the same with --when-back"
_log = logging.getLogger(__name__)

DeferredEnd: TypeAlias = Literal["done", "failed"]


@dataclass(frozen=True, slots=True)
class Deferral:
    """An act that was just deferred, and `why`; `trial` is that of an installation.

    `replaces`: another deferred act of the same program was dropped for it.
    """

    act: DeferredAct
    device_name: str
    why: str
    replaces: bool
    trial: Trial | None = None


async def away(device: Device) -> str | None:
    """Why the device cannot be asked now; None when it answers."""
    try:
        await device.call(AppList(), wait=False)
    except (DeviceUnreachable, DeviceTimeout) as exc:
        return exc.message
    return None


def offer_when_back(error: MicroclawError) -> None:
    """Name the way out in the error of a device that did not answer, if nothing was begun on it."""
    is_away = isinstance(error, DeviceUnreachable | DeviceTimeout)
    if is_away and not isinstance(error, InstallInterrupted | OutcomeUnknown):
        error.next_step = "; or ".join(filter(None, (error.next_step, _OFFER)))


class Deferrals:
    """`tell` gets every outcome, at least once. A person's act is done at most once: the change that does it is
    planned, and closed, in one write with it.
    """

    def __init__(
        self, installer: Installer, *, deployer: Deployer, lifecycle: Lifecycle, gate: Gate, tell: Tell
    ) -> None:
        self._devices, self._change_log = installer.devices, installer.change_log
        self._deployer = deployer
        self._lifecycle = lifecycle
        self._gate = gate
        self.log = DeferredLog(self._change_log)
        self._note = tell
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def install(
        self, request: DeployRequest, why: str, report: Report, *, act: DeferredKind = "install"
    ) -> Deferral:
        """Build, check, try and approve a program now, and keep it. Raises as Deployer.deploy."""
        device = self._devices.get(request.device)
        wanted = await self.log.expected(device.device_id)
        prepared = await self._deployer.prepare_later(request, wanted, report)
        expect = None if request.expectations is None else request.expectations.text
        order = Order(act, prepared.version, request.replace, request.force, expect)
        return await self._keep(device, request.name, order, request.place, why, report, prepared.trial)

    async def upgrade(self, request: DeployRequest, why: str, report: Report) -> Deferral:
        """As `install`, in place of a version of this host. Raises AppNotFound and DeployRejected, too."""
        device, name = self._devices.get(request.device), request.name
        former = version_of(name, await self._change_log.desired(device.device_id))
        if former is None:
            if version_of(name, await self._change_log.stopped(device.device_id)) is not None:
                raise stopped_error(device, name)
            raise await self._unknown(device, name)
        return await self.install(upgrade_request(request, device, former), why, report, act="upgrade")

    async def uninstall(self, device: str, name: str, place: Place | None, why: str, report: Report) -> Deferral:
        """Raises AppNotFound for a program that this host did not install."""
        target = self._devices.get(device)
        if await self._installed(target, name) is None:
            raise await self._unknown(target, name)
        return await self._keep(target, name, Order("uninstall"), place, why, report)

    async def stop(self, device: str, name: str, place: Place | None, why: str, report: Report) -> Deferral:
        """Raises AppNotFound, or DeployRejected for a program that is stopped already."""
        target = self._devices.get(device)
        version = version_of(name, await self._change_log.desired(target.device_id))
        if version is None:
            if version_of(name, await self._change_log.stopped(target.device_id)) is not None:
                raise DeployRejected(f"{name} is stopped on {target.name} already", next_step="microclaw app list")
            raise await self._unknown(target, name)
        return await self._keep(target, name, Order("stop", version), place, why, report)

    async def start(self, device: str, name: str, place: Place | None, why: str, report: Report) -> Deferral:
        """Raises AppNotFound, or DeployRejected for a program that is not stopped."""
        target = self._devices.get(device)
        version = version_of(name, await self._change_log.stopped(target.device_id))
        if version is None:
            if await self._installed(target, name) is None:
                raise await self._unknown(target, name)
            waits = any(act.name == name for act in await self.log.waiting(target.device_id))
            drop = f"drop what waits: microclaw app cancel {name} -d {target.name}"
            raise DeployRejected(
                f"{name} is not stopped on {target.name}: the host puts it back when the board returns",
                next_step=drop if waits else "microclaw app list",
            )
        return await self._keep(target, name, Order("start", version), place, why, report)

    async def cancel(self, device: str, name: str) -> DeferredAct:
        """Drop what waits. Raises AppNotFound when nothing does, DeployRejected when it is being done."""
        target = self._devices.get(device)
        act = next((one for one in await self.log.waiting(target.device_id) if one.name == name), None)
        if act is None:
            raise AppNotFound(f"nothing is deferred for {name} on {target.name}", next_step="microclaw app list")
        if not await self.log.cancel(act):
            raise DeployRejected(
                f"{act.text(target.name)}: it is being done, or its outcome is not known yet",
                next_step="see how it ends: microclaw app changes; then microclaw app undo",
            )
        return act

    async def do_waiting(self, device: Device) -> None:
        """Do what waits for a device that answers, oldest first, and tell. Ends early when it is gone again."""
        async with self._one_at_a_time[device.device_id]:
            for act in await self.log.ended(device.device_id):
                if not act.told:
                    await self._tell(act, device, act.outcome, is_well=act.state == "done")
            for act in await self.log.waiting(device.device_id):
                if act.state == "started" and not await self._is_open(act, device):
                    continue
                if not await self._do(act, device):
                    return

    async def _is_open(self, act: DeferredAct, device: Device) -> bool:
        """Whether one that was cut short may be done again. The reconciler has closed its change before."""
        assert act.change_id is not None
        change = await self._change_log.change(act.change_id)
        if change.state != "failed":
            return False  # not known yet
        if act.tries < MAX_TRIES:
            return await self.log.again(act)
        await self._finish(act, device, "failed", f"it was cut short {act.tries} times", is_well=False)
        return False

    async def _do(self, act: DeferredAct, device: Device) -> bool:
        """False when the device is gone again."""
        try:
            text = act.text(device.name)
            self._gate.check(act.person_id, Permission.ACT, text)
            with made_by(act.turn, act.person_id, act.conversation, deferred=act.deferred_id):
                is_well, told = await self._act(act, device)
        except MicroclawError as exc:
            return await self._failed(act, device, exc)
        await self._finish(act, device, "done", told, is_well=is_well)
        return True

    async def _act(self, act: DeferredAct, device: Device) -> tuple[bool, str]:
        """Do it; whether the device shows it, and the evidence."""
        order, where, name = act.order, device.device_id, act.name
        match order.act:
            case "uninstall":
                return True, (await self._deployer.remove(where, name, _logged)).evidence.text
            case "stop":
                return True, (await self._lifecycle.stop(where, name, _logged)).evidence.text
            case "start":
                started = await self._lifecycle.start(where, name, _logged)
                return started.verified, started.evidence.text
        assert order.version is not None
        request = DeployRequest(
            where,
            name,
            replace=order.replace,
            force=order.force,
            only_verified=order.act == "upgrade",
            expectations=None if order.expect is None else parse_expectations(order.expect),
            place=act.place,
        )
        made = await self._deployer.put_version(where, name, order.version, _logged, like=request)
        return made.verified, made.evidence.text if made.verified else f"it is not verified: {made.evidence.text}"

    async def _failed(self, act: DeferredAct, device: Device, error: MicroclawError) -> bool:
        """It raised. What was planned of it says whether it may be done later, was done, or is over."""
        now = await self.log.get(act.deferred_id)
        text = f"{error.message}; {error.next_step}" if error.next_step else error.message
        if now.state == "waiting":
            if isinstance(error, DeviceUnreachable | DeviceTimeout):
                return False
            await self._finish(act, device, "failed", text, is_well=False)
        elif now.state == "started" and now.change_id is not None:
            change = await self._change_log.change(now.change_id)
            if change.state in ("planned", "unknown"):
                return False  # the next check asks the device
            await self._finish(act, device, "failed", text, is_well=False)
        elif now.state == "done":
            await self._finish(act, device, "done", text, is_well=False)
        return True

    async def _finish(
        self, act: DeferredAct, device: Device, state: DeferredEnd, outcome: str, *, is_well: bool
    ) -> None:
        await self._tell(await self.log.end(act.deferred_id, state, outcome), device, outcome, is_well=is_well)

    async def _tell(self, act: DeferredAct, device: Device, outcome: str | None, *, is_well: bool) -> None:
        if outcome is None:  # its change was closed by what the device lists
            act, outcome = await self.log.end(act.deferred_id, act.state, _UNWATCHED), _UNWATCHED
        how = "done" if act.state == "done" else "failed"
        try:
            note = f"deferred: {act.text(device.name)}: {how}. {outcome}"
            await self._note(act.place, device.name, note, None if is_well else "deferred_failed")
        except MicroclawError as exc:  # it is told at the next check
            _log.warning("%s could not be told: %s", act.text(device.name), exc.message)
            return
        await self.log.told(act.deferred_id)

    async def _keep(
        self,
        device: Device,
        name: str,
        order: Order,
        place: Place | None,
        why: str,
        report: Report,
        trial: Trial | None = None,
    ) -> Deferral:
        act, replaces = await self.log.keep(device.device_id, name, order, place)
        report(Step("deploy", f"deferred: {act_text(order.act, name, device.name)}, when it is back", detail=(why,)))
        return Deferral(act, device.name, why, replaces, trial)

    async def _installed(self, device: Device, name: str) -> AppVersion | None:
        apps = (*await self._change_log.desired(device.device_id), *await self._change_log.stopped(device.device_id))
        return version_of(name, apps)

    async def _unknown(self, device: Device, name: str) -> AppNotFound:
        waits = any(act.name == name for act in await self.log.waiting(device.device_id))
        if waits:
            return AppNotFound(
                f"{name} is not on {device.name} yet: its installation is deferred",
                next_step=f"drop it: microclaw app cancel {name} -d {device.name}",
            )
        return AppNotFound(
            f"this host has no program {name} on {device.name}, which does not answer to say what it has",
            next_step="microclaw app list; try again when it answers",
        )


def _logged(step: Step) -> None:
    _log.info("deferred: %s: %s", step.stage, step.text)
