"""The journal of turns: the rows of running turns, and every tool effect: started, then done. Runs no tool.

The rows of a turn are deleted with its answer (host/store/inbox.py); its effects stay for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct, field

from microclaw.errors import StoreError, TakenOver
from microclaw.host.store.rows import TimedTable, insert, reads, scalar, select, update, writes
from microclaw.host.store.sql import Sql

EffectState: TypeAlias = Literal["planned", "started", "done", "failed", "dropped"]
Work: TypeAlias = Callable[[Sql], object]

KEEP_ROWS: Final = 10_000
KEEP_DAYS: Final = 30
DAY_MS: Final = 86_400_000
# Effects, or messages of the inbox.
PRUNE_EVERY: Final = 256
# "planned" is of microclaw 0.1.0, which planned an effect in a write of its own.
_OPEN: Final = "state IN ('planned', 'started')"
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
    """An effect of a tool. `arguments` and `result` are JSON text.

    The state `dropped` means that it never started. `planned_ms` is when it started or ended.
    """

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
    """The journal of effects. An effect moves one way: started, then done or failed; or dropped at once.

    Any other move raises StoreError. The writes are functions over a connection, so that they join other writes in one
    transaction: `write`, or whatever is written next. In a cluster an effect belongs to its host: TakenOver is raised
    if another host has the effect, or its turn, by now.
    """

    _begun = 0

    @writes
    def write(self, sql: Sql, works: Sequence[Work]) -> None:
        """Do the works in one transaction."""
        for work in works:
            work(sql)

    def build_row(self, row: TurnRow) -> Work:
        """Build the work that stores a row of a turn."""

        def add(sql: Sql) -> None:
            check_host(sql, row.message_id, self.host)
            insert(sql, "turn_rows", row)

        return add

    def build_start(
        self,
        key: EffectKey,
        tool: str,
        arguments: str,
        effect: str,
        *,
        message_id: int | None = None,
        dropped: str | None = None,
    ) -> Work:
        """Build the work that must be on the disk before the effect changes anything outside.

        `message_id` is the message that its turn answers. `dropped` is the result of an effect that ended before it
        started. From time to time the oldest effects are deleted.
        """
        now_ms = self._now_ms()
        is_dropped = dropped is not None
        row = EffectRow(
            turn=key.turn,
            iteration=key.iteration,
            position=key.position,
            tool=tool,
            arguments=arguments,
            effect=effect,
            state="dropped" if is_dropped else "started",
            result=dropped,
            planned_ms=now_ms,
            started_ms=None if is_dropped else now_ms,
            finished_ms=now_ms if is_dropped else None,
        )
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

    def build_end(self, key: EffectKey, result: str, *, ok: bool) -> Work:
        """Build the work that writes the end of a started effect."""
        now_ms = self._now_ms()
        state: EffectState = "done" if ok else "failed"

        def end(sql: Sql) -> None:
            self._check_open(sql, key, state)
            where = {"turn_id": key.turn, "iteration": key.iteration, "position": key.position}
            update(sql, "effects", where, state=state, result=result, finished_ms=now_ms)

        return end

    def _check_open(self, sql: Sql, key: EffectKey, next_state: EffectState) -> None:
        """Raise TakenOver if another host has the effect, StoreError if it is not open."""
        query = "SELECT state, host FROM effects WHERE turn_id = ? AND iteration = ? AND position = ?"
        row = sql.execute(query, key).fetchone()
        if row is None:
            raise StoreError(f"effect {tuple(key)} is not in the journal: it cannot become {next_state}")
        state, host = row
        if self.host is not None and host != self.host:
            raise taken_over_error(f"effect {tuple(key)}", host)
        if state not in ("planned", "started"):
            raise StoreError(f"effect {tuple(key)} is {state}: it cannot become {next_state}")

    @reads
    def rows(self, sql: Sql, message_id: int) -> tuple[TurnRow, ...]:
        """Return the rows of a turn that has no answer yet, in order."""
        return select(sql, TurnRow, "turn_rows WHERE message_id = ? ORDER BY position", (message_id,))

    @reads
    def of_turn(self, sql: Sql, turn: str) -> tuple[EffectRow, ...]:
        """Return a turn's effects in order."""
        return select(sql, EffectRow, f"effects WHERE turn_id = ? {_ORDER}", (turn,))

    @reads
    def unfinished(self, sql: Sql) -> tuple[EffectRow, ...]:
        """Return this host's effects without an end, in order; right after a start these are from a crash."""
        where = f"effects WHERE {_OPEN} AND (?1 IS NULL OR host = ?1) {_ORDER}"
        return select(sql, EffectRow, where, (self.host,))


def take_effects(sql: Sql, host: str | None, taker: str) -> list[EffectKey]:
    """Give the open effects of one host to another, in the transaction that takes their messages; return their keys."""
    move = f"UPDATE effects SET host = ? WHERE {_OPEN} AND host IS ? RETURNING turn_id, iteration, position"  # noqa: S608 - a constant
    return list(starmap(EffectKey, sql.execute(move, (taker, host)).fetchall()))


def check_host(sql: Sql, message_id: int, host: str | None) -> None:
    """Raise TakenOver if an unanswered message is no longer this host's: then its work on it does not count."""
    if host is None:
        return
    query = "SELECT host, state FROM inbox WHERE message_id = ?"
    row = sql.execute(query, (message_id,)).fetchone()
    if row is not None and (row[0] != host or row[1] != "waiting"):
        raise taken_over_error(f"message {message_id}", row[0])


def taken_over_error(what: str, host: str | None) -> TakenOver:
    """Build the error for something that another host has now."""
    return TakenOver(
        f"{what} is the host {host}'s now: this one could not be reached for a time",
        next_step="wait: that host continues with it",
    )


def prune_effects(sql: Sql, before_ms: int, rows: int = KEEP_ROWS) -> int:
    """Delete finished effects from before this time, and those beyond the newest `rows`; return how many."""
    query = "SELECT planned_ms FROM effects ORDER BY planned_ms DESC LIMIT 1 OFFSET ?"
    oldest_ms = scalar(sql, query, (rows - 1,))
    query = f"DELETE FROM effects WHERE NOT ({_OPEN}) AND planned_ms < ?"  # noqa: S608 - a constant
    return sql.execute(query, (max(before_ms, oldest_ms or 0),)).rowcount
