"""Acts for devices that do not answer: checked and tried when they are ordered, done when the device is back.

The reconciler notices that. The acts are those of changes.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from msgspec import Struct, field, structs

from microclaw.devices.registry.device import Device
from microclaw.errors import (
    AppNotFound,
    DeployRejected,
    DeviceTimeout,
    DeviceUnreachable,
    MicroclawError,
)
from microclaw.events import Report, Step
from microclaw.host.auth.gate import Gate
from microclaw.host.auth.people import OWNER
from microclaw.host.operations.operation import Permission
from microclaw.host.store.apps import DeferredRow, DeferredState, DeferredTable
from microclaw.programs.board_list import find_by_name
from microclaw.programs.changes.change_log import AppVersion, ChangeOrigin, DesiredApp, change_origin, current_origin
from microclaw.programs.changes.changes import ProgramChanges
from microclaw.programs.changes.deployment import ChangeRequest, Place, with_terms
from microclaw.programs.changes.installer import Installer
from microclaw.programs.changes.program_state import DeferredKind, recall_program
from microclaw.programs.proof.expectation_text import parse_expectations
from microclaw.programs.proof.trial import Trial

MAX_TRIES: Final = 3
"""Of an act that is cut short: the host died in it, or the device was gone."""
_UNWATCHED: Final = "the host or the device was gone in the middle of it; the device's list says that it is done"
_NOT_VERIFIED: Final = "it is not verified: "
_FAILED_AFTER: Final = "then an error: "
PUTS: Final = frozenset({"install", "upgrade", "start"})
"""The acts after which a program is on the device."""
Tell: TypeAlias = Callable[[Place | None, str, str, str | None], Awaitable[None]]
"""Give the place a note about a device, by its name; the code of the alarm that it is, None where all is as ordered."""
_log = logging.getLogger(__name__)


class Order(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The act to do; its fields are its JSON in the store.

    `version` is what an installation puts there, or what a start and a stop are about. `replace`, `force` and the text
    of the expectations are those of the installation.
    """

    act: DeferredKind
    version: AppVersion | None = None
    replace: bool = False
    force: bool = False
    expect: str | None = None


class DeferredAct(DeferredRow, frozen=True):
    """An act that was ordered at `at_ms` (Unix time) and waits for its device, or how it came out.

    `change_id` is the change that does it, from its plan on.
    """

    at_ms: int
    order: Order = field(name="act")
    person_id: str = field(name="person")
    turn: str | None
    place: Place | None
    state: DeferredState = "waiting"
    tries: int = 0
    change_id: int | None = None
    outcome: str | None = None
    ended_ms: int | None = None
    told: bool = False

    @property
    def conversation(self) -> str | None:
        return None if self.place is None else self.place.conversation

    def text(self, device_name: str) -> str:
        """ "install blink on desk"."""
        act = self.order.act
        where = "from" if act == "uninstall" else "on"
        return f"{act} {self.name} {where} {device_name}"


class DeferredChange(Struct, frozen=True):
    """An act that waits until its device is back, and why. `trial` is that of a program that it puts there."""

    device_name: str
    act: DeferredAct
    why: str
    trial: Trial | None


class DeferredLog(DeferredTable[DeferredAct]):
    """The deferred acts of the change log's store."""

    _act = DeferredAct


