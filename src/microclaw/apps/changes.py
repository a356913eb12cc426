"""Changes to devices: each has an action, the action that takes it back, and a state. Touches no device.

The change log keeps them in the store: written before the action, closed after it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from msgspec import Struct, ValidationError, convert, to_builtins

from microclaw.apps.app_terms import Claims, Origin, read_claims, read_origin, read_times, term_text
from microclaw.apps.building import ProgramImage, stored_facts
from microclaw.apps.run_times import RunTimes
from microclaw.auth.people import OWNER
from microclaw.errors import (
    DeviceLied,
    DeviceTimeout,
    DeviceUnreachable,
    MicroclawError,
    ProtocolError,
    StoreError,
)
from microclaw.events import ProgramKind
from microclaw.live_hosts import ALONE, Fleet, dead_among
from microclaw.store import apps as rows
from microclaw.store.journal import Work, no_work

Ahead: TypeAlias = Callable[[], AbstractContextManager[Work]]
"""What is to be written before the next change begins: a function for its transaction, which is committed inside."""
_Maker: TypeAlias = tuple[str | None, str | None, str | None, int | None, Ahead]


def _nothing_ahead() -> AbstractContextManager[Work]:
    return nullcontext(no_work)


_MAKER: ContextVar[_Maker] = ContextVar("microclaw_maker", default=(None, None, None, None, _nothing_ahead))
_TERMINAL = "terminal"


def turn_now() -> str | None:
    """The id of the turn or request that is under way here; a change planned now gets it. None outside of one."""
    return _MAKER.get()[0]


def person_now() -> str | None:
    """The id of the person whose turn or request it is."""
    return _MAKER.get()[1]


def conversation_now() -> str | None:
    """The conversation that it belongs to; None where it belongs to none."""
    return _MAKER.get()[2]


def conversation_of(channel: str, chat_id: str) -> str:
    """A chat's conversation. The commands of this machine's terminal are one conversation."""
    return _TERMINAL if channel == _TERMINAL else f"{channel}:{chat_id}"


@contextmanager
def made_by(
    turn: str | None,
    person_id: str | None = None,
    conversation: str | None = None,
    *,
    deferred: int | None = None,
    ahead: Ahead = _nothing_ahead,
) -> Iterator[None]:
    """Changes planned inside this block, and in tasks started inside it, belong to this turn or request of a person.

    `conversation` is what it is a part of, `deferred` the number of the deferred act that they do. `ahead` goes into
    the transaction of a plan.
    """
    before = _MAKER.set((turn, person_id, conversation, deferred, ahead))
    try:
        yield
    finally:
        _MAKER.reset(before)


ChangeKind: TypeAlias = Literal[
    "app.deploy",
    "app.upgrade",
    "app.remove",
    "app.stop",
    "app.start",
    "app.restart",
    "app.restore",
    "app.explore",
    "gpio.set",
    "pwm.set",
]
ChangeState: TypeAlias = Literal["planned", "done", "failed", "unknown"]


class _Stored(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """An action. Its fields and tag are its JSON in the store."""


class AppVersion(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One version of a program: its image's hash and kind, install options, the pins it drives, other claims.

    `origin`: the entry of a catalogue that it is. `times`: when it runs, where it does not simply run on.
    """

    sha256: str
    heap_bytes: int
    timers: int
    watchdog_ms: int
    pins: tuple[int, ...]
    claims: Claims = Claims()
    kind: ProgramKind = "wasm"
    origin: Origin | None = None
    times: RunTimes | None = None


class PutApp(_Stored, frozen=True, tag="app.put"):
    """Install this version under `name`, whatever was there before."""

    name: str
    version: AppVersion


class RemoveApp(_Stored, frozen=True, tag="app.remove"):
    name: str


class StopApp(_Stored, frozen=True, tag="app.stop"):
    """Off the device, and this version is kept for a start."""

    name: str
    version: AppVersion


class StartApp(_Stored, frozen=True, tag="app.start"):
    """Install the kept version again, without a build and a trial."""

    name: str
    version: AppVersion


class SetLevel(_Stored, frozen=True, tag="gpio.set"):
    pin: int
    level: int


class SetPwm(_Stored, frozen=True, tag="pwm.set"):
    """`duty` is 0-255."""

    pin: int
    duty: int
    frequency_hz: int


