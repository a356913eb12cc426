"""Rows of images, of the apps that devices should run, and of changes with their inverses. Touches no device."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microclaw.errors import StoreError, UnknownName
from microclaw.store.database import Database

ChangeState: TypeAlias = Literal["planned", "done", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A program's bytes under their SHA-256 (hex); `meta` is JSON text of the caller's."""

    sha256: str
    wasm: bytes
    source: str | None
    meta: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class DesiredApp:
    """An app that a device should run, and the terms it is installed under. Its image is stored before it."""

    device_id: str
    name: str
    sha256: str
    heap_bytes: int
    timers: int
    watchdog_ms: int
    pins: tuple[int, ...]
    since_ms: int


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change about to be made; `forward` and `inverse` are JSON text of the caller's, `turn` is who makes it."""

    at_ms: int
    device_id: str
    kind: str
    summary: str
    forward: str
    inverse: str | None
    state: ChangeState = "planned"
    undoes: int | None = None
    turn: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeRow(NewChange):
    """A change as stored; `undone_by` is the change that took it back."""

    change_id: int = 0
    undone_by: int | None = None


class AppTable:
    """Images, desired apps and changes of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_image(self, row: ImageRow) -> None:
        """Keep an image; the same bytes twice are one row, whose first source and meta stay."""
        await self._database.write(lambda connection: _put_image(connection, row))

    async def image(self, sha256: str) -> ImageRow:
        """UnknownName when no such image was kept."""
        row = await self._database.read(lambda connection: _image(connection, sha256))
        if row is None:
            raise UnknownName(f"no image {sha256[:12]} is stored", next_step="deploy the program again from its source")
        return row

    async def desired(self, device_id: str | None = None) -> tuple[DesiredApp, ...]:
        """What a device, or every device, should run, by device and name."""
        return await self._database.read(lambda connection: _desired(connection, device_id))

    async def put_desired(self, row: DesiredApp) -> None:
        await self._database.write(lambda connection: _put_desired(connection, row))

    async def delete_desired(self, device_id: str, name: str) -> bool:
        """False when it was not desired."""
        return await self._database.write(lambda connection: _delete_desired(connection, device_id, name))

    async def add_change(self, change: NewChange) -> int:
        """Write a change down before it is made; returns its change_id, which grows."""
        return await self._database.write(lambda connection: _add_change(connection, change))

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
        await self._database.write(lambda connection: _settle(connection, change_id, state, put, delete))

    async def change(self, change_id: int) -> ChangeRow:
        """UnknownName when there is none."""
        rows = await self._database.read(lambda connection: _changes(connection, "WHERE change_id = ?", (change_id,)))
        if not rows:
            raise UnknownName(f"there is no change {change_id}", next_step="see them: microclaw app changes")
        return rows[0]

    async def changes(
        self, device_id: str | None = None, *, state: ChangeState | None = None, limit: int = 100
    ) -> tuple[ChangeRow, ...]:
        """Newest first."""
        where = "WHERE (?1 IS NULL OR device_id = ?1) AND (?2 IS NULL OR state = ?2) ORDER BY change_id DESC LIMIT ?3"
        return await self._database.read(lambda connection: _changes(connection, where, (device_id, state, limit)))

    async def changes_of_turn(self, turn: str, *, limit: int = 1_000) -> tuple[ChangeRow, ...]:
        """What one turn or request changed, newest first."""
        where = "WHERE turn = ? ORDER BY change_id DESC LIMIT ?"
        return await self._database.read(lambda connection: _changes(connection, where, (turn, limit)))


def _put_image(connection: sqlite3.Connection, row: ImageRow) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO images (sha256, wasm, source, meta, created_ms) VALUES (?, ?, ?, ?, ?)",
        (row.sha256, row.wasm, row.source, row.meta, row.created_ms),
    )


def _image(connection: sqlite3.Connection, sha256: str) -> ImageRow | None:
    query = "SELECT sha256, wasm, source, meta, created_ms FROM images WHERE sha256 = ?"
    row = connection.execute(query, (sha256,)).fetchone()
    return None if row is None else ImageRow(*row)


_DESIRED_COLUMNS = "device_id, name, sha256, heap_bytes, timers, watchdog_ms, pins, since_ms"


def _desired(connection: sqlite3.Connection, device_id: str | None) -> tuple[DesiredApp, ...]:
    rows = connection.execute(
        f"SELECT {_DESIRED_COLUMNS} FROM desired_apps WHERE (?1 IS NULL OR device_id = ?1) ORDER BY device_id, name",  # noqa: S608 - constant column names
        (device_id,),
    )
    return tuple(
        DesiredApp(device, name, sha256, heap, timers, watchdog, tuple(json.loads(pins)), since)
        for device, name, sha256, heap, timers, watchdog, pins, since in rows
    )


def _put_desired(connection: sqlite3.Connection, row: DesiredApp) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO desired_apps ({_DESIRED_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant column names
        (
            row.device_id,
            row.name,
            row.sha256,
            row.heap_bytes,
            row.timers,
            row.watchdog_ms,
            json.dumps(row.pins),
            row.since_ms,
        ),
    )


def _delete_desired(connection: sqlite3.Connection, device_id: str, name: str) -> bool:
    query = "DELETE FROM desired_apps WHERE device_id = ? AND name = ?"
    return connection.execute(query, (device_id, name)).rowcount > 0


def _add_change(connection: sqlite3.Connection, change: NewChange) -> int:
    cursor = connection.execute(
        """INSERT INTO changes (at_ms, device_id, kind, summary, forward, inverse, state, undoes, turn)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            change.at_ms,
            change.device_id,
            change.kind,
            change.summary,
            change.forward,
            change.inverse,
            change.state,
            change.undoes,
            change.turn,
        ),
    )
    if cursor.lastrowid is None:
        raise StoreError("the store gave a change no number", next_step="start the host again")
    return cursor.lastrowid


def _settle(
    connection: sqlite3.Connection,
    change_id: int,
    state: ChangeState,
    put: Sequence[DesiredApp],
    delete: Sequence[tuple[str, str]],
) -> None:
    settled = connection.execute("UPDATE changes SET state = ? WHERE change_id = ?", (state, change_id))
    if settled.rowcount != 1:
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


def _changes(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> tuple[ChangeRow, ...]:
    rows = connection.execute(
        f"""SELECT at_ms, device_id, kind, summary, forward, inverse, state, undoes, turn, change_id, undone_by
        FROM changes {where}""",  # noqa: S608 - `where` is one of this file's constants
        values,
    )
    return tuple(ChangeRow(*row) for row in rows)
