"""The journal of turns: the rows of those that run, and every tool effect, started, done. Runs no tool.

The rows of a turn go with its answer (store/inbox.py); its effects stay for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.errors import StoreError, TakenOver
from microclaw.store.database import Database
from microclaw.store.rows import Table
from microclaw.store.sql import Sql

EffectState: TypeAlias = Literal["planned", "started", "done", "failed", "dropped"]
Work: TypeAlias = Callable[[Sql], object]

KEEP_ROWS: Final = 10_000
KEEP_DAYS: Final = 30
_DAY_MS: Final = 86_400_000
_PRUNE_EVERY: Final = 256  # effects
_OPEN: Final = "state IN ('planned', 'started')"  # microclaw 0.1.0 planned an effect in a write of its own
_COLUMNS: Final = """turn_id, iteration, position, tool, arguments, class, state, result,
    planned_ms, started_ms, finished_ms"""


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
    """`arguments` and `result` are JSON text. dropped: it never started. `planned_ms` is when it started or ended."""

    key: EffectKey
    tool: str
    arguments: str
    effect: str
    state: EffectState
    result: str | None
    planned_ms: int
    started_ms: int | None
    finished_ms: int | None


class Journal(Table):
    """Moves each effect one way: started, then done or failed; or dropped at once. StoreError for any other move.

    Its writes are functions over a connection, so that they go with others in one transaction: `write`, or whatever is
    written next. In a cluster an effect is its host's: TakenOver when another host has it, or its turn, by now.
    """

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        super().__init__(database)
        self._now_ms = now_ms
        self._begun = 0

    async def write(self, works: Iterable[Work]) -> None:
        """Do them in one step."""
        await self._database.write(in_order(works))

    def adding(self, row: TurnRow) -> Work:
        """Keep a row of a turn."""
        host = self._database.host
        return lambda connection: _add(connection, row, host)

    def starting(
        self, key: EffectKey, tool: str, arguments: str, effect: str, *, message_id: int | None = None
    ) -> Work:
        """To be on the disk before the effect touches the world. `message_id` is the message that its turn answers.

        Now and then the oldest effects are forgotten.
        """
        now_ms = self._now_ms()
        return self._inserting(
            EffectRow(key, tool, arguments, effect, "started", None, now_ms, now_ms, None), message_id
        )

    def dropping(
        self, key: EffectKey, tool: str, arguments: str, effect: str, result: str, *, message_id: int | None
    ) -> Work:
        """An effect that ended before it started."""
        now_ms = self._now_ms()
        return self._inserting(
            EffectRow(key, tool, arguments, effect, "dropped", result, now_ms, None, now_ms), message_id
        )

    def ending(self, key: EffectKey, result: str, *, ok: bool) -> Work:
        """The end of an effect that started."""
        now_ms, host = self._now_ms(), self._database.host
        return lambda connection: _end(connection, key, "done" if ok else "failed", result, now_ms, host)

    async def rows(self, message_id: int) -> tuple[TurnRow, ...]:
        """The rows of a turn that has no answer yet, in order, without what they join."""
        query = "SELECT message_id, position, body FROM turn_rows WHERE message_id = ? ORDER BY position"
        rows = await self._database.read(lambda connection: connection.execute(query, (message_id,)).fetchall())
        return tuple(TurnRow(*row) for row in rows)

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
        where, host = f"WHERE {_OPEN}", self._database.host
        if host is None:
            return await self._database.read(lambda connection: _rows(connection, where, ()))
        return await self._database.read(lambda connection: _rows(connection, f"{where} AND host = ?", (host,)))

    def _inserting(self, row: EffectRow, message_id: int | None) -> Work:
        host = self._database.host
        self._begun += 1
        before_ms = row.planned_ms - KEEP_DAYS * _DAY_MS if self._begun % _PRUNE_EVERY == 0 else None

        def work(connection: Sql) -> None:
            _insert(connection, row, message_id, host)
            if before_ms is not None:
                prune_effects(connection, before_ms)

        return work


def in_order(works: Iterable[Work]) -> Work:
    """One function that does them all."""
    all_of_them = tuple(works)

    def do(connection: Sql) -> None:
        for work in all_of_them:
            work(connection)

    return do


def no_work(_connection: Sql) -> None:
    """Nothing to write."""


def take_effects(connection: Sql, host: str | None, taker: str) -> tuple[EffectRow, ...]:
    """Make the effects without an end of one host another's; for a transaction that takes their messages, too."""
    where = f"WHERE {_OPEN} AND host IS ?"
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


def _add(connection: Sql, row: TurnRow, host: str | None) -> None:
    check_host(connection, row.message_id, host)
    connection.execute("INSERT INTO turn_rows VALUES (?, ?, ?)", (row.message_id, row.position, row.body))
    if row.joins is not None:
        query = "UPDATE inbox SET state = 'joined', joined = ? WHERE message_id = ?"
        connection.execute(query, (row.message_id, row.joins))


def _insert(connection: Sql, row: EffectRow, message_id: int | None, host: str | None) -> None:
    if message_id is not None:
        check_host(connection, message_id, host)
    values = (row.key.turn, row.key.iteration, row.key.index, *_values(row), host)
    query = f"""INSERT INTO effects ({_COLUMNS}, host) VALUES ({", ".join("?" * len(values))})
        ON CONFLICT (turn_id, iteration, position) DO NOTHING"""  # noqa: S608 - constants of this file
    if not connection.execute(query, values).rowcount:
        raise StoreError(f"effect {values[:3]} is in the journal already")


def _values(row: EffectRow) -> tuple[object, ...]:
    times = (row.planned_ms, row.started_ms, row.finished_ms)
    return (row.tool, row.arguments, row.effect, row.state, row.result, *times)


def _end(connection: Sql, key: EffectKey, state: EffectState, result: str, now_ms: int, host: str | None) -> None:
    where = (key.turn, key.iteration, key.index)
    found = connection.execute(
        "SELECT state, host FROM effects WHERE turn_id = ? AND iteration = ? AND position = ?", where
    ).fetchone()
    if host is not None and found is not None and found[1] != host:
        raise taken_over(f"effect {where}", found[1])
    if found is None or found[0] not in ("planned", "started"):
        there = "is not in the journal" if found is None else f"is {found[0]}"
        raise StoreError(f"effect {where} {there}: it cannot become {state}")
    connection.execute(
        """UPDATE effects SET state = ?, result = ?, finished_ms = ?
        WHERE turn_id = ? AND iteration = ? AND position = ?""",
        (state, result, now_ms, *where),
    )


def prune_effects(connection: Sql, before_ms: int, rows: int = KEEP_ROWS) -> int:
    """Forget finished effects of before this time, and those beyond the newest `rows`; returns how many."""
    query = "SELECT planned_ms FROM effects ORDER BY planned_ms DESC LIMIT 1 OFFSET ?"
    oldest = connection.execute(query, (rows - 1,)).fetchone()
    query = f"DELETE FROM effects WHERE NOT ({_OPEN}) AND planned_ms < ?"  # noqa: S608 - a constant
    return connection.execute(query, (max(before_ms, oldest[0] if oldest else before_ms),)).rowcount


def _rows(connection: Sql, where: str, values: tuple[object, ...]) -> tuple[EffectRow, ...]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM effects {where} ORDER BY planned_ms, turn_id, iteration, position",  # noqa: S608 - constants of this file
        values,
    )
    return tuple(EffectRow(EffectKey(*row[:3]), *row[3:]) for row in rows)
