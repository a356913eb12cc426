"""Rows of schedules and of each time one was begun. Knows no clock and no calendar, and runs nothing.

A run is `claimed` before anything is done for it, `started` right before a tool changes something, and then has its
end. What a crash leaves claimed or started is found again by `open_runs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from microclaw.errors import TakenOver
from microclaw.store.rows import BOOL, Table
from microclaw.store.sql import Sql

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
    next_ms: int | None


@dataclass(frozen=True, slots=True)
class ScheduleRow(NewSchedule):
    """`approved` is the permission that its action needed when it was made; `why` says why it is paused or over."""

    schedule_id: int
    state: ScheduleState
    why: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class RunRow:
    """`woke`: a model was asked for it, or is to be. `host` began it, or took it up; None outside of a cluster."""

    schedule_id: int
    due_ms: int
    state: RunState
    woke: bool = field(metadata=BOOL)
    claimed_ms: int
    ended_ms: int | None
    result: str
    host: str | None = None


class ScheduleTable(Table):
    """Every write is on the disk when it returns."""

    async def add(self, new: NewSchedule, now_ms: int) -> int:
        """The new schedule's number; a number is never given twice."""
        return await self._insert("schedules", new, number="schedule_id", state="active", created_ms=now_ms)

    async def list(self) -> tuple[ScheduleRow, ...]:
        """Every schedule, oldest first."""
        return await self._select(ScheduleRow, "schedules ORDER BY schedule_id")

    async def get(self, schedule_id: int) -> ScheduleRow | None:
        rows = await self._select(ScheduleRow, "schedules WHERE schedule_id = ?", (schedule_id,))
        return rows[0] if rows else None

    async def remove(self, schedule_id: int) -> bool:
        """Forget it and its runs; False when it is gone already."""
        return await self._database.write(lambda connection: _remove(connection, schedule_id))

    async def set_state(self, schedule_id: int, state: ScheduleState, why: str, next_ms: int | None) -> None:
        query = "UPDATE schedules SET state = ?, why = ?, next_ms = ? WHERE schedule_id = ?"
        await self._execute(query, (state, why, next_ms, schedule_id))

    async def set_next(self, schedule_id: int, next_ms: int, *, instead_of: int) -> None:
        """When it is due next, unless it was paused, or another host ran it, meanwhile."""
        query = "UPDATE schedules SET next_ms = ? WHERE schedule_id = ? AND state = 'active' AND next_ms = ?"
        await self._execute(query, (next_ms, schedule_id, instead_of))

    async def claim(
        self, schedule_id: int, due_ms: int, *, next_ms: int | None, woke: bool, now_ms: int, paused_too: bool = False
    ) -> bool:
        """Note that the run due then begins, and when the next one is.

        False when it was begun before, or the schedule is removed, or paused and not `paused_too`.
        """
        values = (schedule_id, due_ms, int(woke), now_ms, int(paused_too), self._database.host)
        return await self._database.write(lambda connection: _claim(connection, values, next_ms))

    async def started(self, schedule_id: int, due_ms: int) -> None:
        """To be on the disk before it changes something. TakenOver when another host of the cluster has it by now."""
        host = self._database.host
        await self._database.write(lambda connection: _started(connection, schedule_id, due_ms, host))

    async def take(self, run: RunRow) -> bool:
        """Make a run without an end this host's; False where another host took it, or it has ended."""
        host = self._database.host
        if run.host == host:
            return True
        query = """UPDATE schedule_runs SET host = ? WHERE schedule_id = ? AND due_ms = ?
            AND host IS ? AND state IN ('claimed', 'started')"""
        return await self._execute(query, (host, run.schedule_id, run.due_ms, run.host)) == 1

    async def runs_elsewhere(self, schedule_id: int) -> bool:
        """Whether another host runs it now, or left it open."""
        host = self._database.host
        if host is None:
            return False
        where = "schedule_runs WHERE schedule_id = ? AND state IN ('claimed', 'started') AND host IS NOT ?"
        return bool(await self._select(RunRow, where, (schedule_id, host)))

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` when another host changed schedules."""
        self._database.listen(lambda tables: changed() if "schedules" in tables else None)

    async def ended(
        self, schedule_id: int, due_ms: int, state: RunState, result: str, *, woke: bool, now_ms: int
    ) -> None:
        """How it ended; a schedule that has no next time is over with it. Nothing where another host has the run."""
        values = (state, result, int(woke), now_ms, schedule_id, due_ms, self._database.host)
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


def _remove(connection: Sql, schedule_id: int) -> bool:
    connection.execute("DELETE FROM schedule_runs WHERE schedule_id = ?", (schedule_id,))
    return connection.execute("DELETE FROM schedules WHERE schedule_id = ?", (schedule_id,)).rowcount > 0


def _claim(connection: Sql, values: tuple[int, int, int, int, int, str | None], next_ms: int | None) -> bool:
    connection.execute(  # it was missed on a clock that was ahead, and its time comes now
        "DELETE FROM schedule_runs WHERE schedule_id = ? AND due_ms = ? AND state = 'skipped'", values[:2]
    )
    made = connection.execute(
        """INSERT INTO schedule_runs (schedule_id, due_ms, state, woke, claimed_ms, host)
        SELECT ?1, ?2, 'claimed', ?3, ?4, ?6
        WHERE EXISTS (SELECT 1 FROM schedules WHERE schedule_id = ?1 AND (state != 'paused' OR ?5 = 1))
        AND NOT EXISTS (SELECT 1 FROM schedule_runs
            WHERE schedule_id = ?1 AND state IN ('claimed', 'started') AND ?6 IS NOT NULL AND host IS NOT ?6)
        ON CONFLICT DO NOTHING""",
        values,
    ).rowcount
    known = "SELECT EXISTS (SELECT 1 FROM schedule_runs WHERE schedule_id = ? AND due_ms = ?)"
    if connection.execute(known, values[:2]).fetchone()[0]:  # not where another host's run holds it up
        _set_next(connection, values[0], values[1], next_ms)
    connection.execute(
        """DELETE FROM schedule_runs WHERE schedule_id = ?1 AND ended_ms IS NOT NULL AND due_ms NOT IN
            (SELECT due_ms FROM schedule_runs WHERE schedule_id = ?1 ORDER BY due_ms DESC LIMIT ?2)""",
        (values[0], KEPT_RUNS),
    )
    return made == 1


def _started(connection: Sql, schedule_id: int, due_ms: int, host: str | None) -> None:
    if host is not None:
        query = "SELECT host FROM schedule_runs WHERE schedule_id = ? AND due_ms = ?"
        found = connection.execute(query, (schedule_id, due_ms)).fetchone()
        if found is not None and found[0] != host:
            raise TakenOver(
                f"the run of schedule {schedule_id} is the host {found[0]}'s now: this one could not be reached for a "
                "time",
                next_step=f"see its runs: microclaw schedule show {schedule_id}",
            )
    query = "UPDATE schedule_runs SET state = 'started' WHERE schedule_id = ? AND due_ms = ?"
    connection.execute(query, (schedule_id, due_ms))


def _set_next(connection: Sql, schedule_id: int, due_ms: int, next_ms: int | None) -> None:
    """After the time that was due; another host may have gone on from there already."""
    query = "UPDATE schedules SET next_ms = ? WHERE schedule_id = ? AND state != 'paused' AND next_ms = ?"
    connection.execute(query, (next_ms, schedule_id, due_ms))


def _ended(connection: Sql, values: tuple[str, str, int, int, int, int, str | None], schedule_id: int) -> None:
    ended = connection.execute(
        """UPDATE schedule_runs SET state = ?, result = ?, woke = ?, ended_ms = ?
        WHERE schedule_id = ? AND due_ms = ? AND host IS ?""",
        values,
    ).rowcount
    if not ended:
        return
    state, result = values[:2]
    whys = {"done": "it has run", "failed": f"it failed: {result[:_MAX_WHY_CHARS]}"}
    _over(connection, schedule_id, whys.get(state, result[:_MAX_WHY_CHARS]))


def _skipped(connection: Sql, schedule_id: int, due_ms: int, next_ms: int | None, why: str, now_ms: int) -> None:
    connection.execute(
        """INSERT INTO schedule_runs (schedule_id, due_ms, state, woke, claimed_ms, ended_ms, result)
        VALUES (?, ?, 'skipped', 0, ?, ?, ?) ON CONFLICT DO NOTHING""",
        (schedule_id, due_ms, now_ms, now_ms, why),
    )
    _set_next(connection, schedule_id, due_ms, next_ms)
    _over(connection, schedule_id, why)


def _over(connection: Sql, schedule_id: int, why: str) -> None:
    connection.execute(
        "UPDATE schedules SET state = 'over', why = ? WHERE schedule_id = ? AND next_ms IS NULL AND state = 'active'",
        (why, schedule_id),
    )
