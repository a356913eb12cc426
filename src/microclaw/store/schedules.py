"""Rows of schedules and of each time one was begun. Knows no clock and no calendar, and runs nothing.

A run is `claimed` before anything is done for it, `started` right before a tool changes something, and then has its
end. What a crash leaves claimed or started is found again by `open_runs`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from microclaw.store.rows import BOOL, Table

ScheduleState: TypeAlias = Literal["active", "paused", "over"]
RunState: TypeAlias = Literal["claimed", "started", "done", "failed", "unknown", "skipped"]
Missed: TypeAlias = Literal["run", "skip"]

KEPT_RUNS: Final = 500  # of one schedule, the newest
_MAX_WHY_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """`timing` and `act` are JSON text; `said` is the time in the person's words, `what` the action."""

    said: str
    what: str
    timing: str
    act: str
    person_id: str = field(metadata={"column": "principal"})
    channel: str
    chat_id: str
    device: str | None
    missed: Missed
    approved: str
    next_ms: int


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """`approved` is the permission that its action needed when it was made; `why` says why it is paused or over."""

    schedule_id: int
    said: str
    what: str
    timing: str
    act: str
    person_id: str = field(metadata={"column": "principal"})
    channel: str
    chat_id: str
    device: str | None
    missed: Missed
    approved: str
    state: ScheduleState
    why: str
    created_ms: int
    next_ms: int | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """`woke`: a model was asked for it, or is to be."""

    schedule_id: int
    due_ms: int
    state: RunState
    woke: bool = field(metadata=BOOL)
    claimed_ms: int
    ended_ms: int | None
    result: str


class ScheduleTable(Table):
    """Every write is on the disk when it returns."""

    async def add(self, new: NewSchedule, now_ms: int) -> int:
        """The new schedule's number; a number is never given twice."""
        return await self._insert("schedules", new, state="active", created_ms=now_ms)

    async def list(self) -> tuple[ScheduleRow, ...]:
        """Every schedule, oldest first."""
        return await self._select(ScheduleRow, "schedules ORDER BY schedule_id")

    async def get(self, schedule_id: int) -> ScheduleRow | None:
        rows = await self._select(ScheduleRow, "schedules WHERE schedule_id = ?", (schedule_id,))
        return rows[0] if rows else None

    async def remove(self, schedule_id: int) -> None:
        """Forget it and its runs."""
        await self._database.write(lambda connection: _remove(connection, schedule_id))

    async def set_state(self, schedule_id: int, state: ScheduleState, why: str, next_ms: int | None) -> None:
        query = "UPDATE schedules SET state = ?, why = ?, next_ms = ? WHERE schedule_id = ?"
        await self._execute(query, (state, why, next_ms, schedule_id))

    async def set_next(self, schedule_id: int, next_ms: int) -> None:
        """When it is due next, unless it was paused meanwhile."""
        query = "UPDATE schedules SET next_ms = ? WHERE schedule_id = ? AND state = 'active'"
        await self._execute(query, (next_ms, schedule_id))

    async def set_deed(self, schedule_id: int, *, what: str, act: str, device: str | None) -> None:
        """Keep what it does in another form."""
        query = "UPDATE schedules SET what = ?, act = ?, device = ? WHERE schedule_id = ?"
        await self._execute(query, (what, act, device, schedule_id))

    async def claim(
        self, schedule_id: int, due_ms: int, *, next_ms: int | None, woke: bool, now_ms: int, paused_too: bool = False
    ) -> bool:
        """Note that the run due then begins, and when the next one is.

        False when it was begun before, or the schedule is removed, or paused and not `paused_too`.
        """
        values = (schedule_id, due_ms, int(woke), now_ms, int(paused_too))
        return await self._database.write(lambda connection: _claim(connection, values, next_ms))

    async def started(self, schedule_id: int, due_ms: int) -> None:
        query = "UPDATE schedule_runs SET state = 'started' WHERE schedule_id = ? AND due_ms = ?"
        await self._execute(query, (schedule_id, due_ms))

    async def ended(
        self, schedule_id: int, due_ms: int, state: RunState, result: str, *, woke: bool, now_ms: int
    ) -> None:
        """How it ended; a schedule that has no next time is over with it."""
        values = (state, result, int(woke), now_ms, schedule_id, due_ms)
        await self._database.write(lambda connection: _ended(connection, values, schedule_id))

    async def skipped(self, schedule_id: int, due_ms: int, *, next_ms: int | None, why: str, now_ms: int) -> None:
        """A run that was missed and is not to be made up for."""
        await self._database.write(lambda c: _skipped(c, schedule_id, due_ms, next_ms, why, now_ms))

    async def open_runs(self) -> tuple[RunRow, ...]:
        """Runs without an end: after a start of the host, those that a crash cut off."""
        where = "schedule_runs WHERE state IN ('claimed', 'started') ORDER BY claimed_ms, schedule_id"
        return await self._select(RunRow, where)

    async def runs(self, schedule_id: int, newest: int = 10) -> tuple[RunRow, ...]:
        """Latest first."""
        where = "schedule_runs WHERE schedule_id = ? ORDER BY due_ms DESC LIMIT ?"
        return await self._select(RunRow, where, (schedule_id, newest))

    async def wakes(self, since_ms: int, until_ms: int) -> tuple[tuple[int, int], ...]:
        """Which schedule asked a model when, in that time, oldest first: (schedule_id, claimed_ms).

        What a clock that was ahead has noted for later does not count.
        """
        query = """SELECT schedule_id, claimed_ms FROM schedule_runs
            WHERE woke = 1 AND claimed_ms > ? AND claimed_ms <= ? ORDER BY claimed_ms"""
        rows = await self._database.read(lambda connection: connection.execute(query, (since_ms, until_ms)).fetchall())
        return tuple((int(number), int(at_ms)) for number, at_ms in rows)


