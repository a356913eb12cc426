"""What a change to a device is: an action, the action that takes it back, and how far it came. Plain values, no IO."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, cast

from msgspec import Struct, ValidationError, convert, to_builtins

from microclaw.apps.trial import Devices
from microclaw.errors import StoreError, UnknownName
from microclaw.events import AppDeployed, AppEnded, LiveEvent
from microclaw.store import apps as rows
from microclaw.wasm.image import Image

_TURN: ContextVar[str | None] = ContextVar("microclaw_turn", default=None)


def turn_now() -> str | None:
    """The id that a change planned at this moment gets; None for one that stands alone."""
    return _TURN.get()


@contextmanager
def made_by(turn: str | None) -> Iterator[None]:
    """Changes planned inside, and in tasks begun inside, are this turn's or request's."""
    before = _TURN.set(turn)
    try:
        yield
    finally:
        _TURN.reset(before)


ChangeKind: TypeAlias = Literal["app.deploy", "app.upgrade", "app.remove", "app.restore", "gpio.set", "pwm.set"]
ChangeState: TypeAlias = Literal["planned", "done", "failed", "unknown"]


class _Stored(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """An action whose fields and tag are its JSON in the store."""


class AppVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """A program as it is to run: its image's hash, the terms it was installed under, the pins it drives."""

    sha256: str
    heap_bytes: int
    timers: int
    watchdog_ms: int
    pins: tuple[int, ...]


class PutApp(_Stored, frozen=True, tag="app.put"):
    """Let `name` be this version, whatever it was before."""

    name: str
    version: AppVersion


class RemoveApp(_Stored, frozen=True, tag="app.remove"):
    name: str


class SetLevel(_Stored, frozen=True, tag="gpio.set"):
    pin: int
    level: int


class SetPwm(_Stored, frozen=True, tag="pwm.set"):
    """`duty` is 0-255."""

    pin: int
    duty: int
    frequency_hz: int


DeviceAction: TypeAlias = PutApp | RemoveApp | SetLevel | SetPwm


@dataclass(frozen=True, slots=True)
class Change:
    """One journal entry. `inverse` is None when nothing is known that would take it back.

    app.restore is the host's own putting back of an app that a board lost: part of no undo.
    `undoes` names the change that this one took back; `undone_by` the one that took this back. `turn` is the turn or
    the request that made it (apps.changes); None for one that stands alone.
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

    @property
    def subject(self) -> str:
        """What the change is about: two changes of one subject must be undone in order."""
        return subject_of(self.forward)


def subject_of(action: DeviceAction) -> str:
    if isinstance(action, PutApp | RemoveApp):
        return f"app {action.name}"
    return f"pin {action.pin}"


def encode_action(action: DeviceAction) -> str:
    """An action as JSON text for the store."""
    return json.dumps(to_builtins(action), separators=(",", ":"))


def decode_action(text: str) -> DeviceAction:
    """Read `encode_action`'s text; raises StoreError when it is not one."""
    try:
        return cast("DeviceAction", convert(json.loads(text), DeviceAction))
    except (ValueError, ValidationError) as exc:
        raise StoreError(
            f"a stored change cannot be read: {exc}", next_step="restore the home directory from a backup"
        ) from exc


MAX_UNFINISHED = 1_000


@dataclass(frozen=True, slots=True)
class DesiredApp:
    """An app that this host wants on a device, since when."""

    device_id: str
    name: str
    version: AppVersion
    since_ms: int


class Rows(Protocol):
    """store.apps.AppTable."""

    async def put_image(self, row: rows.ImageRow) -> None: ...

    async def image(self, sha256: str) -> rows.ImageRow: ...

    async def desired(self, device_id: str | None = None) -> tuple[rows.DesiredApp, ...]: ...

    async def add_change(self, change: rows.NewChange) -> int: ...

    async def settle_change(
        self,
        change_id: int,
        state: rows.ChangeState,
        *,
        put: Sequence[rows.DesiredApp] = (),
        delete: Sequence[tuple[str, str]] = (),
    ) -> None: ...

    async def change(self, change_id: int) -> rows.ChangeRow: ...

    async def changes(
        self, device_id: str | None = None, *, state: rows.ChangeState | None = None, limit: int = 100
    ) -> tuple[rows.ChangeRow, ...]: ...

    async def changes_of_turn(self, turn: str) -> tuple[rows.ChangeRow, ...]: ...


