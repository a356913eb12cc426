"""The journal of turns: the rows of those that run, and every tool effect, planned, started, done. Runs no tool.

The rows of a turn go with its answer (store/inbox.py); its effects stay for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.errors import StoreError, TakenOver
from microclaw.store.database import Database
from microclaw.store.rows import Table
from microclaw.store.sql import Sql

EffectClass: TypeAlias = Literal["read", "idempotent", "once"]
EffectState: TypeAlias = Literal["planned", "started", "done", "failed", "dropped"]

KEEP_ROWS: Final = 10_000
KEEP_DAYS: Final = 30
_DAY_MS: Final = 86_400_000
_PRUNE_EVERY: Final = 256  # effects


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A row of the turn that answers a message; `joins` is another message that is part of the turn from here on."""

    message_id: int
    position: int
    body: str
    joins: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class EffectKey:
    """Which effect of which turn: the turn's id, the request's number in it, the call's place in the reply."""

    turn: str
    iteration: int
    index: int


@dataclass(frozen=True, slots=True)
class EffectRow:
    """`arguments` and `result` are JSON text. dropped: it was planned and never started."""

    key: EffectKey
    tool: str
    arguments: str
    effect: EffectClass
    state: EffectState
    result: str | None
    planned_ms: int
    started_ms: int | None
    finished_ms: int | None


class Journal(Table):
    """Moves each effect one way: planned, started, then done or failed; StoreError for any other move.

    In a cluster an effect is its host's: TakenOver when another host has it, or its turn, by now.
    """

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms
        self._planned = 0

    async def add(self, rows: Sequence[TurnRow]) -> None:
        """Keep rows of a turn, in one step."""
        host = self._database.host
        await self._database.write(lambda connection: _add(connection, rows, host))

    async def rows(self, message_id: int) -> tuple[TurnRow, ...]:
        """The rows of a turn that has no answer yet, in order, without what they join."""
        query = "SELECT message_id, position, body FROM turn_rows WHERE message_id = ? ORDER BY position"
        rows = await self._database.read(lambda connection: connection.execute(query, (message_id,)).fetchall())
        return tuple(TurnRow(*row) for row in rows)

    async def planned(
        self,
        key: EffectKey,
        tool: str,
        arguments: str,
        effect: str,
        *,
        rows: Sequence[TurnRow] = (),
        message_id: int | None = None,
    ) -> None:
        """Plan an effect; `rows` of its turn that are not kept yet are written in the same step.

        `message_id` is the message that the turn answers. Now and then the oldest effects are forgotten.
        """
        host = self._database.host
        values = (key.turn, key.iteration, key.index, tool, arguments, effect, self._now_ms(), host)
        await self._database.write(lambda connection: _plan(connection, values, rows, message_id, host))
        self._planned += 1
        if self._planned % _PRUNE_EVERY == 0:
            await self.prune(self._now_ms() - KEEP_DAYS * _DAY_MS)

    async def started(self, key: EffectKey) -> None:
        """To be on the disk before the effect touches the world."""
        await self._move(key, {"planned": "started"}, None)

    async def done(self, key: EffectKey, result: str, *, ok: bool) -> None:
        """The end of an effect; one that never started can only be closed as failed, and is `dropped` then."""
        moves: dict[EffectState, EffectState] = {"started": "done" if ok else "failed"}
        if not ok:
            moves["planned"] = "dropped"
        await self._move(key, moves, result)

    async def get(self, key: EffectKey) -> EffectRow | None:
        where = "WHERE turn_id = ? AND iteration = ? AND position = ?"
        values = (key.turn, key.iteration, key.index)
        rows = await self._database.read(lambda connection: _rows(connection, where, values))
        return rows[0] if rows else None

    async def of_turn(self, turn: str) -> tuple[EffectRow, ...]:
        """A turn's effects in order."""
        return await self._database.read(lambda connection: _rows(connection, "WHERE turn_id = ?", (turn,)))

    async def of_tool(self, tool: str, limit: int) -> tuple[EffectRow, ...]:
        """A tool's latest effects, in order."""
        where = """WHERE (turn_id, iteration, position) IN (
            SELECT turn_id, iteration, position FROM effects WHERE tool = ?
            ORDER BY planned_ms DESC, turn_id DESC, iteration DESC, position DESC LIMIT ?)"""
        return await self._database.read(lambda connection: _rows(connection, where, (tool, limit)))

    async def unfinished(self) -> tuple[EffectRow, ...]:
        """This host's effects without an end, in order; right after a start, those of the crash before."""
        where, host = "WHERE state IN ('planned', 'started')", self._database.host
        if host is None:
            return await self._database.read(lambda connection: _rows(connection, where, ()))
        return await self._database.read(lambda connection: _rows(connection, f"{where} AND host = ?", (host,)))

    async def prune(self, before_ms: int, rows: int = KEEP_ROWS) -> int:
        """Forget finished effects planned before this time, and those beyond the newest `rows`; returns how many."""
        return await self._database.write(lambda connection: _prune(connection, before_ms, rows))

    async def _move(self, key: EffectKey, moves: Mapping[EffectState, EffectState], result: str | None) -> None:
        now_ms, host = self._now_ms(), self._database.host
        await self._database.write(lambda connection: _move(connection, key, moves, result, now_ms, host))


