"""Rows of images, of the apps that devices should run, and of changes with their inverses. Touches no device."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from microclaw.errors import DeployRejected, DeviceBusy, Overloaded, UnknownName
from microclaw.events import ProgramKind
from microclaw.store.following import Refresh
from microclaw.store.journal import Work, no_work
from microclaw.store.rows import BOOL, JSON_TUPLE, Table, insert, select
from microclaw.store.sql import Sql

ChangeState: TypeAlias = Literal["planned", "done", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A program's bytes under their SHA-256 (hex); `meta` is JSON text of the caller's."""

    sha256: str
    code: bytes
    source: str | None
    meta: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class ProofRow:
    """What an image showed when it was installed on a device; `document` is JSON text of the caller's."""

    device_id: str
    sha256: str
    at_ms: int
    document: str


@dataclass(frozen=True, slots=True)
class DesiredApp:
    """An app that a device should run, and the terms it is installed under. Its image is stored before it.

    `claims`, `origin` and `times` are JSON text of the caller's. `suspect_ms` is when the device fell silent, probably
    because of this app; `silences` counts them. `stopped_ms` is when it was stopped: it is off the device and
    only kept.
    """

    device_id: str
    name: str
    sha256: str
    heap_bytes: int
    timers: int
    watchdog_ms: int
    pins: tuple[int, ...] = field(metadata=JSON_TUPLE)
    since_ms: int
    claims: str = "{}"
    suspect_ms: int | None = None
    kind: ProgramKind = "wasm"
    stopped_ms: int | None = None
    origin: str | None = None
    times: str | None = None
    silences: int = 0


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change about to be made; `forward` and `inverse` are JSON text.

    `turn` makes it, for `person`, in `conversation`.
    """

    at_ms: int
    device_id: str
    kind: str
    summary: str
    forward: str
    inverse: str | None
    state: ChangeState = "planned"
    undoes: int | None = None
    turn: str | None = None
    person: str | None = None
    conversation: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeRow(NewChange):
    """A change as stored; `undone_by` is the change that took it back, `host` made it, in a cluster."""

    change_id: int = 0
    undone_by: int | None = None
    host: str | None = None


DeferredState: TypeAlias = Literal["waiting", "started", "done", "failed", "cancelled", "replaced"]
MAX_WAITING: Final = 32
"""Deferred acts of one device."""
_KEPT_ENDED: Final = 200
_NEWER: Final = "UPDATE SET at_ms = excluded.at_ms, document = excluded.document"
MAX_NUMBER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NewDeferred:
    """An act that waits for its device; `act` and `place` are JSON text of the caller's."""

    device_id: str
    name: str
    at_ms: int
    act: str
    person: str
    turn: str | None = None
    place: str | None = None
    state: DeferredState = "waiting"
    tries: int = 0
    change_id: int | None = None
    outcome: str | None = None
    ended_ms: int | None = None
    told: bool = field(default=False, metadata=BOOL)


@dataclass(frozen=True, slots=True)
class DeferredRow(NewDeferred):
    """A deferred act as stored. `change_id` is the change that does it, from its plan on."""

    deferred_id: int = 0


