"""Acts on programs of devices that did not answer, as the store keeps them until they are done. Does none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict

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
from microclaw.errors import DeployRejected
from microclaw.store.apps import DeferredRow, DeferredState, DeferredTable

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
class DeferredAct(DeferredRow):
    """An act that was ordered at `at_ms` (Unix time) and waits for its device, or how it came out.

    `change_id` is the change that does it, from its plan on.
    """

    at_ms: int
    order: Order = field(metadata={"column": "act"})
    person_id: str = field(metadata={"column": "person"})
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
        return None if self.place is None else conversation_of(self.place.channel, self.place.chat_id)

    def text(self, device_name: str) -> str:
        """ "install blink on desk"."""
        return act_text(self.order.act, self.name, device_name)


def act_text(act: DeferredKind, name: str, device_name: str) -> str:
    return f"{act} {name} {'from' if act == 'uninstall' else 'on'} {device_name}"


class DeferredLog(DeferredTable[DeferredAct]):
    """The deferred acts of the change log's store."""

    _act = DeferredAct

    def __init__(self, change_log: ChangeLog) -> None:
        super().__init__(change_log.database, change_log.now_ms)
        self._change_log = change_log

    async def keep(self, device_id: str, name: str, order: Order, place: Place | None) -> tuple[DeferredAct, bool]:
        """Write it down for the person and request that are under way; whether it replaces one of the same program.

        Raises Overloaded.
        """
        person_id = person_now() or OWNER.person_id
        return await self.add(DeferredAct(0, device_id, name, self._now_ms(), order, person_id, turn_now(), place))

    async def expected(self, device_id: str) -> Sequence[DesiredApp]:
        """What is wanted on the device once all that waits is done."""
        wanted = {app.name: app for app in await self._change_log.desired(device_id)}
        for act in await self.waiting(device_id):
            wanted.pop(act.name, None)
            if act.order.act in _PUTS and act.order.version is not None:
                version = asdict(act.order.version)
                wanted[act.name] = DesiredApp(
                    device_id=device_id, name=act.name, since_ms=act.at_ms, waits=True, **version
                )
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
        return await self.move(act.deferred_id, "started", "waiting")

    async def cancel(self, act: DeferredAct) -> bool:
        """False when it waits no more."""
        return await self.move(act.deferred_id, "waiting", "cancelled")