def take_effects(connection: Sql, host: str | None, taker: str) -> tuple[EffectRow, ...]:
    """Make the effects without an end of one host another's; for a transaction that takes their messages, too."""
    where = "WHERE state IN ('planned', 'started') AND host IS NOT DISTINCT FROM ?"
    found = _rows(connection, where, (host,))
    if found:
        connection.execute(f"UPDATE effects SET host = ? {where}", (taker, host))  # noqa: S608 - a constant
    return found


def check_host(connection: Sql, message_id: int, host: str | None) -> None:
    """TakenOver where a message without an answer is not this host's any more: what it does for it does not count."""
    if host is None:
        return
    query = "SELECT host, state FROM inbox WHERE message_id = ?"
    found = connection.execute(query, (message_id,)).fetchone()
    if found is not None and (found[0] != host or found[1] not in ("waiting", "joined")):
        raise taken_over(f"message {message_id}", found[0])


def taken_over(what: str, host: str | None) -> TakenOver:
    return TakenOver(
        f"{what} is the host {host}'s now: this one could not be reached for a time",
        next_step="wait: that host goes on with it",
    )


def _add(connection: Sql, rows: Sequence[TurnRow], host: str | None) -> None:
    if rows:
        check_host(connection, rows[0].message_id, host)
    for row in rows:
        values = (row.message_id, row.position, row.body)
        connection.execute("INSERT INTO turn_rows VALUES (?, ?, ?)", values)
        if row.joins is not None:
            query = "UPDATE inbox SET state = 'joined', joined = ? WHERE message_id = ?"
            connection.execute(query, (row.message_id, row.joins))


def _plan(
    connection: Sql,
    values: tuple[object, ...],
    rows: Sequence[TurnRow],
    message_id: int | None,
    host: str | None,
) -> None:
    if message_id is not None:
        check_host(connection, message_id, host)
    _add(connection, rows, host)
    query = """INSERT INTO effects (turn_id, iteration, position, tool, arguments, class, state, planned_ms, host)
        VALUES (?, ?, ?, ?, ?, ?, 'planned', ?, ?) ON CONFLICT DO NOTHING"""
    if not connection.execute(query, values).rowcount:
        raise StoreError(f"effect {values[:3]} is in the journal already")


def _move(
    connection: Sql,
    key: EffectKey,
    moves: Mapping[EffectState, EffectState],
    result: str | None,
    now_ms: int,
    host: str | None,
) -> None:
    where = (key.turn, key.iteration, key.index)
    found = connection.execute(
        "SELECT state, host FROM effects WHERE turn_id = ? AND iteration = ? AND position = ?", where
    ).fetchone()
    if host is not None and found is not None and found[1] != host:
        raise taken_over(f"effect {where}", found[1])
    if found is None or found[0] not in moves:
        there = "is not in the journal" if found is None else f"is {found[0]}"
        raise StoreError(f"effect {where} {there}: it cannot become {' or '.join(moves.values())}")
    state = moves[found[0]]
    column = "started_ms" if state == "started" else "finished_ms"
    connection.execute(
        f"""UPDATE effects SET state = ?, result = ?, {column} = ?
        WHERE turn_id = ? AND iteration = ? AND position = ?""",  # noqa: S608 - one of two constant names
        (state, result, now_ms, *where),
    )


def _prune(connection: Sql, before_ms: int, rows: int) -> int:
    query = """DELETE FROM effects WHERE state NOT IN ('planned', 'started')
        AND (planned_ms < ? OR (turn_id, iteration, position) NOT IN (SELECT turn_id, iteration, position FROM effects
            ORDER BY planned_ms DESC, turn_id DESC, iteration DESC, position DESC LIMIT ?))"""
    return connection.execute(query, (before_ms, rows)).rowcount


def _rows(connection: Sql, where: str, values: tuple[object, ...]) -> tuple[EffectRow, ...]:
    rows = connection.execute(
        f"""SELECT turn_id, iteration, position, tool, arguments, class, state, result,
            planned_ms, started_ms, finished_ms
        FROM effects {where} ORDER BY planned_ms, turn_id, iteration, position""",  # noqa: S608 - constants of this file
        values,
    )
    return tuple(EffectRow(EffectKey(*row[:3]), *row[3:]) for row in rows)