class AppTable(Table):
    """Images, desired apps, changes and deferred acts of one database."""

    def follow(self, refresh: Refresh) -> None:
        """As Database.follow, for changes and what is wanted."""
        self._database.follow(("changes", "desired_apps", "deferred_acts"), refresh)

    async def put_image(self, row: ImageRow) -> None:
        """Keep an image; the same bytes twice are one row, with the newest source that was given and its meta.

        A source that differs in comments alone has the same bytes and other lines.
        """
        query = """INSERT INTO images (sha256, code, source, meta, created_ms) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (sha256) DO UPDATE SET source = excluded.source, meta = excluded.meta
            WHERE excluded.source IS NOT NULL"""
        await self._execute(query, (row.sha256, row.code, row.source, row.meta, row.created_ms))

    async def image(self, sha256: str) -> ImageRow:
        """UnknownName when no such image was kept."""
        rows = await self._select(ImageRow, "images WHERE sha256 = ?", (sha256,))
        if not rows:
            raise UnknownName(f"no image {sha256[:12]} is stored", next_step="deploy the program again from its source")
        return rows[0]

    async def put_proof(self, row: ProofRow, *, over: bool) -> None:
        """Keep what a stored image showed; without `over`, only where nothing is kept of it on that device."""
        query = f"""INSERT INTO proofs (device_id, sha256, at_ms, document) VALUES (?, ?, ?, ?)
            ON CONFLICT (device_id, sha256) DO {_NEWER if over else "NOTHING"}"""  # noqa: S608 - constants
        await self._execute(query, (row.device_id, row.sha256, row.at_ms, row.document))

    async def proof(self, device_id: str, sha256: str) -> ProofRow | None:
        rows = await self._select(ProofRow, "proofs WHERE device_id = ? AND sha256 = ?", (device_id, sha256))
        return rows[0] if rows else None

    async def desired(self, device_id: str | None = None) -> tuple[DesiredApp, ...]:
        """What a device, or every device, should run, with what is stopped there, by device and name."""
        where = "desired_apps WHERE (?1 IS NULL OR device_id = ?1) ORDER BY device_id, name"
        return await self._select(DesiredApp, where, (device_id,))

    async def put_desired(self, row: DesiredApp) -> None:
        await self._database.write(lambda connection: _put_desired(connection, row))

    async def set_suspect(self, device_id: str, name: str, suspect_ms: int | None) -> None:
        """Since when the device is silent because of this app, as far as is known; None takes it back."""
        query = """UPDATE desired_apps
            SET silences = silences + CASE WHEN ?1 IS NOT NULL AND suspect_ms IS NULL THEN 1 ELSE 0 END,
                suspect_ms = ?1
            WHERE device_id = ?2 AND name = ?3"""
        await self._execute(query, (suspect_ms, device_id, name))

    async def add_change(
        self,
        change: NewChange,
        deferred_id: int | None = None,
        *,
        is_live: Callable[[str], bool] = lambda _host: False,
        seen: int | None = None,
        first: Work = no_work,
    ) -> int:
        """Write a change down before it is made, with what goes `first`; returns its change_id, which grows.

        `deferred_id` is the deferred act that it does. DeployRejected when that one waits no more, and when the change
        that it takes back was taken back; DeviceBusy when another host that is alive changes the device now (for
        programs: its programs), or has since the change `seen`.
        """
        host = self._database.host

        def add(connection: Sql) -> int:
            if host is not None:
                _check_free(connection, change, host, is_live, seen)
            _check_not_undone(connection, change)
            first(connection)
            return _add_change(connection, change, deferred_id, host)

        return await self._database.write(add)

    async def settle_change(
        self,
        change_id: int,
        state: ChangeState,
        *,
        put: Sequence[DesiredApp] = (),
        delete: Sequence[tuple[str, str]] = (),
    ) -> None:
        """How a change came out, with what it makes of the desired apps, in one transaction.

        `delete` names (device_id, name). A change that is done and undoes another marks that one as undone.
        """
        await self._database.write(lambda connection: _end(connection, change_id, state, put, delete))

    async def change(self, change_id: int) -> ChangeRow:
        """UnknownName when there is none."""
        rows = await self._select(ChangeRow, "changes WHERE change_id = ?", (change_id,))
        if not rows:
            raise UnknownName(f"there is no change {change_id}", next_step="see them: microclaw app changes")
        return rows[0]

    async def changes(
        self, device_id: str | None = None, *, state: ChangeState | None = None, limit: int = 100
    ) -> tuple[ChangeRow, ...]:
        """Newest first."""
        where = """changes WHERE (?1 IS NULL OR device_id = ?1) AND (?2 IS NULL OR state = ?2)
            ORDER BY change_id DESC LIMIT ?3"""
        return await self._select(ChangeRow, where, (device_id, state, limit))

    async def last_put(self, device_id: str, name: str, *, but: str) -> ChangeRow | None:
        """The newest change that put another image than `but` on the device under this name; None where none did."""
        return await self._database.read(lambda connection: _last_put(connection, device_id, name, but))

    async def changes_of_turn(self, turn: str, *, limit: int = 1_000) -> tuple[ChangeRow, ...]:
        """What one turn or request changed, newest first."""
        return await self._select(ChangeRow, "changes WHERE turn = ? ORDER BY change_id DESC LIMIT ?", (turn, limit))

    async def add_deferred(self, row: NewDeferred) -> tuple[int, bool]:
        """Keep an act for later; its number, and whether it replaces one of the same app. Raises Overloaded."""
        return await self._database.write(lambda connection: _add_deferred(connection, row))

    async def deferred(
        self, device_id: str | None = None, *, ended: bool = False, limit: int = 10_000
    ) -> tuple[DeferredRow, ...]:
        """Those that wait or are started, oldest first; or those that were done or failed, newest first."""
        states, order = ("'done', 'failed'", "DESC") if ended else ("'waiting', 'started'", "ASC")
        where = f"""deferred_acts WHERE state IN ({states}) AND (?1 IS NULL OR device_id = ?1)
            ORDER BY deferred_id {order} LIMIT ?2"""
        return await self._select(DeferredRow, where, (device_id, limit))

    async def deferred_act(self, deferred_id: int) -> DeferredRow:
        """Raises UnknownName."""
        rows = await self._select(DeferredRow, "deferred_acts WHERE deferred_id = ?", (deferred_id,))
        if not rows:
            raise UnknownName(f"there is no deferred act {deferred_id}", next_step="see them: microclaw app list")
        return rows[0]

    async def move_deferred(self, deferred_id: int, before: DeferredState, state: DeferredState) -> bool:
        """False when it was not in the state `before`."""
        query = "UPDATE deferred_acts SET state = ? WHERE deferred_id = ? AND state = ?"
        return await self._execute(query, (state, deferred_id, before)) > 0

    async def end_deferred(self, deferred_id: int, state: DeferredState, outcome: str, ended_ms: int) -> None:
        """How it came out. It is not told yet."""
        query = "UPDATE deferred_acts SET state = ?, outcome = ?, ended_ms = ? WHERE deferred_id = ?"
        await self._execute(query, (state, outcome, ended_ms, deferred_id))

    async def told_deferred(self, deferred_id: int) -> None:
        """Its person was told. Of those that have ended the newest are kept."""
        await self._execute("UPDATE deferred_acts SET told = 1 WHERE deferred_id = ?", (deferred_id,))
        query = """DELETE FROM deferred_acts WHERE state NOT IN ('waiting', 'started') AND deferred_id <= ?
            AND (told = 1 OR state IN ('cancelled', 'replaced'))"""
        await self._execute(query, (deferred_id - _KEPT_ENDED,))