class Deferrals:
    """The deferred acts of devices that are away. `tell` gets every outcome, at least once.

    A person's act is done at most once: the change that does it is planned, and closed, in one write with it.
    """

    def __init__(self, installer: Installer, *, changes: ProgramChanges, gate: Gate, tell: Tell) -> None:
        self._devices = installer.devices
        self._change_log = installer.change_log
        self._changes = changes
        self._gate = gate
        self.log = DeferredLog(self._change_log.database, self._change_log.now_ms)
        self._note = tell
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keep(self, request: ChangeRequest, place: Place | None, why: str, report: Report) -> DeferredChange:
        """Keep an act for later; the outcome is told in the place. A program is built, checked, tried and approved now.

        Raises as ProgramChanges.deploy; AppNotFound for a program that this host does not have there, DeployRejected
        for one in another state.
        """
        device = self._devices.get(request.device)
        name = request.name
        act = request.act
        trial = None
        assert act != "restart"
        there = await recall_program(self._change_log, device, name)
        version = {"uninstall": there.running or there.stopped, "start": there.stopped}.get(act, there.running)
        if version is None and act != "install":
            await self._refuse_waiting(device, name)
            raise there.refused(act)
        order = Order(act)
        if act != "uninstall":
            order = Order(act, version)
        if act in ("install", "upgrade"):
            if version is not None and act == "upgrade":
                request = structs.replace(with_terms(request, version), only_verified=True)
            there = structs.replace(there, wanted=await self._expected(device.device_id), is_away=True)
            prepared = await self._changes.prepare(request, report, there)
            await self._change_log.keep_image(prepared.image)
            trial = prepared.trial
            order = Order(act, prepared.version, request.replace, request.force)
            if request.expectations is not None:
                order = structs.replace(order, expect=request.expectations.text)
        origin = current_origin()
        at_ms = self._change_log.now_ms()
        person_id = origin.person_id or OWNER.person_id
        if place is not None:
            place = structs.replace(place, conversation=origin.conversation)
        row = DeferredAct(0, device.device_id, name, at_ms, order, person_id, origin.turn, place)
        kept = await self.log.add(row)
        report(Step("deploy", f"deferred: {kept.text(device.name)}, when it is back", detail=(why,)))
        return DeferredChange(device.name, kept, why, trial)

    async def _refuse_waiting(self, device: Device, name: str) -> None:
        """Raise DeployRejected if an act on this program waits: what another act needs comes with it, or goes."""
        act = find_by_name(await self.log.waiting(device.device_id), name)
        if act is not None:
            text = f"{act.text(device.name)} is deferred, and has changed nothing yet"
            raise DeployRejected(text, next_step=f"drop it: microclaw app cancel {name} -d {device.name}")

    async def _expected(self, device_id: str) -> Sequence[DesiredApp]:
        """Return the desired state of the device once all that waits is done."""
        wanted = {app.name: app for app in await self._change_log.desired(device_id)}
        for act in await self.log.waiting(device_id):
            wanted.pop(act.name, None)
            if act.order.act in PUTS and act.order.version is not None:
                version = structs.asdict(act.order.version)
                wanted[act.name] = DesiredApp(
                    device_id=device_id, name=act.name, since_ms=act.at_ms, waits=True, **version
                )
        return [wanted[name] for name in sorted(wanted)]

    async def cancel(self, device: str, name: str) -> DeferredAct:
        """Drop what waits. Raises AppNotFound when nothing does, DeployRejected when it is being done."""
        target = self._devices.get(device)
        act = find_by_name(await self.log.waiting(target.device_id), name)
        if act is None:
            raise AppNotFound(f"nothing is deferred for {name} on {target.name}", next_step="microclaw app list")
        if not await self.log.move(act.deferred_id, "waiting", "cancelled"):
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
                    # Without an outcome its change was closed by what the device lists.
                    await self._end(act, device, act.state, act.outcome or _UNWATCHED)
            for act in await self.log.waiting(device.device_id):
                if act.state == "started" and not await self._is_open(act, device):
                    continue
                if not await self._do(act, device):
                    return

    async def _is_open(self, act: DeferredAct, device: Device) -> bool:
        """Return True if an act that was cut short may be done again. The reconciler has closed its change before."""
        assert act.change_id is not None
        change = await self._change_log.change(act.change_id)
        # Its outcome is not known yet.
        if change.state != "failed":
            return False
        if act.tries < MAX_TRIES:
            return await self.log.move(act.deferred_id, "started", "waiting")
        await self._end(act, device, "failed", f"it was cut short {act.tries} times")
        return False

    async def _do(self, act: DeferredAct, device: Device) -> bool:
        """Do the act, and return False if the device is gone again."""
        try:
            self._gate.check(act.person_id, Permission.ACT, act.text(device.name))
            request = _request(act)
            with change_origin(ChangeOrigin(act.turn, act.person_id, act.conversation, deferred=act.deferred_id)):
                change = await self._changes.apply(request, lambda step: _log.info("%s: %s", step.stage, step.text))
        except MicroclawError as exc:
            return await self._failed(act, device, exc)
        outcome = change.evidence.text
        if not change.agrees:
            outcome = f"{_NOT_VERIFIED}{outcome}"
        await self._end(act, device, "done", outcome)
        return True

    async def _failed(self, act: DeferredAct, device: Device, error: MicroclawError) -> bool:
        """Return False if the act that raised may be done later: what was planned of it says that."""
        now = await self.log.get(act.deferred_id)
        if error.next_step:
            text = f"{error.message}; {error.next_step}"
        else:
            text = error.message
        if now.state == "waiting" and isinstance(error, DeviceUnreachable | DeviceTimeout):
            return False
        if now.state == "started" and now.change_id is not None:
            change = await self._change_log.change(now.change_id)
            if change.state in ("planned", "unknown"):
                # The next check asks the device.
                return False
        if now.state == "done":
            await self._end(act, device, "done", f"{_FAILED_AFTER}{text}")
        elif now.state in ("waiting", "started"):
            await self._end(act, device, "failed", text)
        return True

    async def _end(self, act: DeferredAct, device: Device, state: DeferredState, outcome: str) -> None:
        """Write the outcome if it is not written yet, and report it."""
        is_well = state == "done" and not outcome.startswith((_NOT_VERIFIED, _FAILED_AFTER))
        if act.outcome is None:
            await self.log.end(act.deferred_id, state, outcome)
        how = "failed"
        if state == "done":
            how = "done"
        alarm: str | None = None
        if not is_well:
            alarm = "deferred_failed"
        note = f"deferred: {act.text(device.name)}: {how}. {outcome}"
        try:
            await self._note(act.place, device.name, note, alarm)
        except MicroclawError as exc:
            # It is reported at the next check.
            _log.warning("%s could not be told: %s", act.text(device.name), exc.message)
            return
        await self.log.mark_notified(act.deferred_id)


def _request(act: DeferredAct) -> ChangeRequest:
    """Return the request that does the act now."""
    order = act.order
    request = ChangeRequest(
        act.device_id,
        act.name,
        order.act,
        replace=order.replace,
        force=order.force,
        only_verified=order.act == "upgrade",
    )
    if order.act in ("install", "upgrade"):
        request = structs.replace(request, act="install", version=order.version)
    if order.expect is not None:
        request = structs.replace(request, expectations=parse_expectations(order.expect))
    return request
