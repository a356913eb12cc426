"""Rows of schedules and of their runs. Knows no clock and no calendar, and runs nothing.

A run is `claimed` before anything is done for it, `started` right before a tool changes something, and then gets its
end. Runs that a crash left claimed or started are found by `open_runs`.
"""

from __future__ import annotations

import logging
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from microclaw.errors import StoreError, TakenOver
from microclaw.host.operations.operation import Permission
from microclaw.host.store.rows import RowTable, delete, first, insert, keep_newest, reads, select, update, writes
from microclaw.host.store.sql import Sql

ScheduleState: TypeAlias = Literal["active", "paused", "over"]
RunState: TypeAlias = Literal["claimed", "started", "done", "failed", "unknown", "skipped"]
Missed: TypeAlias = Literal["run", "skip"]
# The newest runs of one schedule.
KEPT_RUNS: Final = 500
MAX_WHY_CHARS: Final = 200
MAX_ALLOWED: Final = 16

_log = logging.getLogger(__name__)


class _Tagged(Struct, frozen=True, tag_field="kind"):
    """A value that is stored as JSON, with its kind as the tag."""


class Once(_Tagged, frozen=True, tag="once"):
    """One time, in Unix ms."""

    at_ms: int


class Every(_Tagged, frozen=True, tag="every"):
    """Every `every_ms` counted from `from_ms`, in real time; also before `from_ms`, if the clock was ahead then."""

    every_ms: Annotated[int, Meta(ge=1)]
    from_ms: int


class Cron(_Tagged, frozen=True, tag="cron"):
    """Five fields of cron (cronsim) in the local time of an IANA zone."""

    expression: str
    zone: str


class Days(_Tagged, frozen=True, tag="days"):
    """On days that cron cannot count, or at a time that differs by day, in the local time of an IANA zone.

    `clock` is "06:00", or "sunset" at the place. It is each `every`-th day, counted from `first` (an ISO date), and of
    these the `weekdays` (0 is Monday); all if there are none.
    """

    clock: str
    zone: str
    first: str
    every: Annotated[int, Meta(ge=1)] = 1
    weekdays: tuple[int, ...] = ()
    place: tuple[float, float] | None = None


Timing: TypeAlias = Once | Every | Cron | Days


class AllowedAction(Struct, frozen=True):
    """An action that a person allows to all runs of a schedule.

    `action` and `detail` are as shown to the person; `sources` are the calls that may have read foreign text before.
    """

    schedule_id: int
    action: str
    detail: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{self.action}, after {', '.join(self.sources)}"


class ToolAction(_Tagged, frozen=True, tag="tool"):
    """One call of a tool, without a model. `arguments` is JSON text; `devices` are ids with their names then."""

    tool: str
    arguments: str
    devices: dict[str, str] = {}


class SchedulePrompt(_Tagged, frozen=True, tag="prompt"):
    """A text for the agent. `devices` are the ids of the devices that it names, with their names at that time.

    `allowed` are the actions that its runs may do although they have read text of others.
    """

    text: str
    devices: dict[str, str] = {}
    allowed: tuple[AllowedAction, ...] = ()


Action: TypeAlias = ToolAction | SchedulePrompt


class Schedule(Struct, frozen=True):
    """A schedule. `said` is the time in the person's words, `what` the action; results go to the chat of its creation.

    `approved` is the permission that its action needed then; `why` says why it is paused or over. `schedule_id` 0 is
    not stored yet. `lost` is the name of a device that it needs and that was removed (agent/schedules/devices.py).
    """

    # These fields are not columns of the table.
    beside: ClassVar = frozenset({"lost"})

    said: str
    what: str
    timing: Timing
    deed: Action = field(name="act")
    person_id: str = field(name="principal")
    channel: str
    chat_id: str
    device: str | None
    missed: Missed
    approved: Permission
    next_ms: int | None
    schedule_id: int = 0
    state: ScheduleState = "active"
    why: str = ""
    created_ms: int = 0
    lost: str | None = None

    @property
    def zone(self) -> str | None:
        return self.timing.zone if isinstance(self.timing, Cron | Days) else None


class RunRow(Struct, frozen=True):
    """A run of a schedule. `woke`: a model was asked for it, or will be.

    `host` began it, or took it over; None outside of a cluster.
    """

    schedule_id: int
    due_ms: int
    state: RunState
    woke: bool
    claimed_ms: int
    ended_ms: int | None
    result: str
    host: str | None = None