def _remove(connection: sqlite3.Connection, schedule_id: int) -> None:
    connection.execute("DELETE FROM schedule_runs WHERE schedule_id = ?", (schedule_id,))
    connection.execute("DELETE FROM schedules WHERE schedule_id = ?", (schedule_id,))


def _claim(connection: sqlite3.Connection, values: tuple[int, int, int, int, int], next_ms: int | None) -> bool:
    connection.execute(  # it was missed on a clock that was ahead, and its time comes now
        "DELETE FROM schedule_runs WHERE schedule_id = ? AND due_ms = ? AND state = 'skipped'", values[:2]
    )
    made = connection.execute(
        """INSERT OR IGNORE INTO schedule_runs (schedule_id, due_ms, state, woke, claimed_ms)
        SELECT ?1, ?2, 'claimed', ?3, ?4
        WHERE EXISTS (SELECT 1 FROM schedules WHERE schedule_id = ?1 AND (state != 'paused' OR ?5))""",
        values,
    ).rowcount
    query = "UPDATE schedules SET next_ms = ? WHERE schedule_id = ? AND state != 'paused'"
    connection.execute(query, (next_ms, values[0]))
    connection.execute(
        """DELETE FROM schedule_runs WHERE schedule_id = ?1 AND ended_ms IS NOT NULL AND due_ms NOT IN
            (SELECT due_ms FROM schedule_runs WHERE schedule_id = ?1 ORDER BY due_ms DESC LIMIT ?2)""",
        (values[0], KEPT_RUNS),
    )
    return made == 1


def _ended(connection: sqlite3.Connection, values: tuple[str, str, int, int, int, int], schedule_id: int) -> None:
    connection.execute(
        "UPDATE schedule_runs SET state = ?, result = ?, woke = ?, ended_ms = ? WHERE schedule_id = ? AND due_ms = ?",
        values,
    )
    state, result = values[:2]
    whys = {"done": "it has run", "failed": f"it failed: {result[:_MAX_WHY_CHARS]}"}
    _over(connection, schedule_id, whys.get(state, result[:_MAX_WHY_CHARS]))


def _skipped(
    connection: sqlite3.Connection, schedule_id: int, due_ms: int, next_ms: int | None, why: str, now_ms: int
) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO schedule_runs VALUES (?, ?, 'skipped', 0, ?, ?, ?)",
        (schedule_id, due_ms, now_ms, now_ms, why),
    )
    query = "UPDATE schedules SET next_ms = ? WHERE schedule_id = ? AND state != 'paused'"
    connection.execute(query, (next_ms, schedule_id))
    _over(connection, schedule_id, why)


def _over(connection: sqlite3.Connection, schedule_id: int, why: str) -> None:
    connection.execute(
        "UPDATE schedules SET state = 'over', why = ? WHERE schedule_id = ? AND next_ms IS NULL AND state = 'active'",
        (why, schedule_id),
    )