class ChangeLog:
    """`ChangeLog(AppTable(database))`; `completed` hears of every change that was done."""

    def __init__(
        self,
        table: Rows,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        completed: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self._table = table
        self._completed = completed
        self._now_ms = now_ms

    async def keep_image(self, image: Image) -> None:
        meta = json.dumps({"name": image.name, "compiler": image.compiler})
        await self._table.put_image(rows.ImageRow(image.sha256, image.wasm, image.source, meta, self._now_ms()))

    async def image(self, sha256: str) -> rows.ImageRow:
        """A kept image; raises UnknownName when the store has none of that hash."""
        return await self._table.image(sha256)

    async def plan(
        self,
        device_id: str,
        kind: ChangeKind,
        summary: str,
        forward: DeviceAction,
        inverse: DeviceAction | None,
        *,
        undoes: int | None = None,
    ) -> int:
        """Write the change down before acting, as the present turn's; the number it has from now on."""
        change = rows.NewChange(
            at_ms=self._now_ms(),
            device_id=device_id,
            kind=kind,
            summary=summary,
            forward=encode_action(forward),
            inverse=None if inverse is None else encode_action(inverse),
            undoes=undoes,
            turn=turn_now(),
        )
        return await self._table.add_change(change)

    async def complete(self, change_id: int) -> None:
        """The device did it: the change is done, desired apps follow, and what it undoes is marked, all at once."""
        change = await self.change(change_id)
        match change.forward:
            case PutApp(name=name, version=version) if change.kind != "app.restore":
                await self._table.settle_change(change_id, "done", put=[self._desired_row(change, name, version)])
            case RemoveApp(name=name):
                await self._table.settle_change(change_id, "done", delete=[(change.device_id, name)])
            case _:
                await self._table.settle_change(change_id, "done")
        self._completed(change)

    async def fail(self, change_id: int) -> None:
        """The device did not do it, or it was taken back at once: what is desired stays as before the change."""
        await self._table.settle_change(change_id, "failed")

    async def leave_open(self, change_id: int) -> None:
        """Nobody knows whether the device did it; `unfinished` lists it until it is settled."""
        await self._table.settle_change(change_id, "unknown")

    async def unfinished(self, device_id: str | None = None) -> Sequence[Change]:
        """Changes planned or of unknown outcome, oldest first."""
        found = [
            *await self._table.changes(device_id, state="planned", limit=MAX_UNFINISHED),
            *await self._table.changes(device_id, state="unknown", limit=MAX_UNFINISHED),
        ]
        return [_change(row) for row in sorted(found, key=lambda row: row.change_id)]

    async def change(self, change_id: int) -> Change:
        """Raises UnknownName."""
        return _change(await self._table.change(change_id))

    async def changes(self, device_id: str | None = None, limit: int = 50) -> Sequence[Change]:
        """Newest first."""
        return [_change(row) for row in await self._table.changes(device_id, limit=limit)]

    async def changes_of_turn(self, turn: str) -> Sequence[Change]:
        """What one turn or request changed, newest first."""
        return [_change(row) for row in await self._table.changes_of_turn(turn)]

    def now_ms(self) -> int:
        """The clock of `Change.at_ms`."""
        return self._now_ms()

    async def desired(self, device_id: str | None = None) -> Sequence[DesiredApp]:
        """Apps wanted on a device, or on any, by device and name."""
        return [
            DesiredApp(
                row.device_id,
                row.name,
                AppVersion(row.sha256, row.heap_bytes, row.timers, row.watchdog_ms, row.pins),
                row.since_ms,
            )
            for row in await self._table.desired(device_id)
        ]

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
    )


def change_publisher(
    devices: Devices, publish: Callable[[LiveEvent], None], now_ms: Callable[[], int]
) -> Callable[[Change], None]:
    """For ChangeLog's `completed`."""

    def completed(change: Change) -> None:
        match change.forward:
            case PutApp(name=name):
                publish(AppDeployed(_name(devices, change.device_id), now_ms(), name))
            case RemoveApp(name=name):
                publish(AppEnded(_name(devices, change.device_id), now_ms(), name, "removed"))

    return completed


def _name(devices: Devices, device_id: str) -> str:
    try:
        return devices.get(device_id).name
    except UnknownName:  # it was removed while its change was under way
        return device_id