def _check_free(
    connection: Sql, change: NewChange, host: str, is_live: Callable[[str], bool], seen: int | None
) -> None:
    """Each host has one change of a device at a time; this is for the hosts among themselves."""
    rows = connection.execute(
        """SELECT host, summary, change_id > ?4 AND state != 'planned' FROM changes WHERE device_id = ?1
        AND (state = 'planned' OR change_id > ?4) AND (kind LIKE 'app.%' OR ?3 = 0) AND host != ?2""",
        (change.device_id, host, change.kind.startswith("app."), MAX_NUMBER if seen is None else seen),
    )
    for other, summary, is_newer in rows:
        if is_newer or is_live(other):
            raise DeviceBusy(
                f"{change.summary}: the host {other} is changing this device now ({summary})",
                next_step="do it again in a moment",
            )


def _check_not_undone(connection: Sql, change: NewChange) -> None:
    """Whoever takes a change back has looked at it before; another host may have been faster."""
    if change.undoes is None:
        return
    row = connection.execute("SELECT summary, undone_by FROM changes WHERE change_id = ?", (change.undoes,)).fetchone()
    if row is not None and row[1] is not None:
        raise undone_already(change.undoes, *row)


def undone_already(change_id: int, summary: str, undone_by: int) -> DeployRejected:
    return DeployRejected(
        f"change {change_id} ({summary}) was undone already, by change {undone_by}",
        next_step=f"redo it: microclaw app undo {undone_by}",
    )