class ScheduleTable(RowTable[Schedule]):
    """Schedules and runs of one database. Every write is on the disk when it returns."""

    _kind = Schedule
    _name = "schedules"
    _key = "schedule_id"
    _order = "schedule_id"
    followed = frozenset({"schedules"})

    @reads
    def readable(self, sql: Sql) -> tuple[Schedule, ...]:
        """Return every schedule, oldest first; a row that cannot be read is logged and left out."""
        schedules = list[Schedule]()
        for (schedule_id,) in sql.execute("SELECT schedule_id FROM schedules ORDER BY schedule_id").fetchall():
            try:
                schedules += select(sql, Schedule, "schedules WHERE schedule_id = ?", (schedule_id,))
            except (StoreError, ValueError) as exc:
                _log.warning("schedule %d is left out: %s", schedule_id, exc)
        return tuple(schedules)

    @writes
    def remove(self, sql: Sql, schedule_id: int) -> bool:
        """Forget a schedule and its runs; return False if it does not exist."""
        delete(sql, "schedule_runs", schedule_id=schedule_id)
        return delete(sql, "schedules", schedule_id=schedule_id).rowcount > 0

    @writes
    def set_state(self, sql: Sql, schedule_id: int, state: ScheduleState, why: str, next_ms: int | None) -> None:
        update(sql, "schedules", {"schedule_id": schedule_id}, state=state, why=why, next_ms=next_ms)

    @reads
    def allows(self, sql: Sql, act: AllowedAction) -> bool:
        """Return True if a person allowed exactly this to the runs of its schedule."""
        schedule = first(sql, Schedule, "schedules WHERE schedule_id = ?", (act.schedule_id,))
        return schedule is not None and isinstance(schedule.deed, SchedulePrompt) and act in schedule.deed.allowed

    @writes
    def allow(self, sql: Sql, act: AllowedAction) -> None:
        """Store an allowed action with its schedule, which keeps the newest MAX_ALLOWED. Do nothing without it."""
        schedule = first(sql, Schedule, "schedules WHERE schedule_id = ?", (act.schedule_id,))
        if schedule is not None and isinstance(schedule.deed, SchedulePrompt):
            allowed = (*schedule.deed.allowed, act)[-MAX_ALLOWED:]
            insert(
                sql, "schedules", replace(schedule, deed=replace(schedule.deed, allowed=allowed)), over=("schedule_id",)
            )

    @writes
    def set_next(self, sql: Sql, schedule_id: int, next_ms: int, *, instead_of: int) -> None:
        """Set the next time, unless the schedule was paused, or another host ran it, meanwhile."""
        key = {"schedule_id": schedule_id, "state": "active", "next_ms": instead_of}
        update(sql, "schedules", key, next_ms=next_ms)

    @writes
    def claim(
        self,
        sql: Sql,
        schedule_id: int,
        due_ms: int,
        *,
        next_ms: int | None,
        woke: bool,
        now_ms: int,
        paused_too: bool = False,
    ) -> bool:
        """Note that the run due then begins, and when the next one is.

        Returns False if it was begun before, or if the schedule is removed, or paused and not `paused_too`. Another
        host's open run prevents it, too.
        """
        key = (schedule_id, due_ms)
        # A clock that was ahead may have noted it as missed, and its time comes only now.
        delete(sql, "schedule_runs", schedule_id=schedule_id, due_ms=due_ms, state="skipped")
        claimed_count = sql.execute(
            """INSERT INTO schedule_runs (schedule_id, due_ms, state, woke, claimed_ms, host)
            SELECT ?1, ?2, 'claimed', ?3, ?4, ?6
            WHERE EXISTS (SELECT 1 FROM schedules WHERE schedule_id = ?1 AND (state != 'paused' OR ?5 = 1))
            AND NOT EXISTS (SELECT 1 FROM schedule_runs
                WHERE schedule_id = ?1 AND state IN ('claimed', 'started') AND ?6 IS NOT NULL AND host IS NOT ?6)
            ON CONFLICT DO NOTHING""",
            (*key, int(woke), now_ms, int(paused_too), self.host),
        ).rowcount
        # Without a row another host's open run holds this one up, and its time stays.
        if first(sql, RunRow, "schedule_runs WHERE schedule_id = ? AND due_ms = ?", key):
            _set_next(sql, schedule_id, due_ms, next_ms)
        keep_newest(sql, "schedule_runs", KEPT_RUNS, "due_ms", "AND ended_ms IS NOT NULL", schedule_id=schedule_id)
        return claimed_count == 1

    @writes
    def mark_started(self, sql: Sql, schedule_id: int, due_ms: int) -> None:
        """Note that the run is about to change something. Raises TakenOver if another host has it by now."""
        run = first(sql, RunRow, "schedule_runs WHERE schedule_id = ? AND due_ms = ?", (schedule_id, due_ms))
        if self.is_shared and run is not None and run.host != self.host:
            raise TakenOver(
                f"the run of schedule {schedule_id} is the host {run.host}'s now: this one could not be reached for "
                "a time",
                next_step=f"see its runs: microclaw schedule list {schedule_id}",
            )
        update(sql, "schedule_runs", {"schedule_id": schedule_id, "due_ms": due_ms}, state="started")

    @writes
    def take(self, sql: Sql, run: RunRow) -> bool:
        """Give a run without an end to this host; return False if another host took it, or if it has ended."""
        if run.host == self.host:
            return True
        key = {"schedule_id": run.schedule_id, "due_ms": run.due_ms, "host": run.host, "state": ("claimed", "started")}
        return update(sql, "schedule_runs", key, host=self.host).rowcount == 1

    @reads
    def runs_elsewhere(self, sql: Sql, schedule_id: int) -> bool:
        """Return True if another host runs the schedule now, or left a run open."""
        where = "schedule_runs WHERE schedule_id = ? AND state IN ('claimed', 'started') AND host IS NOT ?"
        return self.is_shared and first(sql, RunRow, where, (schedule_id, self.host)) is not None

    @writes
    def end_run(
        self, sql: Sql, schedule_id: int, due_ms: int, state: RunState, result: str, *, woke: bool, now_ms: int
    ) -> None:
        """Write the outcome of a run, and end a schedule that has no next time. Do nothing if another host runs it."""
        key = {"schedule_id": schedule_id, "due_ms": due_ms, "host": self.host}
        values = {"state": state, "result": result, "woke": int(woke), "ended_ms": now_ms}
        if not update(sql, "schedule_runs", key, **values).rowcount:
            return
        why = result[:MAX_WHY_CHARS]
        if state == "done":
            why = "it has run"
        elif state == "failed":
            why = f"it failed: {why}"
        _over(sql, schedule_id, why)

    @writes
    def add_skipped(
        self, sql: Sql, schedule_id: int, due_ms: int, *, next_ms: int | None, why: str, now_ms: int
    ) -> None:
        """Note a run that was missed and will not be made up for."""
        run = RunRow(schedule_id, due_ms, "skipped", woke=False, claimed_ms=now_ms, ended_ms=now_ms, result=why)
        insert(sql, "schedule_runs", run, over=())
        _set_next(sql, schedule_id, due_ms, next_ms)
        _over(sql, schedule_id, why)

    @reads
    def open_runs(self, sql: Sql) -> tuple[RunRow, ...]:
        """Return runs without an end: after a start of the host, the runs that a crash interrupted."""
        return select(
            sql, RunRow, "schedule_runs WHERE state IN ('claimed', 'started') ORDER BY claimed_ms, schedule_id"
        )

    @reads
    def runs(self, sql: Sql, schedule_id: int, newest: int = 10) -> tuple[RunRow, ...]:
        """Return the latest runs of a schedule, latest first."""
        where = "schedule_runs WHERE schedule_id = ? ORDER BY due_ms DESC LIMIT ?"
        return select(sql, RunRow, where, (schedule_id, newest))

    @reads
    def last_failures(self, sql: Sql) -> dict[int, str]:
        """Return the result of each schedule's last run that has an outcome, if it failed, by the schedule."""
        rows = sql.execute(
            """SELECT schedule_id, result FROM schedule_runs AS run WHERE state = 'failed'
            AND NOT EXISTS (SELECT 1 FROM schedule_runs AS later WHERE later.schedule_id = run.schedule_id
                AND later.due_ms > run.due_ms AND later.state IN ('done', 'failed', 'unknown'))"""
        ).fetchall()
        return {schedule_id: result[:MAX_WHY_CHARS] for schedule_id, result in rows}

    @reads
    def wakes(self, sql: Sql, since_ms: int, until_ms: int) -> tuple[RunRow, ...]:
        """Return the runs that asked a model in that time, oldest first.

        Runs that a clock which was ahead has noted for later do not count.
        """
        where = "schedule_runs WHERE woke = 1 AND claimed_ms > ? AND claimed_ms <= ? ORDER BY claimed_ms"
        return select(sql, RunRow, where, (since_ms, until_ms))


def _set_next(sql: Sql, schedule_id: int, due_ms: int, next_ms: int | None) -> None:
    """Set the next time after the due time, unless another host has done so."""
    query = "UPDATE schedules SET next_ms = ? WHERE schedule_id = ? AND state != 'paused' AND next_ms = ?"
    sql.execute(query, (next_ms, schedule_id, due_ms))


def _over(sql: Sql, schedule_id: int, why: str) -> None:
    update(sql, "schedules", {"schedule_id": schedule_id, "next_ms": None, "state": "active"}, state="over", why=why)
