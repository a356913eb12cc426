"""The journal of tool effects: planned, started, done, so that a crash leaves none unaccounted for. Runs no tool."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from microclaw.errors import StoreError
from microclaw.store.database import Database

EffectClass: TypeAlias = Literal["read", "idempotent", "once"]
EffectState: TypeAlias = Literal["planned", "started", "done", "failed", "unknown", "dropped"]


@dataclass(frozen=True, slots=True, order=True)
class EffectKey:
    """Which call of which model answer of which turn."""

    turn_id: str
    iteration: int
    index: int


@dataclass(frozen=True, slots=True)
class EffectRow:
    """`arguments` and `result` are JSON text. unknown: it had started when the host died; dropped: it never will."""

    key: EffectKey
    tool: str
    arguments: str
    effect_class: EffectClass
    state: EffectState
    result: str | None
    planned_ms: int
    started_ms: int | None
    finished_ms: int | None


class Journal:
    """Moves each effect one way: planned, started, then done or failed; StoreError for any other move."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def plan(self, key: EffectKey, tool: str, arguments: str, effect_class: EffectClass) -> None:
        values = (key.turn_id, key.iteration, key.index, tool, arguments, effect_class, self._now_ms())
        await self._database.write(lambda connection: _plan(connection, values))

    async def start(self, key: EffectKey) -> None:
        """To be on the disk before the effect touches the world."""
        await self._move(key, ("planned",), "started", None)

    async def finish(self, key: EffectKey, result: str, *, ok: bool = True) -> None:
        await self._move(key, ("started",), "done" if ok else "failed", result)

    async def settle(self, key: EffectKey, state: Literal["done", "failed", "unknown", "dropped"], result: str) -> None:
        """What became of an effect that a crash left unfinished."""
        await self._move(key, ("planned", "started"), state, result)

    async def get(self, key: EffectKey) -> EffectRow | None:
        where = "WHERE turn_id = ? AND iteration = ? AND position = ?"
        values = (key.turn_id, key.iteration, key.index)
        rows = await self._database.read(lambda connection: _rows(connection, where, values))
        return rows[0] if rows else None

    async def of_turn(self, turn_id: str) -> tuple[EffectRow, ...]:
        """A turn's effects in order."""
        return await self._database.read(lambda connection: _rows(connection, "WHERE turn_id = ?", (turn_id,)))

    async def unfinished(self) -> tuple[EffectRow, ...]:
        """Effects that were planned or started and never finished; right after a start, those of the crash before."""
        where = "WHERE state IN ('planned', 'started')"
        return await self._database.read(lambda connection: _rows(connection, where, ()))

    async def prune(self, before_ms: int) -> int:
        """Forget finished effects planned before this time; returns how many."""
        query = "DELETE FROM effects WHERE planned_ms < ? AND state NOT IN ('planned', 'started')"
        return await self._database.write(lambda connection: connection.execute(query, (before_ms,)).rowcount)

    async def _move(
        self, key: EffectKey, allowed: tuple[EffectState, ...], state: EffectState, result: str | None
    ) -> None:
        now_ms = self._now_ms()
        await self._database.write(lambda connection: _move(connection, key, allowed, state, result, now_ms))


def _plan(connection: sqlite3.Connection, values: tuple[object, ...]) -> None:
    try:
        connection.execute(
            """INSERT INTO effects (turn_id, iteration, position, tool, arguments, class, state, planned_ms)
            VALUES (?, ?, ?, ?, ?, ?, 'planned', ?)""",
            values,
        )
    except sqlite3.IntegrityError as exc:
        raise StoreError(f"effect {values[:3]} is in the journal already, or its class is unknown: {exc}") from exc


def _move(
    connection: sqlite3.Connection,
    key: EffectKey,
    allowed: tuple[EffectState, ...],
    state: EffectState,
    result: str | None,
    now_ms: int,
) -> None:
    where = (key.turn_id, key.iteration, key.index)
    found = connection.execute(
        "SELECT state FROM effects WHERE turn_id = ? AND iteration = ? AND position = ?", where
    ).fetchone()
    if found is None or found[0] not in allowed:
        there = "is not in the journal" if found is None else f"is {found[0]}"
        raise StoreError(f"effect {where} cannot become {state}: it {there}")
    column = "started_ms" if state == "started" else "finished_ms"
    connection.execute(
        f"""UPDATE effects SET state = ?, result = ?, {column} = ?
        WHERE turn_id = ? AND iteration = ? AND position = ?""",  # noqa: S608 - one of two constant names
        (state, result, now_ms, *where),
    )


def _rows(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> tuple[EffectRow, ...]:
    rows = connection.execute(
        f"""SELECT turn_id, iteration, position, tool, arguments, class, state, result,
            planned_ms, started_ms, finished_ms
        FROM effects {where} ORDER BY planned_ms, turn_id, iteration, position""",  # noqa: S608 - constants of this file
        values,
    )
    return tuple(EffectRow(EffectKey(*row[:3]), *row[3:]) for row in rows)