def _add_change(connection: Sql, change: NewChange, deferred_id: int | None, host: str | None) -> int:
    change_id = insert(connection, "changes", change, number="change_id", host=host)
    if deferred_id is not None:
        query = """UPDATE deferred_acts SET state = 'started', change_id = ?, tries = tries + 1
            WHERE deferred_id = ? AND state = 'waiting'"""
        if connection.execute(query, (change_id, deferred_id)).rowcount != 1:
            raise DeployRejected(
                f"{change.summary}: it was cancelled or replaced meanwhile", next_step="microclaw app list"
            )
    return change_id


def _add_deferred(connection: Sql, row: NewDeferred) -> tuple[int, bool]:
    query = "UPDATE deferred_acts SET state = 'replaced' WHERE device_id = ? AND name = ? AND state = 'waiting'"
    replaced = connection.execute(query, (row.device_id, row.name)).rowcount > 0
    query = "SELECT count(*) FROM deferred_acts WHERE device_id = ? AND state = 'waiting'"
    if connection.execute(query, (row.device_id,)).fetchone()[0] >= MAX_WAITING:
        raise Overloaded(
            f"{MAX_WAITING} acts wait for that device already", next_step="cancel one: microclaw app cancel NAME"
        )
    return insert(connection, "deferred_acts", row, number="deferred_id"), replaced


def _put_desired(connection: Sql, row: DesiredApp) -> None:
    insert(connection, "desired_apps", row, over=("device_id", "name"))


def _last_put(connection: Sql, device_id: str, name: str, but: str) -> ChangeRow | None:
    where = "changes WHERE device_id = ? AND state = 'done' AND kind LIKE 'app.%' ORDER BY change_id DESC"
    for row in select(connection, ChangeRow, where, (device_id,)):
        made = json.loads(row.forward)
        if made.get("do") == "app.put" and made.get("name") == name and made["version"]["sha256"] != but:
            return row
    return None


def _delete_desired(connection: Sql, device_id: str, name: str) -> bool:
    query = "DELETE FROM desired_apps WHERE device_id = ? AND name = ?"
    return connection.execute(query, (device_id, name)).rowcount > 0


def _end(
    connection: Sql,
    change_id: int,
    state: ChangeState,
    put: Sequence[DesiredApp],
    delete: Sequence[tuple[str, str]],
) -> None:
    ended = connection.execute("UPDATE changes SET state = ? WHERE change_id = ?", (state, change_id))
    if ended.rowcount != 1:
        raise UnknownName(f"there is no change {change_id}", next_step="see them: microclaw app changes")
    for device_id, name in delete:
        _delete_desired(connection, device_id, name)
    for row in put:
        _put_desired(connection, row)
    if state == "done":
        connection.execute(
            """UPDATE changes SET undone_by = ?1
            WHERE change_id = (SELECT undoes FROM changes WHERE change_id = ?1)""",
            (change_id,),
        )
        _end_deferred(connection, change_id)


def _end_deferred(connection: Sql, change_id: int) -> None:
    """The change does its deferred act; a newer act on the same app makes one that still waits pointless."""
    connection.execute(
        "UPDATE deferred_acts SET state = 'done' WHERE change_id = ? AND state = 'started'", (change_id,)
    )
    query = "SELECT device_id, kind, forward FROM changes WHERE change_id = ?"
    device_id, kind, forward = connection.execute(query, (change_id,)).fetchone()
    if kind not in ("app.restore", "app.restart"):
        connection.execute(
            """UPDATE deferred_acts SET state = 'replaced' WHERE state IN ('waiting', 'started')
            AND change_id IS NOT ? AND device_id = ? AND name = ?""",
            (change_id, device_id, json.loads(forward).get("name")),
        )
