"""Acts on programs of devices that did not answer, as the store keeps them until they are done. Does none of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from msgspec import Struct, ValidationError, convert, to_builtins

from microclaw.apps.changes import (
    AppVersion,
    Change,
    ChangeLog,
    DesiredApp,
    conversation_of,
    person_now,
    turn_now,
)
from microclaw.apps.late_proof import Place
from microclaw.auth.people import OWNER
from microclaw.devices.registry import Registry
from microclaw.errors import DeployRejected, StoreError
from microclaw.store.apps import DeferredRow, DeferredState, NewDeferred

DeferredKind: TypeAlias = Literal["install", "upgrade", "uninstall", "stop", "start"]
_PUTS = frozenset({"install", "upgrade", "start"})


class Order(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What shall be done; its fields are its JSON in the store.

    `version` is what an installation puts there, or what a start and a stop are about. `replace`, `force` and the text
    of the expectations are those of the installation.
    """

    act: DeferredKind
    version: AppVersion | None = None
    replace: bool = False
    force: bool = False
    expect: str | None = None


@dataclass(frozen=True, slots=True)
class DeferredAct:
    """An act that was ordered at `at_ms` (Unix time) and waits for its device, or how it came out."""

    deferred_id: int
    device_id: str
    name: str
    at_ms: int
    order: Order
    person_id: str
    turn: str | None
    place: Place | None
    state: DeferredState
    tries: int
    change_id: int | None
    outcome: str | None
    ended_ms: int | None
    told: bool

    @property
    def conversation(self) -> str | None:
        return None if self.place is None else conversation_of(self.place.channel, self.place.chat_id)

    def text(self, device_name: str) -> str:
        """ "install blink on desk"."""
        return act_text(self.order.act, self.name, device_name)


def act_text(act: DeferredKind, name: str, device_name: str) -> str:
    return f"{act} {name} {'from' if act == 'uninstall' else 'on'} {device_name}"


class DeferredLog:
    """The deferred acts of the change log's store."""

    def __init__(self, change_log: ChangeLog) -> None:
        self._change_log = change_log
        self._table = change_log.table

    async def keep(self, device_id: str, name: str, order: Order, place: Place | None) -> tuple[DeferredAct, bool]:
        """Write it down for the person and request that are under way; whether it replaces one of the same program.

        Raises Overloaded.
        """
        row = NewDeferred(
            device_id,
            name,
            self._change_log.now_ms(),
            json.dumps(to_builtins(order), separators=(",", ":")),
            person_now() or OWNER.person_id,
            turn_now(),
            None if place is None else json.dumps([place.person_id, place.channel, place.chat_id]),
        )
        deferred_id, replaced = await self._table.add_deferred(row)
        return await self.get(deferred_id), replaced

    async def get(self, deferred_id: int) -> DeferredAct:
        return _act(await self._table.deferred_act(deferred_id))

    async def waiting(self, device_id: str | None = None) -> Sequence[DeferredAct]:
        """Those that are not done yet, oldest first."""
        return [_act(row) for row in await self._table.deferred(device_id)]

    async def ended(self, device_id: str | None = None, limit: int = 50) -> Sequence[DeferredAct]:
        """Those that were done or failed, newest first."""
        return [_act(row) for row in await self._table.deferred(device_id, ended=True, limit=limit)]

    async def expected(self, device_id: str) -> Sequence[DesiredApp]:
        """What is wanted on the device once all that waits is done."""
        wanted = {app.name: app for app in await self._change_log.desired(device_id)}
        for act in await self.waiting(device_id):
            wanted.pop(act.name, None)
            if act.order.act in _PUTS and act.order.version is not None:
                wanted[act.name] = DesiredApp(device_id, act.name, act.order.version, act.at_ms, waits=True)
        return [wanted[name] for name in sorted(wanted)]

    async def check_none_since(
        self,
        done: Sequence[Change],
        person_id: str | None,
        device_id: str | None,
        devices: Registry,
        conversation: str | None = None,
    ) -> None:
        """Raise DeployRejected when the newest that this person (None: anybody) ordered waits: "undo" means that one.

        `done`: what could be taken back instead, newest first. `conversation`: only what was ordered there.
        """
        last = next((change for change in done if person_id in (None, change.person)), None)
        names = {device.device_id: device.name for device in devices.list()}
        for act in reversed(await self.waiting(device_id)):
            is_own = person_id in (None, act.person_id) and conversation in (None, act.conversation)
            if is_own and (last is None or act.at_ms >= last.at_ms) and (name := names.get(act.device_id)):
                step = f"drop it: microclaw app cancel {act.name} -d {name}"
                if last is not None:
                    step += f"; microclaw app undo {last.change_id} takes back the one before it ({last.summary})"
                text = f"the newest, {act.text(name)}, is deferred and has changed nothing yet; nothing was done"
                raise DeployRejected(text, next_step=step)

    async def again(self, act: DeferredAct) -> bool:
        """Let one wait again that was cut short; False when it is not started any more."""
        return await self._table.move_deferred(act.deferred_id, "started", "waiting")

    async def cancel(self, act: DeferredAct) -> bool:
        """False when it waits no more."""
        return await self._table.move_deferred(act.deferred_id, "waiting", "cancelled")

    async def end(self, act: DeferredAct, state: DeferredState, outcome: str) -> DeferredAct:
        """How it came out, before anybody is told."""
        await self._table.end_deferred(act.deferred_id, state, outcome, self._change_log.now_ms())
        return await self.get(act.deferred_id)

    async def told(self, act: DeferredAct) -> None:
        await self._table.told_deferred(act.deferred_id)


def _act(row: DeferredRow) -> DeferredAct:
    try:
        order = convert(json.loads(row.act), Order)
        place = None if row.place is None else Place(*json.loads(row.place))
    except (ValueError, TypeError, ValidationError) as exc:
        raise StoreError(
            f"a deferred act cannot be read: {exc}", next_step="restore the home directory from a backup"
        ) from exc
    return DeferredAct(
        row.deferred_id,
        row.device_id,
        row.name,
        row.at_ms,
        order,
        row.person,
        row.turn,
        place,
        row.state,
        row.tries,
        row.change_id,
        row.outcome,
        row.ended_ms,
        row.told,
    )