DeviceAction: TypeAlias = PutApp | RemoveApp | StopApp | StartApp | SetLevel | SetPwm


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the change log. `inverse` is None when it is not known what would take the change back.

    With the kind app.restore the host puts back an app that a board lost, with app.explore it takes its explorer off
    again, app.restart starts one anew; undo leaves all three alone. `undoes` is the change
    that this one took back, `undone_by` the change that took this one back. `turn` is the turn or request that made
    it; None when it belongs to none. `conversation` is the chat or session that it was made in, None outside of one.
    """

    change_id: int
    at_ms: int
    device_id: str
    kind: ChangeKind
    summary: str
    forward: DeviceAction
    inverse: DeviceAction | None
    state: ChangeState
    undoes: int | None = None
    undone_by: int | None = None
    turn: str | None = None
    person: str = OWNER.person_id
    conversation: str | None = None

    @property
    def subject(self) -> str:
        """The app or pin that it changes. Two changes of one subject must be undone in order."""
        return subject_of(self.forward)


def subject_of(action: DeviceAction) -> str:
    if isinstance(action, PutApp | RemoveApp | StopApp | StartApp):
        return f"app {action.name}"
    return f"pin {action.pin}"


def encode_action(action: DeviceAction) -> str:
    """The action as JSON text for the store."""
    return json.dumps(to_builtins(action), separators=(",", ":"))


def decode_action(text: str) -> DeviceAction:
    """Read what `encode_action` wrote. Raises StoreError for anything else."""
    try:
        return cast("DeviceAction", convert(json.loads(text), DeviceAction))
    except (ValueError, ValidationError) as exc:
        raise StoreError(
            f"a stored change cannot be read: {exc}", next_step="restore the home directory from a backup"
        ) from exc


MAX_UNFINISHED = 1_000
_NEWEST = 20
MAX_SILENCES = 2  # then it is not put back any more


@dataclass(frozen=True, slots=True)
class DesiredApp:
    """An app that this host wants on a device, or keeps stopped for it, and since when.

    `suspect_ms`: since when the device is silent, probably because of it; None when it is not. `silences` counts how
    often it was. `waits`: what puts it there is deferred until the device is back.
    """

    device_id: str
    name: str
    version: AppVersion
    since_ms: int
    suspect_ms: int | None = None
    silences: int = 0
    waits: bool = False


def version_of(name: str, wanted: Iterable[DesiredApp]) -> AppVersion | None:
    """The version of an app among these; None when it is not one of them."""
    return next((app.version for app in wanted if app.name == name), None)


OnEnd: TypeAlias = Callable[[Change, ChangeState, str | None], None]
"""Gets a change, how it ended, and the id of who asked for it (None: the host itself)."""


class ChangeLog:
    """The changes in the store."""

    def __init__(
        self,
        table: rows.AppTable,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        fleet: Fleet = ALONE,
    ) -> None:
        self.table = table
        self._fleet = fleet
        self._listeners: list[OnEnd] = []
        self.news = asyncio.Event()  # set with each change that was done, here or at another host
        table.follow(self._wake)
        self._now_ms = now_ms

    def listen(self, on_end: OnEnd) -> None:
        """Call it with every change that ends here from now on."""
        self._listeners.append(on_end)

    def _tell(self, change: Change, state: ChangeState, person_id: str | None) -> None:
        for on_end in self._listeners:
            on_end(change, state, person_id)

    async def _wake(self) -> None:
        self.news.set()

    async def keep_image(self, image: ProgramImage) -> None:
        row = rows.ImageRow(image.sha256, image.code, image.source, stored_facts(image), self._now_ms())
        await self.table.put_image(row)

    async def image(self, sha256: str) -> rows.ImageRow:
        """A stored image. Raises UnknownName when there is none with that hash."""
        return await self.table.image(sha256)

    async def plan(
        self,
        device_id: str,
        kind: ChangeKind,
        summary: str,
        forward: DeviceAction,
        inverse: DeviceAction | None,
        *,
        undoes: int | None = None,
        seen: int | None = None,
    ) -> int:
        """Write the change down before the action. Returns its number. Raises as AppTable.add_change."""
        turn, person, conversation, deferred, ahead = _MAKER.get()
        change = rows.NewChange(
            at_ms=self._now_ms(),
            device_id=device_id,
            kind=kind,
            summary=summary,
            forward=encode_action(forward),
            inverse=None if inverse is None else encode_action(inverse),
            undoes=undoes,
            turn=turn,
            person=person,
            conversation=conversation,
        )
        with ahead() as first:
            return await self.table.add_change(change, deferred, is_live=self._fleet.is_live, seen=seen, first=first)

    async def complete(self, change_id: int) -> None:
        """The device did it. One write closes the change, updates the desired apps and marks what it undoes."""
        row = await self.table.change(change_id)
        change = _change(row)
        forward, put, delete = change.forward, [], []
        if isinstance(forward, RemoveApp):
            delete = [(change.device_id, forward.name)]
        elif isinstance(forward, StartApp | StopApp) or (isinstance(forward, PutApp) and change.kind != "app.restore"):
            wanted = self._desired_row(change, forward.name, forward.version)
            put = [replace(wanted, stopped_ms=self._now_ms() if isinstance(forward, StopApp) else None)]
        await self.table.settle_change(change_id, "done", put=put, delete=delete)
        self.news.set()
        self._tell(change, "done", row.person)

    async def fail(self, change_id: int) -> None:
        """The device did not do it, or it was taken back at once. The desired apps stay as they were."""
        await self._end(change_id, "failed")

    async def leave_open(self, change_id: int) -> None:
        """It is unknown whether the device did it. `unfinished` lists it until it is closed."""
        await self._end(change_id, "unknown")

    async def _end(self, change_id: int, state: Literal["failed", "unknown"]) -> None:
        await self.table.settle_change(change_id, state)
        row = await self.table.change(change_id)
        self._tell(_change(row), state, row.person)

    @asynccontextmanager
    async def closing(self, change_id: int) -> AsyncIterator[None]:
        """Close the change by how this block ends: done, failed, or left open when no answer tells."""
        try:
            yield
        except (DeviceTimeout, DeviceUnreachable, DeviceLied, ProtocolError):
            await self.leave_open(change_id)
            raise
        except MicroclawError:
            await self.fail(change_id)
            raise
        await self.complete(change_id)

    async def unfinished(self, device_id: str | None = None) -> Sequence[Change]:
        """Changes that are planned or whose outcome is unknown, oldest first, without those that another host of the
        cluster is making now. Who is not `holding` the device may get one that this host is making.
        """
        states: tuple[rows.ChangeState, ...] = ("planned", "unknown")
        found: list[rows.ChangeRow] = []
        for state in states:
            found += await self.table.changes(device_id, state=state, limit=MAX_UNFINISHED)
        left = {None, self._fleet.host_id, *dead_among(self._fleet, {row.host for row in found})}
        found = [row for row in found if row.state != "planned" or row.host in left]
        return [_change(row) for row in sorted(found, key=lambda row: row.change_id)]

    async def change(self, change_id: int) -> Change:
        """Raises UnknownName."""
        return _change(await self.table.change(change_id))

    async def changes(self, device_id: str | None = None, limit: int = 50) -> Sequence[Change]:
        """Newest first."""
        return [_change(row) for row in await self.table.changes(device_id, limit=limit)]

    async def changes_of_turn(self, turn: str) -> Sequence[Change]:
        """The changes of one turn or request, newest first."""
        return [_change(row) for row in await self.table.changes_of_turn(turn)]

    def now_ms(self) -> int:
        """Unix time, by the clock that `Change.at_ms` uses."""
        return self._now_ms()

    async def desired(self, device_id: str | None = None) -> Sequence[DesiredApp]:
        """The apps wanted on one device or on all, sorted by device and name. Not those that are stopped."""
        return [_desired(row) for row in await self.table.desired(device_id) if row.stopped_ms is None]

    async def stopped(self, device_id: str | None = None) -> Sequence[DesiredApp]:
        """The apps that are off one device, or any, and kept for a start; sorted by device and name."""
        return [_desired(row) for row in await self.table.desired(device_id) if row.stopped_ms is not None]

    async def put_elsewhere(self, device_id: str, name: str) -> str | None:
        """The other host of the cluster that is putting this program on the device, or has just done so."""
        rows = await self.table.changes(device_id, limit=_NEWEST)
        there = (row for row in rows if row.state in ("planned", "done") and _change(row).subject == f"app {name}")
        last = next(there, None)
        if last is None or last.host == self._fleet.host_id or not isinstance(_change(last).forward, PutApp | StartApp):
            return None
        return last.host

    async def holds(self, device_id: str, name: str) -> bool:
        """Whether this program is wanted on the device, or stopped there and kept."""
        return any(row.name == name for row in await self.table.desired(device_id))

    async def set_suspect(self, app: DesiredApp, *, is_suspect: bool) -> None:
        """Whether its device fell silent, probably because of this app. A new deployment takes it back, too."""
        await self.table.set_suspect(app.device_id, app.name, self._now_ms() if is_suspect else None)

    def _desired_row(self, change: Change, name: str, version: AppVersion) -> rows.DesiredApp:
        return rows.DesiredApp(
            device_id=change.device_id,
            name=name,
            sha256=version.sha256,
            heap_bytes=version.heap_bytes,
            timers=version.timers,
            watchdog_ms=version.watchdog_ms,
            pins=version.pins,
            since_ms=self._now_ms(),
            claims=term_text(version.claims),
            kind=version.kind,
            origin=None if version.origin is None else term_text(version.origin),
            times=None if version.times is None else term_text(version.times),
        )


def _change(row: rows.ChangeRow) -> Change:
    return Change(
        change_id=row.change_id,
        at_ms=row.at_ms,
        device_id=row.device_id,
        kind=cast("ChangeKind", row.kind),
        summary=row.summary,
        forward=decode_action(row.forward),
        inverse=None if row.inverse is None else decode_action(row.inverse),
        state=row.state,
        undoes=row.undoes,
        undone_by=row.undone_by,
        turn=row.turn,
        person=row.person or OWNER.person_id,
        conversation=row.conversation,
    )


def _desired(row: rows.DesiredApp) -> DesiredApp:
    version = AppVersion(
        row.sha256,
        row.heap_bytes,
        row.timers,
        row.watchdog_ms,
        row.pins,
        read_claims(row.claims),
        row.kind,
        read_origin(row.origin),
        read_times(row.times),
    )
    return DesiredApp(row.device_id, row.name, version, row.since_ms, row.suspect_ms, row.silences)
