"""The journal of turns: the rows of those that run, and every tool effect, started, done. Runs no tool.

The rows of a turn go with its answer (store/inbox.py); its effects stay for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct, field

from microclaw.errors import StoreError, TakenOver
from microclaw.store.rows import TimedTable, insert, reads, scalar, select, update, writes
from microclaw.store.sql import Sql

EffectState: TypeAlias = Literal["planned", "started", "done", "failed", "dropped"]
Work: TypeAlias = Callable[[Sql], object]

KEEP_ROWS: Final = 10_000
KEEP_DAYS: Final = 30
DAY_MS: Final = 86_400_000
PRUNE_EVERY: Final = 256  # effects, or messages of the inbox
_OPEN: Final = "state IN ('planned', 'started')"  # microclaw 0.1.0 planned an effect in a write of its own
_ORDER: Final = "ORDER BY planned_ms, turn_id, iteration, position"


class TurnRow(Struct, frozen=True):
    """A row of the turn that answers a message."""

    message_id: int
    position: int
    body: str


class EffectKey(NamedTuple):
    """The key of an effect: the turn's id, the request's number in it, the call's place in the reply."""

    turn: str
    iteration: int
    position: int


class EffectRow(Struct, frozen=True):
    """`arguments` and `result` are JSON text. dropped: it never started. `planned_ms` is when it started or ended."""

    turn: str = field(name="turn_id")
    iteration: int
    position: int
    tool: str
    arguments: str
    effect: str = field(name="class")
    state: EffectState
    result: str | None
    planned_ms: int
    started_ms: int | None
    finished_ms: int | None

    @property
    def key(self) -> EffectKey:
        return EffectKey(self.turn, self.iteration, self.position)


class Journal(TimedTable):
    """Moves each effect one way: started, then done or failed; or dropped at once. StoreError for any other move.

    Its writes are functions over a connection, so that they go with others in one transaction: `write`, or whatever is
    written next. In a cluster an effect is its host's: TakenOver when another host has it, or its turn, by now.
    """

    _begun = 0

    @writes
    def write(self, sql: Sql, works: Sequence[Work]) -> None:
        """Do them in one step."""
        for work in works:
            work(sql)

    def adding(self, row: TurnRow) -> Work:
        """Keep a row of a turn."""

        def add(sql: Sql) -> None:
            check_host(sql, row.message_id, self.host)
            insert(sql, "turn_rows", row)

        return add

    def starting(
        self,
        key: EffectKey,
        tool: str,
        arguments: str,
        effect: str,
        *,
        message_id: int | None = None,
        dropped: str | None = None,
    ) -> Work:
        """To be on the disk before the effect touches the world. `message_id` is the message that its turn answers;
        `dropped` the result of one that ended before it started.

        Now and then the oldest effects are forgotten.
        """
        now_ms = self._now_ms()
        state: EffectState = "started" if dropped is None else "dropped"
        times = (now_ms, now_ms, None) if dropped is None else (now_ms, None, now_ms)
        row = EffectRow(*key, tool, arguments, effect, state, dropped, *times)
        self._begun += 1
        is_time_to_prune = self._begun % PRUNE_EVERY == 0

        def start(sql: Sql) -> None:
            if message_id is not None:
                check_host(sql, message_id, self.host)
            if not insert(sql, "effects", row, over=(), host=self.host):
                raise StoreError(f"effect {tuple(key)} is in the journal already")
            if is_time_to_prune:
                prune_effects(sql, now_ms - KEEP_DAYS * DAY_MS)

        return start

    def ending(self, key: EffectKey, result: str, *, ok: bool) -> Work:
        """The end of an effect that started."""
        now_ms = self._now_ms()
        state = "done" if ok else "failed"
        where = {"turn_id": key.turn, "iteration": key.iteration, "position": key.position}

        def end(sql: Sql) -> None:
            query = "SELECT state, host FROM effects WHERE turn_id = ? AND iteration = ? AND position = ?"
            found = sql.execute(query, key).fetchone()
            if self.host is not None and found is not None and found[1] != self.host:
                raise taken_over(f"effect {tuple(key)}", found[1])
            if found is None or found[0] not in ("planned", "started"):
                if found is None:
                    there = "is not in the journal"
                else:
                    there = f"is {found[0]}"
                raise StoreError(f"effect {tuple(key)} {there}: it cannot become {state}")
            update(sql, "effects", where, state=state, result=result, finished_ms=now_ms)

        return end

    @reads
    def rows(self, sql: Sql, message_id: int) -> tuple[TurnRow, ...]:
        """The rows of a turn that has no answer yet, in order."""
        return select(sql, TurnRow, "turn_rows WHERE message_id = ? ORDER BY position", (message_id,))

    @reads
    def of_turn(self, sql: Sql, turn: str) -> tuple[EffectRow, ...]:
        """A turn's effects in order."""
        return select(sql, EffectRow, f"effects WHERE turn_id = ? {_ORDER}", (turn,))

    @reads
    def unfinished(self, sql: Sql) -> tuple[EffectRow, ...]:
        """This host's effects without an end, in order; right after a start, those of the crash before."""
        where = f"effects WHERE {_OPEN} AND (?1 IS NULL OR host = ?1) {_ORDER}"
        return select(sql, EffectRow, where, (self.host,))


def take_effects(sql: Sql, host: str | None, taker: str) -> list[EffectKey]:
    """Make the effects without an end of one host another's; for a transaction that takes their messages, too."""
    moved = f"UPDATE effects SET host = ? WHERE {_OPEN} AND host IS ? RETURNING turn_id, iteration, position"  # noqa: S608 - a constant
    return list(starmap(EffectKey, sql.execute(moved, (taker, host)).fetchall()))


def check_host(sql: Sql, message_id: int, host: str | None) -> None:
    """TakenOver where a message without an answer is not this host's any more: what it does for it does not count."""
    if host is None:
        return
    query = "SELECT host, state FROM inbox WHERE message_id = ?"
    found = sql.execute(query, (message_id,)).fetchone()
    if found is not None and (found[0] != host or found[1] != "waiting"):
        raise taken_over(f"message {message_id}", found[0])


def taken_over(what: str, host: str | None) -> TakenOver:
    return TakenOver(
        f"{what} is the host {host}'s now: this one could not be reached for a time",
        next_step="wait: that host goes on with it",
    )


def prune_effects(sql: Sql, before_ms: int, rows: int = KEEP_ROWS) -> int:
    """Forget finished effects of before this time, and those beyond the newest `rows`; returns how many."""
    query = "SELECT planned_ms FROM effects ORDER BY planned_ms DESC LIMIT 1 OFFSET ?"
    oldest = scalar(sql, query, (rows - 1,))
    query = f"DELETE FROM effects WHERE NOT ({_OPEN}) AND planned_ms < ?"  # noqa: S608 - a constant
    return sql.execute(query, (max(before_ms, oldest or 0),)).rowcount
